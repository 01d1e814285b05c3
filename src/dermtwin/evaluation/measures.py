"""The measures of one query's ranking; formulas stand in docs/measures.md.

Each is the exact expectation over all orders of tied items. A measure that is not defined for a
query (nothing relevant in the gallery, or fewer images than the depth asks for) is NaN: averaging,
and counting what was undefined, comes later (`dermtwin.evaluation.summary`).
"""

import numpy as np

from dermtwin.evaluation.ranking import Flags, Floats, Ints, Ranking

RECALL_LEVELS: Floats = np.linspace(0, 1, 101)
"""Where interpolated curves are read: 0, .01 … 1."""


def expected_counts(ranking: Ranking, flags: Flags) -> Floats:
    """How many flagged items stand among the first d, expected over tied orders.

    Within a group of tied items the expectation grows by the same share at each rank.

    Args:
        ranking: n items.
        flags: bool [n], in the ranking's order.

    Returns:
        float64 [n + 1], for d = 0 … n.
    """
    ends = np.append(0, ranking.group_ends)
    counts = np.append(0, np.cumsum(flags))[ends]
    return np.asarray(np.interp(np.arange(len(ranking) + 1), ends, counts))


def precision_at(ranking: Ranking, *, k: int) -> float:
    """Share of the first k in the query's class; NaN with fewer than k items or none relevant."""
    if len(ranking) < k or not ranking.relevant.any():
        return float("nan")
    return float(expected_counts(ranking, ranking.relevant)[k] / k)


def average_precision(ranking: Ranking) -> float:
    """(1/R) times the sum of precision@i over the relevant ranks i; NaN when R = 0."""
    relevant = int(ranking.relevant.sum())
    return float(_precision_gains(ranking).sum() / relevant) if relevant else float("nan")


def average_precision_at(ranking: Ranking, *, k: int) -> float:
    """As `average_precision`, over the first k ranks and with denominator min(k, R)."""
    relevant = int(ranking.relevant.sum())
    if not relevant:
        return float("nan")
    return float(_precision_gains(ranking)[:k].sum() / min(k, relevant))


def interpolated_precision(ranking: Ranking, *, levels: Floats = RECALL_LEVELS) -> Floats:
    """The best precision at this recall or a higher one, for each level of recall.

    With ties it is read off the query's expected curve (expected precision and expected recall at
    each depth), so that a ranking of equal distances gives its flat line of chance: the expectation
    of the maximum itself would lie above it.

    Returns:
        float64, one a level; NaN when nothing is relevant.
    """
    relevant = int(ranking.relevant.sum())
    if not relevant:
        return np.full(len(levels), np.nan)
    found = expected_counts(ranking, ranking.relevant)[1:]
    precision = found / np.arange(1, len(ranking) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # Expected counts carry rounding in their last digits; a recall of 1 must be reached.
    reached = np.searchsorted(found, levels * relevant - 1e-9)
    return best_from_here[np.minimum(reached, len(ranking) - 1)]


def _precision_gains(ranking: Ranking) -> Floats:
    """Expectation of (relevant at i) times precision@i, for each rank i: float64 [n].

    In a group of m tied items, r of them relevant, that starts after a items with c relevant ones:
    the item at its j-th place is relevant with r/m, and then the j-1 before it hold
    (j-1)(r-1)/(m-1) relevant ones.
    """
    if not len(ranking):
        return np.empty(0)
    ends = ranking.group_ends
    sizes = np.diff(ends, prepend=0)
    found = np.cumsum(ranking.relevant)[ends - 1]
    inside = np.diff(found, prepend=0)

    def spread(by_group: Floats | Ints) -> Floats:
        return np.repeat(by_group, sizes).astype(np.float64)

    ranks = np.arange(1, len(ranking) + 1)
    earlier_in_group = ranks - 1 - spread(ends - sizes)
    earlier_share = spread((inside - 1) / np.maximum(sizes - 1, 1))
    precision = (spread(found - inside) + 1 + earlier_in_group * earlier_share) / ranks
    return spread(inside / sizes) * precision
