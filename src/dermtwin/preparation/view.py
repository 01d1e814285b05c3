"""What the mask networks see: the whole picture, lying wide, at one fixed size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.images import Rgb

WIDTH, HEIGHT = 320, 256
"""Pixels of the inner view; pictures are stretched to it."""

AT_LEAST = 2 * HEIGHT
"""Pixels that the shorter side of a decoded picture should keep for the view to be clean."""

# Shrinking by whole steps first costs little in quality and saves most of a large picture's time.
_REDUCING_GAP = 2.0


def inner_view(pixels: Rgb) -> Rgb:
    """Stretch a picture in its canonical pose to the inner size: uint8 [256, 320, 3]."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(
        picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    )


def halved(view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average 2x2 pixels: uint8 [256, 320, 3] to [128, 160, 3], rounded half up."""
    # Four strided sums are ten times as fast as one over blocks.
    wide = view.astype(np.uint16)
    pairs = wide[::2] + wide[1::2]
    means: NDArray[np.uint8] = ((pairs[:, ::2] + pairs[:, 1::2] + 2) >> 2).astype(np.uint8)
    return means
