"""Retrieval of diagnoses: at each level of the archive's hierarchy, and the deepest that is known.

The rankings are those of the two classes: distances and their order are computed once, and each
level reads its own labels along that order. Where a level is unknown nobody can say whether two
images agree, so such images neither ask nor come back at that level; they are counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from dermtwin.evaluation.chance import average_precision_chance, precision_chance
from dermtwin.evaluation.intervals import Resamples
from dermtwin.evaluation.measures import average_precision, precision_at
from dermtwin.evaluation.ranking import Floats, Ints, Ranking
from dermtwin.evaluation.scores import K
from dermtwin.evaluation.subjects import DIAGNOSIS, Names, Subjects
from dermtwin.evaluation.summary import Figure, macro_figure, mean_figure
from dermtwin.vocabulary import DIAGNOSIS_LEVELS

LEVELS = (*DIAGNOSIS_LEVELS, DIAGNOSIS)
LEVEL_DEPTHS = (1, K)
MAP = "mAP"
LEVEL_MEASURES = (*(f"precision@{k}" for k in LEVEL_DEPTHS), MAP)

_UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Level:
    """One level's labels as numbers.

    Attributes:
        names: the diagnoses, in alphabetical order; a label is a place in it.
        queries: int64 [Q]; -1 where unknown.
        gallery: int64 [N], likewise.
    """

    names: tuple[str, ...]
    queries: Ints
    gallery: Ints

    def ranking(self, ranking: Ranking, *, query: int) -> Ranking | None:
        """A ranking as this level sees it; None where the query's label is unknown."""
        if self.queries[query] == _UNKNOWN:
            return None
        labels = self.gallery[ranking.items]
        known = labels != _UNKNOWN
        return Ranking(
            query_class=int(self.queries[query]),
            distances=ranking.distances[known],
            classes=labels[known],
            items=ranking.items[known],
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LevelScores:
    """What each query scores at one level.

    Attributes:
        level: whose labels these are.
        values: by measure, float64 [Q]; NaN where it is not defined, or the label is unknown.
        chance: the same for an encoder that knows nothing.
        shares: float64 [Q, names], the expected share of each diagnosis among the first ten; NaN
            where there are fewer.
    """

    level: Level
    values: Mapping[str, Floats]
    chance: Mapping[str, Floats]
    shares: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSummary:
    """What one level comes to.

    Attributes:
        figures: each measure, micro and macro.
        macro_classes: how many diagnoses define a macro average: those that a query and another
            lesion of the gallery share.
        classes: by diagnosis of the queries, each measure.
        unknown: images left out as unknown at this level, of the queries and of the gallery.
    """

    figures: Mapping[str, Figure]
    macro_classes: int
    classes: Mapping[str, Mapping[str, Figure]]
    unknown: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Confusion:
    """Which diagnoses the first ten hits have, by the query's diagnosis.

    Attributes:
        queries: the diagnoses of the rows.
        neighbours: the diagnoses of the columns.
        counts: int64 [queries], how many queries a row is the mean of.
        shares: float64 [queries, neighbours], mean shares; a row sums to 1. NaN without a query.
    """

    queries: tuple[str, ...]
    neighbours: tuple[str, ...]
    counts: Ints
    shares: Floats


class LevelTally:
    """Scores every level of each ranking that passes by."""

    def __init__(self, queries: Subjects, gallery: Subjects) -> None:
        self._levels = levels_of(queries, gallery)
        self._rows: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in self._levels}

    def watch(self, rankings: Iterable[Ranking]) -> Iterator[Ranking]:
        """Yield the rankings unchanged, one a query and in the queries' order."""
        for query, ranking in enumerate(rankings):
            for name, level in self._levels.items():
                self._rows[name].append(_score(level.ranking(ranking, query=query), level))
            yield ranking

    def scores(self) -> dict[str, LevelScores]:
        """Of all rankings that passed, by level."""
        return {name: _gathered(level, self._rows[name]) for name, level in self._levels.items()}


def levels_of(queries: Subjects, gallery: Subjects) -> dict[str, Level]:
    """The levels at which the queries have two diagnoses or more."""
    return {
        name: _numbered(queries.labels[name], gallery.labels[name])
        for name in LEVELS
        if name in queries.labels and len(set(queries.labels[name].tolist()) - {""}) > 1
    }


