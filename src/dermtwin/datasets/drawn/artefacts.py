"""What lies in a dermoscopic photograph beside the lesion: hair, ruler, ink, gel, patches, corners.

Each is a layer: a coverage 0…1 and a colour. Which ones a photograph has is drawn without looking
at the lesion's class, so that none of them gives the class away.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets.drawn.fields import Canvas, Field, make_curve, make_noise, smoothstep
from dermtwin.vocabulary import Artefact

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Layer:
    """One artefact as it lies over a picture of [height, width] pixels.

    Attributes:
        coverage: 0…1, how much of the picture below it hides or changes.
        colour: red, green, blue, 0…255.
        shine: light added on top, 0…1; None where it has none.
    """

    coverage: Field
    colour: Colour
    shine: Field | None = None


FREQUENCY: Mapping[Artefact, float] = MappingProxyType(
    {
        Artefact.HAIR: 0.36,
        Artefact.RULER: 0.14,
        Artefact.INK: 0.09,
        Artefact.GEL_BUBBLE: 0.2,
        Artefact.GEL_BORDER: 0.07,
        Artefact.DARK_CORNER: 0.24,
        Artefact.PATCHES: 0.04,
    }
)
"""How often each is in a photograph, a little below the archive's (more hides too much)."""


def draw_artefacts(rng: np.random.Generator) -> tuple[Artefact, ...]:
    """Which artefacts a photograph has, by their frequency, in the order in which they lie."""
    return tuple(kind for kind in _LAYING_ORDER if rng.random() < FREQUENCY[kind])


def order_artefacts(kinds: Iterable[Artefact]) -> tuple[Artefact, ...]:
    """Put artefacts in the order in which they lie, each once."""
    chosen = set(kinds)
    return tuple(kind for kind in _LAYING_ORDER if kind in chosen)


