"""Light and camera taken out of a picture's colours, as far as the picture tells them."""

import numpy as np
from numpy.typing import NDArray

from dermtwin.images import Rgb

_NORM = 6


def under_grey_light(pixels: Rgb) -> Rgb:
    """A picture as grey light would show it: uint8 [height, width, 3].

    Source: "shades of grey", Finlayson and Trezzi 2004, with the 6-norm of Barata et al. 2015.
    """
    scaled: Rgb = np.clip(np.rint(pixels * _gains(pixels)), 0, 255).astype(np.uint8)
    return scaled


def _gains(pixels: Rgb) -> NDArray[np.float32]:
    """What each channel is multiplied by: float32 [3], mean about 1."""
    levels = np.arange(256, dtype=np.float64) ** _NORM
    counts = [np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)]
    norms = np.array([np.average(levels, weights=each) ** (1 / _NORM) for each in counts])
    gains: NDArray[np.float32] = (norms.mean() / np.maximum(norms, 1.0)).astype(np.float32)
    return gains
