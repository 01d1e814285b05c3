"""What an encoder that knows nothing would reach, in closed form.

Its order is any order with equal probability. For one query with R relevant images among n:

    precision@k   R/n                     (leave-one-out on 113 + 113: 112/225 = .498)
    AP            (1/n) (H_n + (R-1)/(n-1) (n - H_n)),  H_n = 1 + 1/2 + … + 1/n
    AP@k          (1/min(k,R)) (R/n) (H_k + (R-1)/(n-1) (k - H_k))
    vote          a hypergeometric share of the first k, all weights equal

These are the measures' values on a ranking where all distances are equal, and are tested to be.
"""

import math
from functools import cache

import numpy as np

from dermtwin.evaluation.vote import Vote, hypergeometric


def precision_chance(*, relevant: int, total: int, k: int = 1) -> float:
    """Expected precision@k (and share of relevant images at any depth)."""
    return relevant / total if relevant and total >= k else math.nan


def average_precision_chance(*, relevant: int, total: int) -> float:
    """Expected average precision: a little above R/n, since it rewards luck early on."""
    if not relevant:
        return math.nan
    return _expected_gains(relevant=relevant, total=total, depth=total) / relevant


def average_precision_at_chance(*, relevant: int, total: int, k: int) -> float:
    """Expected AP@k with denominator min(k, R)."""
    if not relevant:
        return math.nan
    depth = min(k, total)
    return _expected_gains(relevant=relevant, total=total, depth=depth) / min(k, relevant)


def vote_chance(*, positive: int, total: int, k: int) -> Vote:
    """The vote of k images drawn without looking, `positive` of `total` being of the class."""
    if total < k:
        return Vote(scores=np.empty(0), chances=np.empty(0))
    hits, chances = hypergeometric(total=total, marked=positive, drawn=k)
    return Vote(scores=hits / k, chances=chances)


def _expected_gains(*, relevant: int, total: int, depth: int) -> float:
    harmonic = _harmonic(depth)
    earlier = (relevant - 1) / max(total - 1, 1)
    return relevant / total * (harmonic + earlier * (depth - harmonic))


@cache
def _harmonic(depth: int) -> float:
    # Kept: a gallery asks for the same few depths again for each query.
    return math.fsum(1 / i for i in range(1, depth + 1))
