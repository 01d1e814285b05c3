"""The vote of the first k hits: a score for one class, how it ranks queries, how far to trust it.

It measures retrieval. It is no diagnosis, and nothing shows it as one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.intervals import Resamples, Statistic, ratio
from dermtwin.evaluation.ranking import Flags, Floats, Ints, Ranking

CALIBRATION_BINS = 15

# Scores that differ only by rounding are equal; real ones differ by far more.
_DECIMALS = 12

# Of resampled votes that are weighed together; more would not fit a processor's cache.
_BLOCK_VALUES = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """One query's score; where ties leave it open, each value that it may take.

    Attributes:
        scores: float64 [m] from 0 to 1; empty when the gallery has fewer than k images.
        chances: float64 [m], how likely each is; they sum to 1.
    """

    scores: Floats
    chances: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ballot:
    """The votes of many queries, laid out flat: one row for each value a query's vote may take.

    Attributes:
        scores: float64 [A], ascending.
        chances: float64 [A].
        queries: int64 [A], whose vote it is.
        positive: bool [A], whether that query is of the class.
    """

    scores: Floats
    chances: Floats
    queries: Ints
    positive: Flags


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Calibration:
    """A reliability diagram: bins of equal mass, lowest scores first.

    Attributes:
        mean_score, share_positive: float64 [bins].
        error: the expected calibration error, the mean over bins of their difference.
    """

    mean_score: Floats
    share_positive: Floats
    error: float


def vote(ranking: Ranking, *, k: int, positive_class: int) -> Vote:
    """Share of `positive_class` among the first k, each weighted by 1/distance.

    Exact matches (distance 0) outvote all others. Items tied at rank k share one weight; how many
    of the class are among those that get in follows the hypergeometric distribution.

    Where the query was asked in several views, each of them votes by its own first k, and the mean
    of their votes counts: of each, where ties leave it open, what is expected.
    """
    if len(ranking) < k:
        return Vote(np.empty(0), np.empty(0))
    if ranking.by_view:
        votes = [vote(each, k=k, positive_class=positive_class) for each in ranking.by_view]
        return Vote(np.array([np.mean([each.scores @ each.chances for each in votes])]), np.ones(1))
    weights = closeness(ranking.distances[:k])
    flags = ranking.classes == positive_class
    ends = ranking.group_ends
    last = int(np.searchsorted(ends, k))
    start = int(ends[last - 1]) if last else 0
    hits, chances = hypergeometric(
        total=int(ends[last]) - start, marked=int(flags[start : ends[last]].sum()), drawn=k - start
    )
    certain = float(weights[:start] @ flags[:start])
    return Vote((certain + weights[k - 1] * hits) / weights.sum(), chances)


def closeness(distances: Floats) -> Floats:
    """1/distance, scaled so that the nearest counts 1: float64 like `distances`, ascending."""
    if distances[0] == 0:
        return np.equal(distances, 0).astype(np.float64)
    return np.asarray(distances[0] / distances)


def hypergeometric(*, total: int, marked: int, drawn: int) -> tuple[Floats, Floats]:
    """How many of `drawn` items out of `total` are marked: the counts and their chances."""
    counts = range(max(0, drawn - (total - marked)), min(drawn, marked) + 1)
    ways = math.comb(total, drawn)
    chances = [
        math.comb(marked, hit) * math.comb(total - marked, drawn - hit) / ways for hit in counts
    ]
    return np.array(counts, dtype=np.float64), np.array(chances)


def ballot(votes: Sequence[Vote], *, positive: Flags) -> Ballot:
    """Lay out the votes of queries; `positive` bool [Q] says which are of the class."""
    sizes = [len(each.scores) for each in votes]
    queries = np.repeat(np.arange(len(votes)), sizes)
    scores = np.concatenate([each.scores for each in votes]) if votes else np.empty(0)
    chances = np.concatenate([each.chances for each in votes]) if votes else np.empty(0)
    order = np.argsort(scores, kind="stable")
    return Ballot(
        scores=np.round(scores, _DECIMALS)[order],
        chances=chances[order],
        queries=queries[order],
        positive=np.asarray(positive, dtype=bool)[queries][order],
    )


def roc_auc(votes: Ballot, *, weights: Floats | None = None) -> float:
    """Chance that a query of the class scores above one that is not, equal scores counting half.

    Since votes that ties leave open enter with each value and its chance, this is the expectation
    over all orders of tied hits, drawn for each query by itself.

    Args:
        votes: of Q queries.
        weights: float64 [Q], how often each query counts; None: once.

    Returns:
        NaN when one of the two kinds is missing.
    """
    within, against = _masses(votes, weights)
    pairs = within.sum() * against.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(against) - against
    return float(within @ (below + against / 2) / pairs)


def auc_of(votes: Ballot, *, resamples: Resamples) -> Statistic:
    """`roc_auc` with its resamples, many at a time."""
    starts = np.flatnonzero(np.append(True, np.diff(votes.scores) != 0)[: len(votes.scores)])
    if not len(starts):
        return Statistic(value=math.nan, resampled=np.full(len(resamples.counts), np.nan))
    drawn = []
    for weights in resamples.blocks(max(1, _BLOCK_VALUES // len(votes.scores))):
        mass = votes.chances * weights[:, votes.queries]
        # within, against: float64 [block, distinct scores]
        within = np.add.reduceat(mass * votes.positive, starts, axis=1)
        against = np.add.reduceat(mass * ~votes.positive, starts, axis=1)
        below = np.cumsum(against, axis=1) - against / 2
        pairs = within.sum(axis=1) * against.sum(axis=1)
        drawn.append(ratio((within * below).sum(axis=1), pairs))
    return Statistic(value=roc_auc(votes), resampled=np.concatenate(drawn))


def roc_curve(votes: Ballot) -> tuple[Floats, Floats]:
    """False and true positive rates, 0 to 1, as the threshold falls: two float64 [scores + 1]."""
    within, against = _masses(votes, None)
    false, true = (np.append(0, np.cumsum(mass[::-1])) for mass in (against, within))
    return ratio(false, false[-1:]), ratio(true, true[-1:])


def calibrate(
    votes: Ballot, *, weights: Floats | None = None, bins: int = CALIBRATION_BINS
) -> Calibration:
    """Compare scores with what they promise, in bins of equal mass.

    Queries of equal score have no order either: where a bin's edge cuts through them, each bin gets
    its share of them, positives in proportion. Without any vote everything is NaN.
    """
    within, against = _masses(votes, weights)
    mass = within + against
    if not mass.sum():
        nothing = np.full(bins, np.nan)
        return Calibration(mean_score=nothing, share_positive=nothing, error=math.nan)
    edges = np.linspace(0, mass.sum(), bins + 1)
    reached = np.append(0, np.cumsum(mass))
    scored = np.append(0, np.cumsum(mass * np.unique(votes.scores)))
    positives = np.append(0, np.cumsum(within))
    size = mass.sum() / bins
    score_in_bin = np.diff(np.interp(edges, reached, scored)) / size
    positive_in_bin = np.diff(np.interp(edges, reached, positives)) / size
    return Calibration(
        mean_score=score_in_bin,
        share_positive=positive_in_bin,
        error=float(np.abs(score_in_bin - positive_in_bin).mean()),
    )


def _masses(votes: Ballot, weights: Floats | None) -> tuple[Floats, Floats]:
    """Mass of queries of the class, and of the others, at each distinct score, ascending."""
    mass = votes.chances if weights is None else votes.chances * weights[votes.queries]
    starts = np.append(True, np.diff(votes.scores) != 0)[: len(votes.scores)]
    where = np.cumsum(starts) - 1
    size = int(starts.sum())
    within, against = np.zeros(size), np.zeros(size)
    np.add.at(within, where, mass * votes.positive)
    np.add.at(against, where, mass * ~votes.positive)
    return within, against
