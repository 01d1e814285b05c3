"""One output of an encoder, measured under every protocol."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.evaluation.distances import distance_rows
from dermtwin.evaluation.intervals import resample
from dermtwin.evaluation.layout import MAX_POINTS, Layout, lay_out
from dermtwin.evaluation.leaks import Leaks, Neighbours, comparisons, find_leaks
from dermtwin.evaluation.paper import TableOne, table_one
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT, rankings
from dermtwin.evaluation.ranking import Ints
from dermtwin.evaluation.scores import Scores, score
from dermtwin.evaluation.subjects import STANDARD, Exclusion, Subjects
from dermtwin.evaluation.summary import MAP_MICRO, Figure, Summary, ranking_figures, summarise

LEAK_FIGURES = ("precision@1", "precision@10", MAP_MICRO)
"""What the leak check shows with and without a query's own neighbours."""


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
        leak_figures: by rule of exclusion, the figures of `LEAK_FIGURES`.
    """

    scores: Scores
    summary: Summary
    leak_figures: Mapping[str, Mapping[str, Figure]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Study:
    """One output's figures.

    Attributes:
        output: `code`, `map`, …
        shape: of one image's code.
        metric: how codes were compared.
        runs: by protocol.
        table_one: the paper's protocol; None with fewer than five images of a class.
        laid_out: int64 [points], the rows of the queries that are on the map.
        layout: None where there is nothing to lay out.
    """

    output: str
    shape: tuple[int, ...]
    metric: str
    runs: Mapping[str, Run]
    table_one: TableOne | None
    laid_out: Ints
    layout: Layout | None


def study(
    output: str,
    *,
    metric: str,
    shape: tuple[int, ...],
    codes: Mapping[str, NDArray[np.float32]],
    design: Design,
) -> Study:
    """Measure one output.

    Args:
        output: its name.
        metric: how its codes compare.
        shape: of one image's code.
        codes: by protocol, the codes of its gallery, float32 [N, D]; those of leave-one-out are
            the queries' own.
        design: whose they are.
    """
    runs = {
        protocol: _run(codes[LEAVE_ONE_OUT], codes[protocol], protocol, metric, design)
        for protocol in design.sides()
    }
    laid_out, layout = _lay_out(codes[LEAVE_ONE_OUT], seed=design.seed)
    return Study(
        output=output,
        shape=shape,
        metric=metric,
        runs=runs,
        table_one=table_one(runs[LEAVE_ONE_OUT].scores, seed=design.seed),
        laid_out=laid_out,
        layout=layout,
    )


def _run(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    protocol: str,
    metric: str,
    design: Design,
) -> Run:
    side = design.sides()[protocol]

    def scored(exclusion: Exclusion) -> Scores:
        rows = distance_rows(queries, gallery, metric=metric)
        ranked = rankings(rows, queries=design.queries, gallery=side, exclusion=exclusion)
        return score(ranked, queries=design.queries, gallery_size=len(side))

    scores = scored(STANDARD)
    summary = summarise(scores, seed=design.seed)
    leaking = design.leaks()[protocol].any.any()
    by_rule = {}
    for rule, exclusion in comparisons(design.near_duplicates.get(protocol, {})).items():
        # Without a leak the three rules leave out the same images.
        same = exclusion == STANDARD or not leaking
        figures = summary.figures if same else _ranking_figures(scored(exclusion), design.seed)
        by_rule[rule] = {name: figures[name] for name in LEAK_FIGURES}
    return Run(scores=scores, summary=summary, leak_figures=by_rule)


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
