"""Small copies of pictures, for lists and for a first look."""

import io

from PIL import Image

from dermtwin.images.pictures import Rgb

THUMBNAIL_SIDE = 256
"""Pixels of a thumbnail's longest side; a smaller picture keeps its size."""

_QUALITY = 85
# Shrinking by whole steps first costs little in quality and saves most of a large picture's time.
_REDUCING_GAP = 2.0


def make_thumbnail(pixels: Rgb) -> bytes:
    """A JPEG of a decoded picture that fits into 256x256 pixels, with nothing beside the pixels."""
    picture = Image.fromarray(pixels)
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    picture.thumbnail(side, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
