"""What each query scores: values first, averages later (`dermtwin.evaluation.summary`)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dermtwin.evaluation.chance import (
    average_precision_at_chance,
    average_precision_chance,
    precision_chance,
    vote_chance,
)
from dermtwin.evaluation.measures import (
    average_precision,
    average_precision_at,
    expected_counts,
    interpolated_precision,
    precision_at,
)
from dermtwin.evaluation.ranking import Floats, Ints, Ranking
from dermtwin.evaluation.subjects import MALIGNANT, Names, Subjects
from dermtwin.evaluation.vote import Vote, vote

K = 10
"""How many hits the paper shows, and every vote and strip here uses."""

PRECISION_DEPTHS = (1, 5, K)
NEIGHBOURHOOD = 100
VOTE_DEPTHS = (K, 16, NEIGHBOURHOOD)
"""How many hits vote: as many as are shown, as many as in Tschandl 2019, a whole neighbourhood."""

AP, AP_AT_K = "AP", f"AP@{K} / min({K}, R)"
MEASURES = (*(f"precision@{k}" for k in PRECISION_DEPTHS), AP, AP_AT_K)

_MAX_DEPTHS = 200


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class QueryScore:
    """One query's part of `Scores`, which says what each is."""

    values: tuple[float, ...]
    chance: tuple[float, ...]
    found: Floats
    returned: Ints
    relevant: int
    interpolated: Floats
    votes: tuple[Vote, ...]
    votes_by_chance: tuple[Vote, ...]
    hits: Ints
    hit_distances: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scores:
    """What each of Q queries scores.

    Attributes:
        classes: int64 [Q].
        clusters: str [Q], the query's lesion.
        values: by measure, float64 [Q]; NaN where it is not defined.
        chance: the same for an encoder that knows nothing.
        depths: int64 [D], depths that the precision-recall curve is read at.
        found: float64 [Q, D], relevant images among the first so many, expected.
        returned: int64 [Q, D], images returned there; fewer than the depth in a smaller gallery.
        relevant: int64 [Q], R.
        interpolated: float64 [Q, levels], precision at each level of recall.
        votes, votes_by_chance: by depth, one a query.
        hits: int64 [Q, K], the first K rows of the gallery; -1 where there are fewer.
        hit_distances: float64 [Q, K]; NaN where there are fewer.
    """

    classes: Ints
    clusters: Names
    values: Mapping[str, Floats]
    chance: Mapping[str, Floats]
    depths: Ints
    found: Floats
    returned: Ints
    relevant: Ints
    interpolated: Floats
    votes: Mapping[int, Sequence[Vote]]
    votes_by_chance: Mapping[int, Sequence[Vote]]
    hits: Ints
    hit_distances: Floats

    def __len__(self) -> int:
        return len(self.classes)

    def only(self, rows: Ints) -> "Scores":
        """The scores of some queries alone."""
        by_query = ("classes", "clusters", "found", "returned", "relevant", "interpolated")
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in (*by_query, "hits", "hit_distances")},
            values={name: each[rows] for name, each in self.values.items()},
            chance={name: each[rows] for name, each in self.chance.items()},
            votes=_picked(self.votes, rows),
            votes_by_chance=_picked(self.votes_by_chance, rows),
        )


def score(ranked: Iterable[Ranking], *, queries: Subjects, gallery_size: int) -> Scores:
    """Apply every measure to every ranking.

    Args:
        ranked: one a query, in the queries' order; taken one by one, none is kept.
        queries: who asks.
        gallery_size: the most images that a ranking may hold.
    """
    depths = curve_depths(gallery_size)
    rows = [score_query(each, depths=depths) for each in ranked]
    return Scores(
        classes=queries.classes,
        clusters=queries.clusters,
        values=_by_measure([row.values for row in rows]),
        chance=_by_measure([row.chance for row in rows]),
        depths=depths,
        found=np.array([row.found for row in rows]),
        returned=np.array([row.returned for row in rows]),
        relevant=np.array([row.relevant for row in rows]),
        interpolated=np.array([row.interpolated for row in rows]),
        votes=_by_depth([row.votes for row in rows]),
        votes_by_chance=_by_depth([row.votes_by_chance for row in rows]),
        hits=np.array([row.hits for row in rows]),
        hit_distances=np.array([row.hit_distances for row in rows]),
    )


def score_query(ranking: Ranking, *, depths: Ints) -> QueryScore:
    """Apply every measure to one ranking; `depths` as in `Scores`."""
    returned = np.minimum(depths, len(ranking))
    relevant = int(ranking.relevant.sum())
    positive = int((ranking.classes == MALIGNANT).sum())
    hits, distances = np.full(K, -1), np.full(K, np.nan)
    shown = min(K, len(ranking))
    hits[:shown], distances[:shown] = ranking.items[:K], ranking.distances[:K]
    return QueryScore(
        values=_values(ranking),
        chance=_chances(relevant=relevant, total=len(ranking)),
        found=expected_counts(ranking, ranking.relevant)[returned],
        returned=returned,
        relevant=relevant,
        interpolated=interpolated_precision(ranking),
        votes=tuple(vote(ranking, k=k, positive_class=MALIGNANT) for k in VOTE_DEPTHS),
        votes_by_chance=tuple(
            vote_chance(positive=positive, total=len(ranking), k=k) for k in VOTE_DEPTHS
        ),
        hits=hits,
        hit_distances=distances,
    )


def curve_depths(size: int) -> Ints:
    """Each depth of a small gallery; of a large one the first ones and then ever wider steps."""
    if size <= _MAX_DEPTHS:
        return np.arange(1, size + 1)
    return np.unique(np.geomspace(1, size, _MAX_DEPTHS).round().astype(np.int64))


def _values(ranking: Ranking) -> tuple[float, ...]:
    return (
        *(precision_at(ranking, k=k) for k in PRECISION_DEPTHS),
        average_precision(ranking),
        average_precision_at(ranking, k=K),
    )


def _chances(*, relevant: int, total: int) -> tuple[float, ...]:
    return (
        *(precision_chance(relevant=relevant, total=total, k=k) for k in PRECISION_DEPTHS),
        average_precision_chance(relevant=relevant, total=total),
        average_precision_at_chance(relevant=relevant, total=total, k=K),
    )


def _picked(votes: Mapping[int, Sequence[Vote]], rows: Ints) -> dict[int, list[Vote]]:
    return {k: [each[row] for row in rows] for k, each in votes.items()}


def _by_depth(rows: Sequence[tuple[Vote, ...]]) -> dict[int, list[Vote]]:
    return {k: [row[place] for row in rows] for place, k in enumerate(VOTE_DEPTHS)}


def _by_measure(rows: Sequence[tuple[float, ...]]) -> dict[str, Floats]:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(MEASURES))
    return {name: table[:, column] for column, name in enumerate(MEASURES)}
