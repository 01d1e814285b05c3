"""Test-time views: a picture's mirrored and quarter-turned views, and the mean of their codes.

A lesion has no right way up. The eight symmetries of the square (the dihedral group D4) only move
pixels, so each view is as good a picture as the first, and the mean of their codes is the same
whichever way the picture was held.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dermtwin.encoders.card import REGIONS, OutputSpec
from dermtwin.errors import SettingsError
from dermtwin.images import Rgb

VIEWS = (1, 8)
"""How many views may be asked for: the picture as it is, or all of its eight."""

_VECTORS = ("euclidean", "cosine")
_QUARTER_TURNS = 4
# A network normalises in float32 or less; another code comes this near to 1 eight times by chance
# hardly ever.
_UNIT_TOLERANCE = 1e-3


def refuse_views(views: int) -> None:
    """Raise SettingsError unless so many views can be averaged."""
    if views not in VIEWS:
        raise SettingsError(
            f"{views} views cannot be averaged; choose 1 (the picture as it is) or 8 (mirrored and "
            "turned by quarters)."
        )


def symmetric_views(view: Rgb) -> Rgb:
    """The view, its three quarter turns, and the same of its mirror image, in this order.

    Args:
        view: uint8 [size, size, 3].

    Returns:
        uint8 [8, size, size, 3].
    """
    both = (view, view[:, ::-1])
    return np.stack([np.rot90(each, turn) for each in both for turn in range(_QUARTER_TURNS)])


def averaged(
    codes: Mapping[str, NDArray[np.float32]], outputs: Mapping[str, OutputSpec]
) -> dict[str, NDArray[np.float32]]:
    """The mean over a picture's eight views, each output in its own space.

    Where all eight codes are of length 1, so is their mean: it is scaled. Bits are averaged as
    the numbers whose signs they are. Regions are turned back before, so that places fall on places.

    Args:
        codes: by output, float32 [8, *shape], in the order of `symmetric_views`.
        outputs: by name, as in the card.

    Returns:
        By output, float32 [1, *shape].
    """
    return {name: _averaged(name, each, outputs[name].metric) for name, each in codes.items()}


def _averaged(name: str, codes: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    if name == REGIONS:
        codes = _turned_back(codes)
    # In float64 the order of the views, which a turned picture changes, makes no difference.
    wide = codes.astype(np.float64)
    mean = wide.mean(axis=0, keepdims=True)
    lengths = np.linalg.norm(wide.reshape(len(wide), -1), axis=1)
    if metric in _VECTORS and np.abs(lengths - 1).max() < _UNIT_TOLERANCE:
        mean /= max(float(np.linalg.norm(mean)), np.finfo(np.float64).tiny)
    narrow: NDArray[np.float32] = mean.astype(np.float32)
    return narrow


def _turned_back(regions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo what `symmetric_views` did, on places: float32 [8, h, h, …]."""
    upright = [np.rot90(each, -(number % _QUARTER_TURNS)) for number, each in enumerate(regions)]
    mirrored = [each[:, ::-1] for each in upright[_QUARTER_TURNS:]]
    return np.stack([*upright[:_QUARTER_TURNS], *mirrored])
