"""One output of an encoder, measured under every protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import tee

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.evaluation.balanced import balanced_figures
from dermtwin.evaluation.distances import SHORTLIST, Codes, distance_rows, reranked_rows
from dermtwin.evaluation.groups import Group, groups
from dermtwin.evaluation.intervals import resample
from dermtwin.evaluation.layout import MAX_POINTS, Layout, lay_out
from dermtwin.evaluation.leaks import Leaks, Neighbours, comparisons, find_leaks
from dermtwin.evaluation.levels import (
    Confusion,
    LevelScores,
    LevelSummary,
    LevelTally,
    confusion,
    summarise_level,
)
from dermtwin.evaluation.paper import TableOne, table_one
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT, rankings
from dermtwin.evaluation.ranking import Flags, Floats, Ints, Ranking
from dermtwin.evaluation.scores import Scores, score
from dermtwin.evaluation.subjects import DIAGNOSIS, STANDARD, Exclusion, Subjects
from dermtwin.evaluation.summary import MAP_MICRO, Figure, Summary, ranking_figures, summarise

LEAK_FIGURES = ("precision@1", "precision@10", MAP_MICRO)
"""What the leak check shows with and without a query's own neighbours."""

PREFIX_BITS = 32
"""How many bits the shorter code keeps."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Design:
    """Who is asked of whom; the same for every output.

    Attributes:
        queries: the test images.
        gallery: the training cases, where given.
        near_duplicates: by protocol.
        seed: of draws, bootstrap and map.
    """

    queries: Subjects
    gallery: Subjects | None
    near_duplicates: Mapping[str, Neighbours]
    seed: int

    def sides(self) -> dict[str, Subjects]:
        """The gallery of each protocol."""
        given = {} if self.gallery is None else {GALLERY: self.gallery}
        return {LEAVE_ONE_OUT: self.queries} | given

    def leaks(self) -> dict[str, Leaks]:
        """The leak check of each protocol."""
        return {
            protocol: find_leaks(
                self.queries, side, near_duplicates=self.near_duplicates.get(protocol, {})
            )
            for protocol, side in self.sides().items()
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Run:
    """One protocol's outcome.

    Attributes:
        scores: query by query.
        summary: their averages.
        levels: the same for diagnoses, by level.
        confusion: among the neighbours' deepest diagnoses; None where the queries have but one.
        groups: by grouping and group, figures of the two classes.
        leak_figures: by rule of exclusion, the figures of `LEAK_FIGURES`.
    """

    scores: Scores
    summary: Summary
    levels: Mapping[str, LevelSummary]
    confusion: Confusion | None
    groups: Mapping[str, Mapping[str, Group]]
    leak_figures: Mapping[str, Mapping[str, Figure]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Study:
    """One output's figures.

    Attributes:
        output: `code`, `map`, …
        shape: of one image's code.
        metric: how codes were compared.
        derived: whether it is made of outputs that are measured themselves, such as a prefix.
        runs: by protocol.
        table_one: the paper's protocol; None with fewer than five images of a class.
        balanced: the figures of the paper's test set drawn from a larger one; none where the test
            images are no more, or too few.
        laid_out: int64 [points], the rows of the queries that are on the map.
        layout: None where there is nothing to lay out.
    """

    output: str
    shape: tuple[int, ...]
    metric: str
    derived: bool
    runs: Mapping[str, Run]
    table_one: TableOne | None
    balanced: Mapping[str, Figure]
    laid_out: Ints
    layout: Layout | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compared:
    """What of an encoder is compared, and how.

    Attributes:
        output: its name.
        shape: of one image's code.
        metric: how its codes compare.
        codes: by protocol, the codes of its gallery, float32 [N, D]; those of leave-one-out are
            the queries' own.
        turned: the queries' codes in further views, each float32 [Q, D].
        fine: codes by which the first hits are ranked anew; None: they are not.
        derived: as in `Study`.
    """

    output: str
    shape: tuple[int, ...]
    metric: str
    codes: Mapping[str, Codes]
    turned: tuple[Codes, ...] = ()
    fine: "Compared | None" = None
    derived: bool = False

    @property
    def told_metric(self) -> str:
        """The metric in words."""
        if self.fine is None:
            return self.metric
        return f"{self.metric}, the first {SHORTLIST} by {self.fine.output} ({self.fine.metric})"

    def rows(self, protocol: str, eligible: Iterable[Flags]) -> Iterator[Floats]:
        """Distances of each query's views to the protocol's gallery: float64 [views, N] a query."""
        views = range(1 + len(self.turned))
        allowed = tee(eligible, len(views))
        by_view = [self._rows_of(view, protocol, allowed[view]) for view in views]
        return map(np.stack, zip(*by_view, strict=True))

    def _rows_of(self, view: int, protocol: str, eligible: Iterable[Flags]) -> Iterator[Floats]:
        asked = (self.codes[LEAVE_ONE_OUT], *self.turned)[view]
        mine = distance_rows(asked, self.codes[protocol], metric=self.metric)
        if self.fine is None:
            return mine
        return reranked_rows(mine, self.fine._rows_of(view, protocol, ()), eligible=eligible)  # noqa: SLF001

    def among(self, rows: Ints) -> "Compared":
        """The same of some of the queries, to be asked of one another."""
        fine = self.fine and self.fine.among(rows)
        codes = {LEAVE_ONE_OUT: self.codes[LEAVE_ONE_OUT][rows]}
        turned = tuple(each[rows] for each in self.turned)
        return replace(self, codes=codes, turned=turned, fine=fine)

    def changed(self, change: Callable[[Codes], Codes]) -> "Compared":
        """The same with every code changed in the same way."""
        codes = {protocol: change(each) for protocol, each in self.codes.items()}
        return replace(self, codes=codes, turned=tuple(map(change, self.turned)))


def derived(outputs: Mapping[str, Compared]) -> list[Compared]:
    """What else bits can be: half as many of them, and a first stage before the float code."""
    found = []
    bits, code = outputs.get("bits"), outputs.get("code")
    if bits and bits.shape == (2 * PREFIX_BITS,):
        half = bits.changed(lambda codes: codes[:, :PREFIX_BITS])
        name = f"bits[:{PREFIX_BITS}]"
        found.append(replace(half, output=name, shape=(PREFIX_BITS,), derived=True))
    if bits and code:
        found.append(replace(bits, output="bits, re-ranked", fine=code, derived=True))
    return found


def study(compared: Compared, *, design: Design) -> Study:
    """Measure one output under every protocol of a design."""
    runs = {protocol: _run(compared, protocol, design) for protocol in design.sides()}
    codes = compared.codes[LEAVE_ONE_OUT]
    laid_out, layout = _lay_out(codes[:0] if compared.derived else codes, seed=design.seed)
    return Study(
        output=compared.output,
        shape=compared.shape,
        metric=compared.told_metric,
        derived=compared.derived,
        runs=runs,
        table_one=table_one(runs[LEAVE_ONE_OUT].scores, seed=design.seed),
        balanced=balanced(compared, design),
        laid_out=laid_out,
        layout=layout,
    )


def ranked(
    compared: Compared, protocol: str, design: Design, *, exclusion: Exclusion = STANDARD
) -> Iterator[Ranking]:
    """The gallery of a protocol in the order of each query."""
    side = design.sides()[protocol]
    eligible = (
        exclusion.eligible(design.queries, side, query=query)
        for query in range(len(design.queries))
    )
    rows = compared.rows(protocol, eligible)
    return rankings(rows, queries=design.queries, gallery=side, exclusion=exclusion)


def scored(
    compared: Compared, protocol: str, design: Design
) -> tuple[Scores, dict[str, LevelScores]]:
    """What each query scores, in the two classes and at each level of diagnosis."""
    side = design.sides()[protocol]
    tally = LevelTally(design.queries, side)
    rows = tally.watch(ranked(compared, protocol, design))
    scores = score(rows, queries=design.queries, gallery_size=len(side))
    return scores, tally.scores()


def balanced(compared: Compared, design: Design) -> dict[str, Figure]:
    """The figures of the paper's test set drawn from the queries; see `balanced_figures`."""
    return balanced_figures(
        design.queries.classes,
        scores_among=partial(_scores_among, compared, design),
        seed=design.seed,
    )


