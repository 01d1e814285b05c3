"""Which cases the report shows: the best and the worst queries with their hits, and some codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermtwin.evaluation.pictures.tiles import Tile, colour_coded, thumbnail
from dermtwin.evaluation.ranking import Ints
from dermtwin.evaluation.scores import AP, K, Scores
from dermtwin.evaluation.study import Study
from dermtwin.evaluation.subjects import BENIGN, CLASS_NAMES, MALIGNANT
from dermtwin.images import Rgb
from dermtwin.vocabulary import Case

SHOWN_QUERIES = 3
"""How many of the best, and of the worst, queries are shown for each output."""

_SHOWN_CODES = 8

_cached_thumbnail = cache(thumbnail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """The pictures of one side, row by row as its `Subjects`."""

    cases: tuple[Case, ...]
    paths: tuple[Path, ...]

    def tile(self, row: int, *lines: str) -> Tile:
        """A case with what is recorded of it, and further lines before that."""
        case = self.cases[row]
        return Tile(
            image=_cached_thumbnail(self.paths[row]),
            class_number=MALIGNANT if case.is_malignant else BENIGN,
            lines=(*lines, recorded(case)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A query and what came back.

    Attributes:
        name: the query's.
        class_name: the query's recorded class.
        same: how many of the hits share it.
        average_precision: of the whole ranking.
        query: its tile.
        hits: their tiles, nearest first.
    """

    name: str
    class_name: str
    same: int
    average_precision: float
    query: Tile
    hits: tuple[Tile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePicture:
    """An image beside its colour-coded code, and the short code as numbers where there is one."""

    tile: Tile
    code: Rgb


def recorded(case: Case) -> str:
    """The diagnosis on record, as deep as it is known."""
    return case.diagnosis or "no diagnosis recorded"


def extremes(scores: Scores) -> tuple[Ints, Ints]:
    """Rows of the best and of the worst queries, each lesion once, the most extreme first.

    By precision@10, then average precision; queries for which either is undefined are passed over.
    """
    first, second = scores.values[f"precision@{K}"], scores.values[AP]
    order = np.lexsort((second, first))
    known = order[~np.isnan(first[order] + second[order])]
    best, worst = _distinct(known[::-1], scores), _distinct(known, scores)
    return best, np.array([row for row in worst if row not in best], dtype=np.int64)


def strip(row: int, *, scores: Scores, queries: Album, gallery: Album) -> Strip:
    """A query and its first ten hits."""
    hits = [hit for hit in scores.hits[row] if hit >= 0]
    tiles = tuple(
        gallery.tile(hit, f"{place}.  {distance:#.3g}")
        for place, (hit, distance) in enumerate(
            zip(hits, scores.hit_distances[row], strict=False), start=1
        )
    )
    number = int(scores.classes[row])
    return Strip(
        name=queries.cases[row].isic_id,
        class_name=CLASS_NAMES[number],
        same=sum(tile.class_number == number for tile in tiles),
        average_precision=float(scores.values[AP][row]),
        query=queries.tile(row, "query"),
        hits=tiles,
    )


def code_pictures(
    study: Study, codes: NDArray[np.float32], *, queries: Album, classes: Ints
) -> list[CodePicture]:
    """Images beside their codes: the first paper draw's queries, so that nobody picked them.

    Args:
        study: of an output whose code has two dimensions.
        codes: float32 [N, h, w].
        queries: their pictures.
        classes: int64 [N].
    """
    rows = (
        study.table_one.draws[0] if study.table_one else np.argsort(-classes, kind="stable")
    ).tolist()
    half = _SHOWN_CODES // 2
    chosen = [*rows[:half], *rows[-half:]] if len(rows) > _SHOWN_CODES else rows
    return [
        CodePicture(
            tile=queries.tile(row, queries.cases[row].isic_id), code=colour_coded(codes[row])
        )
        for row in chosen
    ]


def _distinct(rows: Sequence[int] | Ints, scores: Scores) -> Ints:
    seen: dict[str, int] = {}
    for row in rows:
        seen.setdefault(str(scores.clusters[row]), int(row))
        if len(seen) == SHOWN_QUERIES:
            break
    return np.array(list(seen.values()), dtype=np.int64)
