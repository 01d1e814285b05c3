"""The one way from a picture's bytes to the numbers a network reads.

Training, `add`, `find` and the measures all come through `look_at` and `normalised`; nothing else
may cut, resize or scale a picture on its way to a code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

from dermtwin.encoders.light import under_grey_light
from dermtwin.errors import SettingsError
from dermtwin.images import Rgb, decode
from dermtwin.preparation import NOT_FOUND, Box, Findings, Preparation

ResizeRule = Literal["centre-square", "stretch", "pad"]
"""How a picture of any shape becomes a square.

`centre-square`: the largest centred square, scaled. `stretch`: the whole picture, scaled each way
by itself. `pad`: the whole picture, scaled, between bars of its own mean colour.
"""

LightRule = Literal["as-is", "shades-of-grey"]
"""How a picture's colours are taken.

`as-is`: as they are. `shades-of-grey`: as under grey light (`encoders.light`), so that the same
lesion looks more alike to another camera.
"""

# Decode large JPEGs no smaller than this many times the input, so that scaling stays clean.
_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a network's input is made of.

    Attributes:
        size: pixels on each side of the square input.
        resize: how a picture of any shape becomes that square.
        light: how its colours are taken.
        mean, std: per channel, red-green-blue, of values from 0 to 1.
    """

    size: int
    resize: ResizeRule = "centre-square"
    light: LightRule = "as-is"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 2048:
            raise SettingsError(f"input size {self.size} lies outside 8 … 2048 pixels.")
        if self.resize not in get_args(ResizeRule):
            known = ", ".join(get_args(ResizeRule))
            raise SettingsError(f"resize rule {self.resize!r} is unknown; choose one of {known}.")
        if self.light not in get_args(LightRule):
            known = ", ".join(get_args(LightRule))
            raise SettingsError(f"light rule {self.light!r} is unknown; choose one of {known}.")
        if {len(tuple(self.mean)), len(tuple(self.std))} != {3} or min(self.std) <= 0:
            raise SettingsError("mean and std need three numbers each, std above 0.")


@dataclass(frozen=True, slots=True)
class Look:
    """What a network sees of a picture.

    Attributes:
        view: uint8 [size, size, 3].
        findings: what was found while it was prepared; None: it was not prepared.
        decoded: the whole picture as it was decoded for the view, uint8 [height, width, 3], where
            it was not prepared; a large JPEG may have been decoded at a part of its size.
    """

    view: Rgb
    findings: Findings | None
    decoded: Rgb | None = None

    @property
    def crop(self) -> Box | None:
        """The part that is seen, in pixels of the original; None: the picture was not cut."""
        if self.findings is None or self.findings.is_whole:
            return None
        return self.findings.crop

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was cut and noticed, in sentences."""
        if self.findings is None:
            return ()
        crop, (width, height) = self.crop, self.findings.size
        if crop is None:
            # A person is shown the whole picture then, a network its middle.
            middle = "No lesion was found; compared by its centre square."
            return tuple(middle if each == NOT_FOUND else each for each in self.findings.remarks)
        cut = (
            f"Compared by its crop of {crop.width}x{crop.height} pixels at ({crop.left}, "
            f"{crop.top}) of {width}x{height}."
        )
        return (cut, *self.findings.remarks)


def look_at(
    data: bytes, spec: InputSpec, *, name: str, preparation: Preparation | None = None
) -> Look:
    """Decode a picture, prepare it, and bring it to the network's view.

    Where preparation finds no lesion, the centre square is seen: lesions lie in the middle, and
    bars would tell a whole frame from a crop.

    Raises:
        ImageError: see `dermtwin.images.decode`.
    """
    at_least = _OVERSAMPLING * spec.size
    if preparation is None:
        decoded = decode(data, name=name, at_least=at_least)
        return Look(_seen(decoded, spec), None, decoded)
    pixels, findings = preparation.seen_by_network(data, name=name, at_least=at_least)
    if findings.lesion is None and preparation.recipe.shape != "whole":
        spec = replace(spec, resize="centre-square")
    return Look(_seen(pixels, spec), findings)


def _seen(image: Rgb, spec: InputSpec) -> Rgb:
    """A decoded picture at the network's size and in its light."""
    view = resized(image, spec)
    return view if spec.light == "as-is" else under_grey_light(view)


def resized(image: Rgb, spec: InputSpec) -> Rgb:
    """Bring a decoded picture to the network's size, colours as they are: [size, size, 3]."""
    picture = Image.fromarray(image)
    if spec.resize == "pad":
        return _padded(picture, spec)
    box: tuple[float, float, float, float] = (0, 0, picture.width, picture.height)
    if spec.resize == "centre-square":
        picture, box = _centre_square(picture)
    scaled = picture.resize((spec.size, spec.size), resample=Image.Resampling.BILINEAR, box=box)
    return np.asarray(scaled)


def _padded(picture: Image.Image, spec: InputSpec) -> Rgb:
    """The picture between bars, equally wide to the pixel, so that mirrored stays mirrored."""
    longer = max(picture.size)
    across, down = (round(spec.size * (1 - side / longer) / 2) for side in picture.size)
    inner = (max(1, spec.size - 2 * across), max(1, spec.size - 2 * down))
    red, green, blue = (round(each) for each in ImageStat.Stat(picture).mean)
    padded = Image.new("RGB", (spec.size, spec.size), (red, green, blue))
    padded.paste(picture.resize(inner, resample=Image.Resampling.BILINEAR), (across, down))
    return np.asarray(padded)


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