def _scores_among(compared: Compared, design: Design, rows: Ints) -> Scores:
    """Leave-one-out among some of the queries."""
    queries = design.queries.only(rows)
    among = replace(design, queries=queries, gallery=None, near_duplicates={})
    found = ranked(compared.among(rows), LEAVE_ONE_OUT, among)
    return score(found, queries=queries, gallery_size=len(rows))


def _run(compared: Compared, protocol: str, design: Design) -> Run:
    scores, levels = scored(compared, protocol, design)
    summary = summarise(scores, seed=design.seed)
    resamples = resample(scores.clusters, seed=design.seed)
    return Run(
        scores=scores,
        summary=summary,
        levels={name: summarise_level(each, resamples=resamples) for name, each in levels.items()},
        confusion=confusion(levels[DIAGNOSIS]) if DIAGNOSIS in levels else None,
        groups=groups(scores, queries=design.queries, seed=design.seed),
        leak_figures=_leak_figures(compared, protocol, design, summary),
    )


def _leak_figures(
    compared: Compared, protocol: str, design: Design, summary: Summary
) -> dict[str, dict[str, Figure]]:
    size = len(design.sides()[protocol])
    leaking = design.leaks()[protocol].any.any()
    by_rule = {}
    for rule, exclusion in comparisons(design.near_duplicates.get(protocol, {})).items():
        # Without a leak the three rules leave out the same images.
        if exclusion == STANDARD or not leaking:
            figures = summary.figures
        else:
            rows = ranked(compared, protocol, design, exclusion=exclusion)
            scores = score(rows, queries=design.queries, gallery_size=size)
            figures = _ranking_figures(scores, design.seed)
        by_rule[rule] = {name: figures[name] for name in LEAK_FIGURES}
    return by_rule


def _ranking_figures(scores: Scores, seed: int) -> dict[str, Figure]:
    return ranking_figures(scores, resamples=resample(scores.clusters, seed=seed))


def _lay_out(codes: NDArray[np.float32], *, seed: int) -> tuple[Ints, Layout | None]:
    rows = np.arange(len(codes))
    if len(codes) > MAX_POINTS:
        chosen = np.random.default_rng(seed).choice(len(codes), MAX_POINTS, replace=False)
        rows = np.sort(chosen)
    try:
        return rows, lay_out(codes[rows], seed=seed)
    except SettingsError:
        # Too few codes, or all equal: the report says that there is no map.
        return rows[:0], None
