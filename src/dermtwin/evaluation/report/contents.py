"""The pictures of a report, by the name of their file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.evaluation.pictures import plots
from dermtwin.evaluation.pictures.style import Draw, Picture, picture
from dermtwin.evaluation.pictures.tiles import code_sheet, strips
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT
from dermtwin.evaluation.report.album import (
    Album,
    CodePicture,
    Strip,
    code_pictures,
    extremes,
    strip,
)
from dermtwin.evaluation.study import Study
from dermtwin.evaluation.subjects import Subjects

CODE_DIMENSIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything on the page that is not text.

    Attributes:
        plots: by file name without suffix.
        best, worst: by output, strips of queries.
        codes: by output with a two-dimensional code, images beside codes.
        shown_protocol: the protocol whose hits the strips show.
        sheets: further PNG files, by name without suffix.
    """

    plots: Mapping[str, Picture]
    best: Mapping[str, Sequence[Strip]]
    worst: Mapping[str, Sequence[Strip]]
    codes: Mapping[str, Sequence[CodePicture]]
    shown_protocol: str
    sheets: Mapping[str, bytes]


def contents(
    studies: Mapping[str, Study],
    *,
    albums: Mapping[str, Album],
    queries: Subjects,
    codes: Mapping[str, NDArray[np.float32]],
    is_drawn: bool,
) -> Contents:
    """Draw everything.

    Args:
        studies: by output.
        albums: the pictures of each protocol's gallery; those of leave-one-out are the queries'.
        queries: the test images.
        codes: by output, the queries' codes in their own shape, float32 [N, …].
        is_drawn: whether the data are drawn.
    """
    shown = GALLERY if GALLERY in albums else LEAVE_ONE_OUT
    best, worst = {}, {}
    for name, each in studies.items():
        scores = each.runs[shown].scores
        best[name], worst[name] = (
            [
                strip(int(row), scores=scores, queries=albums[LEAVE_ONE_OUT], gallery=albums[shown])
                for row in rows
            ]
            for rows in extremes(scores)
        )
    pairs = {
        name: code_pictures(
            each, codes[name], queries=albums[LEAVE_ONE_OUT], classes=queries.classes
        )
        for name, each in studies.items()
        if len(each.shape) == CODE_DIMENSIONS
    }
    return Contents(
        plots=_plots(studies, queries, is_drawn=is_drawn),
        best=best,
        worst=worst,
        codes=pairs,
        shown_protocol=shown,
        sheets=_sheets(best, worst, pairs, is_drawn=is_drawn),
    )


def _plots(
    studies: Mapping[str, Study], queries: Subjects, *, is_drawn: bool
) -> dict[str, Picture]:
    drawings: dict[str, Draw] = {}
    for name, each in studies.items():
        drawings |= _of_output(name, each, queries)
    made = {name: picture(draw, is_drawn=is_drawn) for name, draw in drawings.items()}
    for name, each in studies.items():
        made |= _matrices(name, each, is_drawn=is_drawn)
    tables = {name: each.table_one for name, each in studies.items() if each.table_one}
    if tables:
        size = (5.2, 1.4 + 0.5 * len(tables))
        made["table-1"] = picture(plots.table_one_dots(tables), size=size, is_drawn=is_drawn)
    return made


def _matrices(name: str, study: Study, *, is_drawn: bool) -> dict[str, Picture]:
    return {
        f"neighbours-{protocol}-{name}": picture(
            plots.heat_map(found), size=plots.heat_map_size(found), is_drawn=is_drawn
        )
        for protocol, run in study.runs.items()
        if (found := run.confusion) is not None
    }


def _of_output(name: str, study: Study, queries: Subjects) -> dict[str, Draw]:
    drawings: dict[str, Draw] = {}
    if study.table_one:
        drawings[f"paper-{name}"] = plots.paper_curves(study.table_one)
    for protocol, run in study.runs.items():
        of_run: dict[str, Callable[..., Draw]] = {
            "precision-recall": plots.precision_recall,
            "roc": plots.roc,
            "reliability": plots.reliability,
        }
        for kind, make in of_run.items():
            drawings[f"{kind}-{protocol}-{name}"] = make(run.summary)
    if study.layout:
        classes = queries.classes[study.laid_out]
        drawings[f"tsne-{name}"] = plots.scatter(study.layout.points, classes=classes)
    return drawings


def _sheets(
    best: Mapping[str, Sequence[Strip]],
    worst: Mapping[str, Sequence[Strip]],
    codes: Mapping[str, Sequence[CodePicture]],
    *,
    is_drawn: bool,
) -> dict[str, bytes]:
    sheets = {}
    for kind, by_output in {"best": best, "worst": worst}.items():
        for name, found in by_output.items():
            rows = [(each.query, *each.hits) for each in found]
            if rows:
                sheets[f"{kind}-queries-{name}"] = strips(rows, is_drawn=is_drawn)
    for name, pictures in codes.items():
        pairs = [(each.tile, each.code) for each in pictures]
        sheets[f"codes-{name}"] = code_sheet(pairs, is_drawn=is_drawn)
    return sheets
