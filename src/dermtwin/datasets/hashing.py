"""A picture's perceptual hash: 64 bits of which a copy, smaller or saved anew, keeps nearly all.

The DCT hash of Zauner 2010 ("Implementation and Benchmarking of Perceptual Image Hash Functions",
section 3.2.1), bit for bit as the package `imagehash` makes it: of the 64 lowest frequencies of the
picture, made grey and 32x32 small, a bit is set where the coefficient is above their median.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

TURNS = 8
"""Ways to lay a square picture: four quarter turns, then those of its transpose."""

_SIDE, _LOWEST = 32, 8
# OpenCV's transform is orthonormal; in the hash's, the constant weighs more by this.
_WEIGHTS = np.where(np.arange(_LOWEST) == 0, np.sqrt(2.0), 1.0)
# A mirrored picture has its odd frequencies with the other sign.
_SIGNS = np.where(np.arange(_LOWEST) % 2 == 0, 1.0, -1.0)


def laid(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """A square picture laid in one of its eight ways."""
    return np.ascontiguousarray(np.rot90(array.T if turn >= TURNS // 2 else array, turn % 4))


def perceptual_hashes(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes of a picture in its eight ways, as it is first: uint64 [8], first bit highest.

    Args:
        grey: uint8 [side, side], such as `small_grey` makes.
    """
    small = Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    lowest = cv2.dct(np.asarray(small, dtype=np.float64))[:_LOWEST, :_LOWEST]
    spectrum = (lowest * _WEIGHTS[:, None] * _WEIGHTS).astype(np.float64)
    # Turned in its frequencies, which is the same and saves seven transforms.
    both = (spectrum, spectrum.T)
    turned = np.stack([_quarter_turned(each, turn) for each in both for turn in range(4)])
    values = turned.reshape(TURNS, -1)
    above = values > np.median(values, axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(">u8").astype(np.uint64).ravel()


def _quarter_turned(spectrum: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    for _ in range(times):
        spectrum = spectrum.T * _SIGNS[:, None]
    return spectrum
