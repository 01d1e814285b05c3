"""One photograph of a painted lesion: skin, view, light, artefacts, and their exact masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dermtwin.datasets.drawn.artefacts import lay, make_layer
from dermtwin.datasets.drawn.fields import (
    Canvas,
    Field,
    from_picture,
    make_curve,
    make_fractal,
    make_noise,
    smoothstep,
    to_picture,
)
from dermtwin.datasets.drawn.lesion import Lesion
from dermtwin.datasets.drawn.tissue import EXTENT, Stack
from dermtwin.vocabulary import Artefact

Mask = NDArray[np.bool_]
"""True where something is: bool [height, width]."""

# A thin hair never covers half of its pixels.
_ARTEFACT_COVERAGE = 0.25
_LESION_COVERAGE = 0.5

SKIN_TONES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "I": (233, 190, 178),
        "II": (226, 179, 162),
        "III": (212, 162, 138),
        "IV": (186, 134, 106),
        "V": (146, 99, 76),
        "VI": (106, 70, 56),
    }
)
"""Skin under a dermatoscope by Fitzpatrick type, 0…255."""


@dataclass(frozen=True, slots=True)
class Skin:
    """A patient's skin: its Fitzpatrick type, and the shade of it that is this patient's own."""

    type: str
    tone: tuple[float, float, float]
    furrows: float
    freckles: float


@dataclass(frozen=True, slots=True)
class Photograph:
    """A drawn picture and what is where in it.

    Attributes:
        rgb: uint8 [height, width, 3].
        lesion: True where the lesion is.
        artefacts: for each artefact that is there, True where it hides or changes the picture.
    """

    rgb: NDArray[np.uint8]
    lesion: Mask
    artefacts: Mapping[Artefact, Mask]


def draw_skin(rng: np.random.Generator) -> Skin:
    """Draw a patient's skin; lighter types are commoner, as in the archive."""
    kind = str(rng.choice(list(SKIN_TONES), p=(0.12, 0.34, 0.28, 0.14, 0.08, 0.04)))
    shade = rng.normal(1.0, 0.035)
    red, green, blue = (level * shade * rng.normal(1, 0.015) for level in SKIN_TONES[kind])
    freckles = rng.uniform(0, 1) ** 3 if kind in ("I", "II") else 0.0
    return Skin(kind, (float(red), float(green), float(blue)), rng.uniform(0.4, 1.3), freckles)


def take_photograph(
    lesion: Lesion,
    *,
    skin: Skin,
    rng: np.random.Generator,
    size: tuple[int, int],
    artefacts: tuple[Artefact, ...],
) -> Photograph:
    """Photograph a lesion on its skin: turned, shifted and lit anew at each call.

    Args:
        lesion: what to photograph.
        skin: whose it is.
        rng: everything that differs between two photographs of one lesion.
        size: width and height in pixels.
        artefacts: what lies in the way, in the order in which it lies.
    """
    shape = (size[1], size[0])
    # Each part has its own luck: the same picture with and without hair differs in nothing else.
    view, ground, light, *layers = rng.spawn(3 + len(Artefact))
    luck = dict(zip(Artefact, layers, strict=True))
    passed, scattered, inside = _view(lesion, rng=view, shape=shape)
    picture = _make_skin(skin, rng=ground, shape=shape)
    # What scatters is lit by the same light and dimmed by the same melanin above it.
    dimming = np.float32(min(1.0, sum(skin.tone) / 3 / 190) ** 0.7)
    picture *= passed
    picture += scattered * dimming
    _light(picture, rng=light)
    masks: dict[Artefact, Mask] = {}
    for kind in artefacts:
        layer = make_layer(kind, luck[kind], shape)
        lay(picture, layer)
        masks[kind] = layer.coverage >= _ARTEFACT_COVERAGE
    rgb = _expose(picture, rng=light)
    return Photograph(rgb, inside >= _LESION_COVERAGE, MappingProxyType(masks))


