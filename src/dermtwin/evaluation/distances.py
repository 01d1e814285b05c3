"""Distances between codes, exact and in blocks."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.evaluation.ranking import Flags, Floats
from dermtwin.running import in_order

Codes = NDArray[np.float32]

SHORTLIST = 100
"""How many images the first, coarse stage of a re-ranking hands on."""

_BLOCK = 64

# Pair by pair in float64, never by way of a matrix product: equal codes must come out at exactly
# the same distance, or ties would be broken by rounding.
METRICS: dict[str, Callable[[Codes], Floats]] = {
    "euclidean": lambda codes: codes.astype(np.float64),
    "hamming": lambda codes: (codes > 0).astype(np.float64),
}
_SCIPY_NAME = {"euclidean": "euclidean", "hamming": "cityblock"}


def distance_rows(queries: Codes, gallery: Codes, *, metric: str = "euclidean") -> Iterator[Floats]:
    """Distances of each query in turn to all of the gallery: float64 [gallery], one row a query.

    Args:
        queries: float32 [Q, D].
        gallery: float32 [N, D].
        metric: `euclidean`, or `hamming`: the number of signs that differ.

    Raises:
        SettingsError: the widths differ, or the metric is another.
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise SettingsError(f"codes {queries.shape} and {gallery.shape} cannot be compared.")
    if metric not in METRICS:
        raise SettingsError(f"metric {metric!r} is unknown; choose one of {', '.join(METRICS)}.")
    from scipy.spatial.distance import (  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra
        cdist,
    )

    values = METRICS[metric](gallery)

    def block(start: int) -> Floats:
        some = METRICS[metric](queries[start : start + _BLOCK])
        rows: Floats = cdist(some, values, _SCIPY_NAME[metric])
        return rows

    for rows in in_order(block, range(0, len(queries), _BLOCK)):
        yield from rows


def reranked_rows(
    coarse: Iterable[Floats],
    fine: Iterable[Floats],
    *,
    eligible: Iterable[Flags],
    first: int = SHORTLIST,
) -> Iterator[Floats]:
    """Distances in two stages: the nearest by a coarse code, put in order by a finer one.

    Of the images that may come back the first ones by the coarse distance are compared by the fine
    distance, all images at the boundary's distance among them; the others follow in their coarse
    order, behind all of these. Beyond the first ones a distance therefore only says an order.

    Args:
        coarse: a row of float64 [N] for each query.
        fine: the same.
        eligible: bool [N] for each query, which images may come back.
        first: how many the coarse stage hands on, more where they tie.
    """
    for row, exact, allowed in zip(coarse, fine, eligible, strict=True):
        near = np.sort(row[allowed])[:first]
        chosen = allowed & (row <= near.max(initial=-np.inf))
        yield np.where(chosen, exact, row + exact[chosen].max(initial=0) + 1)
