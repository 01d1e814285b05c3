"""The one way from a picture's bytes to the numbers a network reads.

Training, `add`, `find` and the measures all come through `view_of` and `normalised`; nothing else
may resize or scale a picture on its way to a code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.errors import SettingsError
from dermtwin.images import Rgb, decode

ResizeRule = Literal["centre-square", "stretch"]
"""`centre-square`: the largest centred square, scaled. `stretch`: the whole picture, scaled."""

# Decode large JPEGs no smaller than this many times the input, so that scaling stays clean.
_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a network's input is made of.

    Attributes:
        size: pixels on each side of the square input.
        resize: how a picture of any shape becomes that square.
        mean, std: per channel, red-green-blue, of values from 0 to 1.
    """

    size: int
    resize: ResizeRule = "centre-square"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 2048:
            raise SettingsError(f"input size {self.size} lies outside 8 … 2048 pixels.")
        if self.resize not in get_args(ResizeRule):
            known = ", ".join(get_args(ResizeRule))
            raise SettingsError(f"resize rule {self.resize!r} is unknown; choose one of {known}.")
        if {len(tuple(self.mean)), len(tuple(self.std))} != {3} or min(self.std) <= 0:
            raise SettingsError("mean and std need three numbers each, std above 0.")


def view_of(data: bytes, spec: InputSpec, *, name: str) -> Rgb:
    """Decode a picture and bring it to the network's view.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ImageError: see `dermtwin.images.decode`.
    """
    return resized(decode(data, name=name, at_least=_OVERSAMPLING * spec.size), spec)


def resized(image: Rgb, spec: InputSpec) -> Rgb:
    """Bring a decoded picture to the network's view: uint8 [size, size, 3]."""
    picture = Image.fromarray(image)
    box: tuple[float, float, float, float] = (0, 0, picture.width, picture.height)
    if spec.resize == "centre-square":
        picture, box = _centre_square(picture)
    scaled = picture.resize((spec.size, spec.size), resample=Image.Resampling.BILINEAR, box=box)
    return np.asarray(scaled)


def _centre_square(picture: Image.Image) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The centred square as a cut-out and the box within it.

    Cut first: the filter would else reach past the box, and a frame and its centre crop would
    differ. The box may begin at half a pixel, so that a mirrored picture has the mirrored view.
    """
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    outer = (floor(left), floor(top), ceil(left + side), ceil(top + side))
    inner = (left - outer[0], top - outer[1])
    return picture.crop(outer), (*inner, inner[0] + side, inner[1] + side)


def normalised(views: Sequence[Rgb] | Rgb, spec: InputSpec) -> NDArray[np.float32]:
    """Scale views for the network: uint8 [N, size, size, 3] to float32 [N, 3, size, size]."""
    scaled = np.asarray(views, dtype=np.float32) / np.float32(255)
    scaled -= np.asarray(spec.mean, dtype=np.float32)
    scaled /= np.asarray(spec.std, dtype=np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