def _view(
    lesion: Lesion, *, rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[Stack, Stack, Field]:
    """The lesion's layers as this camera sees them: turned, shifted, nearer or farther."""
    height, width = shape
    turn = rng.uniform(0, 2 * np.pi)
    radius = min(shape) * rng.uniform(0.29, 0.44)
    x = width / 2 + rng.normal(0, 0.035) * width
    y = height / 2 + rng.normal(0, 0.035) * height
    side = lesion.inside.shape[0]
    zoom = side / (2 * EXTENT) / radius
    cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
    matrix = (cos, sin, side / 2 - cos * x - sin * y, -sin, cos, side / 2 + sin * x - cos * y)

    def seen(layers: NDArray[np.float32], *, beyond: tuple[int, int, int, int]) -> Stack:
        # Two pictures of four channels cost a third of seven single ones.
        picture = to_picture(layers).transform(
            (width, height),
            Image.Transform.AFFINE,
            matrix,
            Image.Resampling.BILINEAR,
            fillcolor=beyond,
        )
        return from_picture(picture)

    first = seen(np.concatenate([lesion.passed, lesion.inside[None]]), beyond=(255, 255, 255, 0))
    if not lesion.scattered.any():
        return first[:3], np.zeros((3, *shape), dtype=np.float32), first[3]
    nothing = np.zeros_like(lesion.inside)[None]
    second = seen(np.concatenate([lesion.scattered, nothing]), beyond=(0, 0, 0, 0))
    return first[:3], second[:3], first[3]


def _make_skin(skin: Skin, *, rng: np.random.Generator, shape: tuple[int, int]) -> Stack:
    """Skin: an even tone, furrows, mottling, here and there freckles and fine vessels."""
    density = make_fractal(rng, shape, cells=3, octaves=3) * np.float32(0.035)
    density = density + _furrows(rng, shape) * np.float32(0.02 * skin.furrows)
    density += make_noise(rng, shape, cells=160) * np.float32(0.012)
    if skin.freckles > 0.1:
        uneven = make_fractal(rng, shape, cells=13, octaves=3)
        density += smoothstep(uneven, 1.7 - 0.6 * skin.freckles, 3.6) * np.float32(0.24)
    flush = make_fractal(rng, shape, cells=5, octaves=3) * np.float32(0.05) + _vessels(rng, shape)
    planes = [
        np.float32(tone / 255) * np.exp(-density * np.float32(brown) - flush * np.float32(red))
        for tone, brown, red in zip(skin.tone, (0.7, 1.0, 1.25), (0.15, 1.0, 0.85), strict=True)
    ]
    return np.stack(planes)


def _furrows(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """The skin's fine lines: two warped sets that cross, and hardly show under gel."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(min(shape))
    warp = make_fractal(rng, shape, cells=6, octaves=2) * np.float32(0.035)
    turn = rng.uniform(0, np.pi)
    total = np.zeros(shape, dtype=np.float32)
    for angle in (turn, turn + rng.uniform(0.9, 1.5)):
        wave = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) + warp
        total += 1 - np.abs(np.sin(wave * np.float32(np.pi * rng.uniform(26, 40))))
    return total - np.float32(0.72)


def _vessels(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    count = int(rng.poisson(0.8))
    if not count:
        return np.zeros(shape, dtype=np.float32)
    canvas = Canvas(shape)
    for _ in range(count):
        start = (rng.uniform(0, 1, 2) * shape[::-1]).astype(np.float32)
        length = rng.uniform(0.1, 0.3) * min(shape)
        curve = make_curve(rng, start, rng.uniform(0, 2 * np.pi), length=length, bend=rng.normal())
        canvas.tapered(curve, start=0.006 * min(shape), end=0.003 * min(shape))
    return canvas.read(softness=1.0) * np.float32(0.22)


def _light(picture: Stack, *, rng: np.random.Generator) -> None:
    """The dermatoscope's light, in place: brightest in the middle, from one side, tinted."""
    _, height, width = picture.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x / np.float32(width) - np.float32(0.5)
    y = y / np.float32(height) - np.float32(0.5)
    tilt, angle = rng.uniform(0, 0.12), rng.uniform(0, 2 * np.pi)
    light = 1 - np.float32(rng.uniform(0.15, 0.5)) * (x * x + y * y)
    light += np.float32(tilt) * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
    light *= np.float32(rng.normal(1.03, 0.05))
    tint = 1 + rng.normal(0, 1, 3) * (0.02, 0.012, 0.03)
    for channel in range(3):
        picture[channel] *= light * np.float32(tint[channel])


def _expose(picture: Stack, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A little out of focus, a little grain, eight bits."""
    noise = rng.standard_normal(picture.shape[1:], dtype=np.float32) * np.float32(0.008)
    focus = rng.uniform(0.2, 0.8) * min(picture.shape[1:]) / 300
    sharp = to_picture(picture + noise)
    return np.asarray(sharp.filter(ImageFilter.BoxBlur(focus)))