def make_layer(kind: Artefact, rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    """Draw one artefact for a picture of [height, width] pixels."""
    return _MAKERS[kind](rng, shape)


def _make_hair(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    height, width = shape
    scale = min(shape) / 300
    canvas = Canvas(shape)
    comb, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.9)
    thickness = rng.uniform(0.9, 2.1) * scale
    for _ in range(int(rng.lognormal(2.2, 0.7)) + 2):
        start = np.array([rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height])
        curve = make_curve(
            rng,
            start.astype(np.float32),
            comb + rng.normal(0, spread),
            length=rng.uniform(0.25, 0.9) * width,
            bend=rng.normal(0, 0.7),
        )
        canvas.tapered(curve, start=thickness * rng.uniform(0.7, 1.2), end=thickness * 0.45)
    strands = ((38, 28, 24), (62, 44, 34), (92, 66, 46), (150, 122, 92), (205, 198, 190))
    colour = strands[rng.choice(len(strands), p=(0.34, 0.3, 0.2, 0.1, 0.06))]
    return Layer(canvas.read() * np.float32(rng.uniform(0.78, 0.95)), colour)


def _make_ruler(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    height, width = shape
    canvas = Canvas(shape)
    along = np.array([1.0, 0.0]) if rng.random() < 0.6 else np.array([0.0, 1.0])
    tilt = rng.normal(0, 0.06)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    along = turn @ along
    across = np.array([-along[1], along[0]]) * rng.choice((-1, 1))
    # The scale lies near the side that its ticks point away from.
    middle = np.array([width, height]) / 2
    reach = abs(across) @ np.array([width, height]) / 2
    base = middle - across * reach * rng.uniform(0.78, 0.96)
    pitch = rng.uniform(0.045, 0.08) * min(shape)
    line = max(1.0, min(shape) / 220)
    for tick in range(-40, 41):
        foot = base + along * tick * pitch
        length = pitch * (1.7 if tick % 10 == 0 else 1.3 if tick % 5 == 0 else 0.8)
        canvas.line(np.stack([foot, foot + across * length]).astype(np.float32), width=line)
    colour = ((28, 28, 32), (44, 44, 50), (226, 226, 222))[rng.choice(3, p=(0.5, 0.3, 0.2))]
    return Layer(canvas.read() * np.float32(rng.uniform(0.7, 0.95)), colour)


def _make_ink(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    height, width = shape
    canvas = Canvas(shape)
    pen = rng.uniform(0.02, 0.045) * min(shape)
    for _ in range(int(rng.integers(1, 4))):
        angle = rng.uniform(0, 2 * np.pi)
        x = width / 2 + np.cos(angle) * width * rng.uniform(0.4, 0.52)
        y = height / 2 + np.sin(angle) * height * rng.uniform(0.4, 0.52)
        curve = make_curve(
            rng,
            np.array([x, y], dtype=np.float32),
            angle + np.pi / 2 + rng.normal(0, 0.5),
            length=rng.uniform(0.15, 0.6) * min(shape),
            bend=rng.normal(0, 1.0),
        )
        canvas.tapered(curve, start=pen, end=pen * rng.uniform(0.7, 1.1))
    rubbed = 0.78 + 0.11 * make_noise(rng, shape, cells=60)
    blots = ((88, 62, 140), (64, 66, 138), (46, 60, 120), (60, 96, 110))
    stroke = canvas.read(softness=0.008 * min(shape))
    return Layer(stroke * np.clip(rubbed, 0.35, 0.95), blots[rng.integers(len(blots))])


def _make_bubbles(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    height, width = shape
    rims, glints = Canvas(shape), Canvas(shape)
    scale = min(shape)
    light = rng.uniform(0, 2 * np.pi)
    cluster = rng.uniform(0.1, 0.9, 2) * (width, height)
    for _ in range(int(rng.integers(3, 22))):
        near = rng.random() < 0.6
        spread = (
            rng.normal(cluster, 0.1 * scale) if near else rng.uniform(0, 1, 2) * (width, height)
        )
        radius = float(np.clip(rng.lognormal(np.log(0.014), 0.6), 0.006, 0.07) * scale)
        rims.ring((float(spread[0]), float(spread[1])), radius, width=max(1.0, radius * 0.16))
        offset = np.array([np.cos(light), np.sin(light)]) * radius * 0.5
        glints.discs((spread + offset)[None].astype(np.float32), [max(0.8, radius * 0.2)])
    glint = glints.read(softness=0.6)
    rim = rims.read(softness=0.5)
    return Layer(
        np.maximum(rim * 0.45, glint * 0.9), (150, 126, 116), shine=glint * 0.8 + rim * 0.06
    )


def _make_gel_border(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    """The gel's edge: a bright meniscus, and a duller, redder skin outside of it."""
    height, width = shape
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = (x - width / 2) * np.float32(np.cos(angle)) + (y - height / 2) * np.float32(
        np.sin(angle)
    )
    reach = (abs(np.cos(angle)) * width + abs(np.sin(angle)) * height) / 2
    wavy = across / np.float32(reach) + 0.05 * make_noise(rng, shape, cells=3)
    place = rng.uniform(0.6, 0.8)
    outside = smoothstep(wavy, place, place + 0.015)
    meniscus = np.exp(-(((wavy - np.float32(place)) / np.float32(0.012)) ** 2))
    return Layer(np.maximum(outside * 0.34, meniscus * 0.4), (182, 132, 120), shine=meniscus * 0.28)


def _make_dark_corners(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    height, width = shape
    half = max(shape) / 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx = (x - np.float32(width / 2 + rng.normal(0, 0.03) * width)) / np.float32(half)
    dy = (y - np.float32(height / 2 + rng.normal(0, 0.03) * height)) / np.float32(half)
    radius = rng.uniform(0.84, 1.12)
    soft = rng.uniform(0.02, 0.16)
    coverage = smoothstep(np.sqrt(dx * dx + dy * dy), radius - soft, radius + soft)
    level = rng.uniform(4, 22)
    return Layer(coverage, (level, level * 0.85, level * 0.85))


def _make_patches(rng: np.random.Generator, shape: tuple[int, int]) -> Layer:
    """A round coloured sticker that reaches in from the side."""
    height, width = shape
    angle = rng.uniform(0, 2 * np.pi)
    radius = rng.uniform(0.35, 0.6) * min(shape)
    towards = np.array([np.cos(angle) * width, np.sin(angle) * height]) * 0.5
    away = towards / np.linalg.norm(towards) * radius * rng.uniform(0.35, 0.6)
    centre = np.array([width, height]) / 2 + towards + away
    canvas = Canvas(shape)
    canvas.discs(centre[None].astype(np.float32), [radius])
    stickers = ((222, 148, 42), (232, 190, 60), (74, 128, 186), (86, 152, 104), (196, 72, 62))
    sheen = 0.94 + 0.03 * make_noise(rng, shape, cells=8)
    coverage = canvas.read(softness=1.0) * np.clip(sheen, 0, 0.98)
    return Layer(coverage, stickers[rng.integers(len(stickers))])


def lay(picture: NDArray[np.float32], layer: Layer) -> None:
    """Lay an artefact over a picture in place; float32 [3, height, width], 0…1."""
    for channel in range(3):
        plane = picture[channel]
        plane += layer.coverage * (np.float32(layer.colour[channel] / 255) - plane)
        if layer.shine is not None:
            plane += layer.shine * (1 - plane)


_MAKERS: Mapping[Artefact, Callable[[np.random.Generator, tuple[int, int]], Layer]] = (
    MappingProxyType(
        {
            Artefact.HAIR: _make_hair,
            Artefact.RULER: _make_ruler,
            Artefact.INK: _make_ink,
            Artefact.GEL_BUBBLE: _make_bubbles,
            Artefact.GEL_BORDER: _make_gel_border,
            Artefact.DARK_CORNER: _make_dark_corners,
            Artefact.PATCHES: _make_patches,
        }
    )
)
_LAYING_ORDER = (
    Artefact.INK,
    Artefact.HAIR,
    Artefact.PATCHES,
    Artefact.GEL_BORDER,
    Artefact.GEL_BUBBLE,
    Artefact.RULER,
    Artefact.DARK_CORNER,
)
