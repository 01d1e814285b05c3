"""Distances between codes, exact and in blocks."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.evaluation.ranking import Floats
from dermtwin.running import in_order

Codes = NDArray[np.float32]

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