def neighbour_shares(ranking: Ranking, *, classes: int) -> Floats:
    """The expected share of each class among the first ten: float64 [classes].

    Of the images tied at rank 10 each gets in with the same chance.
    """
    if len(ranking) < K:
        return np.full(classes, np.nan)
    start = int(np.searchsorted(ranking.distances, ranking.distances[K - 1], side="left"))
    end = int(np.searchsorted(ranking.distances, ranking.distances[K - 1], side="right"))
    weights = np.repeat([1.0, (K - start) / (end - start)], [start, end - start])
    shares = np.bincount(ranking.classes[:end], weights=weights, minlength=classes) / K
    return np.minimum(shares, 1.0)  # ten times a rounded tenth is more


def summarise_level(scores: LevelScores, *, resamples: Resamples) -> LevelSummary:
    """Average the scores of one level; `resamples` are of all queries' lesions."""
    level = scores.level
    asked = np.unique(level.queries[level.queries != _UNKNOWN]).tolist()
    figures = {}
    for name in LEVEL_MEASURES:
        values, chance = scores.values[name], scores.chance[name]
        defining = np.unique(level.queries[~np.isnan(values)]).tolist()
        figures[f"{name}, micro"] = mean_figure(values, chance=chance, resamples=resamples)
        figures[f"{name}, macro"] = macro_figure(
            values, chance=chance, classes=level.queries, among=defining, resamples=resamples
        )
    return LevelSummary(
        figures=figures,
        macro_classes=len(np.unique(level.queries[~np.isnan(scores.values[MAP])])),
        classes={
            level.names[label]: {
                name: _class_figure(scores, name, label, resamples) for name in LEVEL_MEASURES
            }
            for label in asked
        },
        unknown={
            "queries": int((level.queries == _UNKNOWN).sum()),
            "gallery": int((level.gallery == _UNKNOWN).sum()),
        },
    )


def confusion(scores: LevelScores) -> Confusion:
    """The mean shares of neighbours' diagnoses over the queries of each diagnosis."""
    level, defined = scores.level, ~np.isnan(scores.shares).any(axis=1)
    asked = np.unique(level.queries[level.queries != _UNKNOWN])
    present = np.unique([*asked, *np.unique(level.gallery[level.gallery != _UNKNOWN])])
    rows = [scores.shares[defined & (level.queries == label)][:, present] for label in asked]
    nothing = np.full(len(present), np.nan)
    return Confusion(
        queries=tuple(level.names[label] for label in asked),
        neighbours=tuple(level.names[label] for label in present),
        counts=np.array([len(each) for each in rows]),
        shares=np.array(
            [each.mean(axis=0).clip(max=1.0) if len(each) else nothing for each in rows]
        ),
    )


def _numbered(queries: Names, gallery: Names) -> Level:
    names = sorted(({*queries.tolist()} | {*gallery.tolist()}) - {""})
    number = {name: place for place, name in enumerate(names)} | {"": _UNKNOWN}
    return Level(
        names=tuple(names),
        queries=np.array([number[each] for each in queries.tolist()], dtype=np.int64),
        gallery=np.array([number[each] for each in gallery.tolist()], dtype=np.int64),
    )


def _score(ranking: Ranking | None, level: Level) -> tuple[Floats, Floats]:
    """Values and their chance, float64 [2, measures], and the neighbours' shares."""
    if ranking is None:
        return np.full((2, len(LEVEL_MEASURES)), np.nan), np.full(len(level.names), np.nan)
    relevant, total = int(ranking.relevant.sum()), len(ranking)
    values = [*(precision_at(ranking, k=k) for k in LEVEL_DEPTHS), average_precision(ranking)]
    chance = [
        *(precision_chance(relevant=relevant, total=total, k=k) for k in LEVEL_DEPTHS),
        average_precision_chance(relevant=relevant, total=total),
    ]
    return np.array([values, chance]), neighbour_shares(ranking, classes=len(level.names))


def _gathered(level: Level, rows: list[tuple[Floats, Floats]]) -> LevelScores:
    # The table is float64 [Q, 2, measures].
    table = np.array([numbers for numbers, _ in rows])
    return LevelScores(
        level=level,
        values={name: table[:, 0, place] for place, name in enumerate(LEVEL_MEASURES)},
        chance={name: table[:, 1, place] for place, name in enumerate(LEVEL_MEASURES)},
        shares=np.array([shares for _, shares in rows]),
    )


def _class_figure(scores: LevelScores, name: str, label: int, resamples: Resamples) -> Figure:
    """The mean over one diagnosis' queries alone; the others do not count as undefined."""
    mine = scores.level.queries == label
    values = np.where(mine, scores.values[name], np.nan)
    chance = np.where(mine, scores.chance[name], np.nan)
    found = mean_figure(values, chance=chance, resamples=resamples)
    return replace(found, undefined=int(mine.sum()) - found.queries)
