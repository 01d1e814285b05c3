"""The crop: the whole lesion with some skin around it, and as little else as can be."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from dermtwin.preparation.findings import Chance
from dermtwin.preparation.pose import Box

_SIDES = 14
_PLACES = 13
_STEPS = 6
# What a crop of another size than wanted, or with the lesion off its middle, is worth in artefact.
_PER_SIZE = 0.02
_PER_OFFSET = 0.01

Boxes = NDArray[np.int64]
"""Boxes in pixels: int64 [n, 4] as left, top, right, bottom."""


def best_square(
    lesion: Box, *, size: tuple[int, int], noise: Chance, margins: tuple[float, float]
) -> Box | None:
    """The square that keeps the lesion with a margin and holds the least artefact.

    Args:
        lesion: in pixels of the picture.
        size: the picture's width and height.
        noise: how much of each place is artefact, 0…1, over the whole picture.
        margins: least and wanted, in lengths of the lesion's longer side.

    Returns:
        None: no square in the picture holds the whole lesion.
    """
    longer, most = max(lesion.width, lesion.height), min(size)
    if longer > most:
        return None
    keep = _widened(lesion, margins[0], size=size)
    if max(keep.width, keep.height) > most:
        # The margin gives way before the lesion does.
        keep = lesion
    least = max(keep.width, keep.height)
    wanted = min(max(least, round(longer * (1 + 2 * margins[1]))), most)
    sides = np.unique(np.linspace(least, wanted, _SIDES).astype(np.int64))
    boxes = np.concatenate([_squares(int(side), keep, size=size) for side in sides])
    return _best(boxes, lesion, wanted=(wanted, wanted), size=size, noise=noise)


def best_rectangle(
    lesion: Box, *, size: tuple[int, int], noise: Chance, margins: tuple[float, float]
) -> Box:
    """The rectangle that keeps the lesion with a margin and holds the least artefact."""
    keep = _widened(lesion, margins[0], size=size)
    wanted = _widened(lesion, margins[1], size=size)
    edges = (
        np.linspace(inner, outer, _STEPS).astype(np.int64)
        for inner, outer in zip(_edges(keep), _edges(wanted), strict=True)
    )
    boxes = np.array(list(product(*edges)), dtype=np.int64)
    return _best(boxes, lesion, wanted=(wanted.width, wanted.height), size=size, noise=noise)


def _edges(box: Box) -> tuple[int, int, int, int]:
    return box.left, box.top, box.right, box.bottom


def _widened(box: Box, margin: float, *, size: tuple[int, int]) -> Box:
    add = int(np.ceil(margin * max(box.width, box.height)))
    return Box(
        max(0, box.left - add),
        max(0, box.top - add),
        min(size[0], box.right + add),
        min(size[1], box.bottom + add),
    )


def _squares(side: int, keep: Box, *, size: tuple[int, int]) -> Boxes:
    """Squares of one side, in the picture, that hold a box; none where there is none."""
    lefts = np.linspace(max(0, keep.right - side), min(keep.left, size[0] - side), _PLACES)
    tops = np.linspace(max(0, keep.bottom - side), min(keep.top, size[1] - side), _PLACES)
    left, top = np.meshgrid(lefts.astype(np.int64), tops.astype(np.int64))
    return np.stack([left, top, left + side, top + side], axis=-1).reshape(-1, 4)


def _best(
    boxes: Boxes, lesion: Box, *, wanted: tuple[int, int], size: tuple[int, int], noise: Chance
) -> Box:
    spans = boxes[:, 2:] - boxes[:, :2]
    too_small = np.abs(np.log(spans / wanted)).sum(axis=1) / 2
    middle = np.array([lesion.left + lesion.right, lesion.top + lesion.bottom]) / 2
    off = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - middle) / spans
    cost = _share(boxes, noise, size=size)
    cost = cost + _PER_SIZE * too_small + _PER_OFFSET * off.sum(axis=1)
    left, top, right, bottom = (int(edge) for edge in boxes[int(cost.argmin())])
    return Box(left, top, right, bottom)


def _share(boxes: Boxes, noise: Chance, *, size: tuple[int, int]) -> NDArray[np.float64]:
    """Mean of the noise in each box."""
    rows, columns = noise.shape
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = noise.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    x = np.rint(boxes[:, [0, 2]] * (columns / size[0])).astype(np.int64)
    y = np.rint(boxes[:, [1, 3]] * (rows / size[1])).astype(np.int64)
    x[:, 1] = np.maximum(x[:, 1], x[:, 0] + 1)
    y[:, 1] = np.maximum(y[:, 1], y[:, 0] + 1)
    x, y = np.minimum(x, columns), np.minimum(y, rows)
    (x0, x1), (y0, y1) = x.T, y.T
    total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    share: NDArray[np.float64] = total / np.maximum((x1 - x0) * (y1 - y0), 1)
    return share
