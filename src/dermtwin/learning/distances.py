"""How near the nearest other lesion is, over the training images: what `near` means for a code."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

# Rows compared at once: 256 x 10,000 distances are 20 MB.
_ROWS = 256


def nearest_of_another_lesion(
    vectors: NDArray[np.float32], lesions: Sequence[str]
) -> NDArray[np.float64]:
    """Each vector's Euclidean distance to the nearest one that shows another lesion.

    Args:
        vectors: [N, D].
        lesions: each vector's lesion; at least two different ones.

    Returns:
        float64 [N].
    """
    points = vectors.astype(np.float64)
    squares = np.square(points).sum(axis=1)
    owners = np.unique(np.asarray(lesions, dtype=np.str_), return_inverse=True)[1]
    nearest = np.empty(len(points))
    for begin in range(0, len(points), _ROWS):
        rows = slice(begin, begin + _ROWS)
        # |a-b|² = |a|² + |b|² - 2ab, which may come out a rounding below 0.
        squared = squares[rows, None] + squares - 2 * points[rows] @ points.T
        squared[owners[rows, None] == owners] = np.inf
        nearest[rows] = np.sqrt(np.maximum(squared.min(axis=1), 0))
    return nearest


def percentiles(distances: NDArray[np.float64]) -> dict[str, float]:
    """The card's percentiles, "1" to "99"."""
    values = np.percentile(distances, PERCENTILES)
    return {str(each): float(value) for each, value in zip(PERCENTILES, values, strict=True)}
