"""Smooth random fields and soft shapes on a grid: what drawn lesions are made of."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float32]
"""One number a pixel: float32 [height, width]."""

Points = NDArray[np.float32]
"""Places in pixels: float32 [n, 2] as x, y."""

_SUPERSAMPLING = 2


def make_noise(rng: np.random.Generator, shape: tuple[int, int], *, cells: float) -> Field:
    """Smooth noise, about N(0, 1): `cells` bumps along the longer side."""
    height, width = shape
    step = max(shape) / cells
    across, down = width / step, height / step
    grid = rng.standard_normal((int(down) + 3, int(across) + 3), dtype=np.float32)
    return _stretch(grid, shape, box=(1.0, 1.0, 1.0 + across, 1.0 + down)) * np.float32(1.35)


def make_fractal(
    rng: np.random.Generator, shape: tuple[int, int], *, cells: float, octaves: int = 3
) -> Field:
    """Sum of noises, each twice as fine and half as strong; about N(0, 1)."""
    finest = max(shape) / (cells * 2 ** (octaves - 1))
    # Noise whose bumps are wide is as smooth when it is made small and stretched at the end.
    shrink = max(1, min(4, int(finest / 4)))
    small = (-(-shape[0] // shrink), -(-shape[1] // shrink))
    total = np.zeros(small, dtype=np.float32)
    for octave in range(octaves):
        weight = np.float32(0.87 * 0.5**octave)
        total += make_noise(rng, small, cells=cells * 2**octave) * weight
    if shrink == 1:
        return total
    return _stretch(total, shape, box=(0.0, 0.0, shape[1] / shrink, shape[0] / shrink))


def _stretch(
    grid: Field, shape: tuple[int, int], *, box: tuple[float, float, float, float]
) -> Field:
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC, box=box))


def smoothstep(values: Field, low: float | Field, high: float | Field) -> Field:
    """0 below `low`, 1 above `high`, smooth between; `low` > `high` turns it round."""
    start, width = np.asarray(low, np.float32), np.asarray(high, np.float32) - np.float32(low)
    t: Field = np.clip((values - start) / width, 0.0, 1.0)
    return t * t * (np.float32(3) - np.float32(2) * t)


def to_picture(planes: Field) -> Image.Image:
    """A field [height, width], or three or four of them, in 0…1 as an 8-bit picture."""
    levels = planes * np.float32(255)
    levels += np.float32(0.5)
    np.clip(levels, 0, 255, out=levels)
    rounded = levels.astype(np.uint8)
    if rounded.ndim == 2:
        return Image.fromarray(rounded)
    # Pillow would take the fourth channel of RGBA for opacity and weigh the others with it.
    mode = "RGB" if len(rounded) == 3 else "CMYK"
    return Image.merge(mode, [Image.fromarray(plane) for plane in rounded])


def from_picture(picture: Image.Image) -> Field:
    """An 8-bit picture as a field in 0…1, or as many of them as it has channels."""
    if len(picture.getbands()) == 1:
        return np.asarray(picture, dtype=np.float32) * np.float32(1 / 255)
    planes = np.stack([np.asarray(band) for band in picture.split()])
    return planes * np.float32(1 / 255)


class Canvas:
    """Anti-aliased discs, lines and polygons, drawn in white on black and read as a field."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        size = (shape[1] * _SUPERSAMPLING, shape[0] * _SUPERSAMPLING)
        self._picture = Image.new("L", size)
        self._draw = ImageDraw.Draw(self._picture)

    def discs(self, centres: Points, radii: Iterable[float], *, strength: float = 1.0) -> None:
        """Filled circles."""
        fill = round(255 * strength)
        for (x, y), radius in zip(centres * _SUPERSAMPLING, radii, strict=True):
            r = radius * _SUPERSAMPLING
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def ring(self, centre: tuple[float, float], radius: float, *, width: float) -> None:
        """A circle's outline."""
        x, y, r = (value * _SUPERSAMPLING for value in (*centre, radius))
        line = max(1, round(width * _SUPERSAMPLING))
        self._draw.ellipse((x - r, y - r, x + r, y + r), outline=255, width=line)

    def line(self, points: Points, *, width: float, strength: float = 1.0) -> None:
        """A polyline."""
        flat = (points * _SUPERSAMPLING).ravel().tolist()
        line = max(1, round(width * _SUPERSAMPLING))
        self._draw.line(flat, fill=round(255 * strength), width=line, joint="curve")

    def tapered(self, points: Points, *, start: float, end: float) -> None:
        """A polyline whose width runs from `start` to `end`."""
        direction = np.gradient(points, axis=0)
        normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        half = np.linspace(start, end, len(points))[:, None] / 2
        outline = np.concatenate([points + normal * half, (points - normal * half)[::-1]])
        self.polygon(outline)

    def polygon(self, points: Points, *, strength: float = 1.0) -> None:
        """A filled polygon."""
        flat = (points * _SUPERSAMPLING).ravel().tolist()
        self._draw.polygon(flat, fill=round(255 * strength))

    def read(self, *, softness: float = 0.0) -> Field:
        """What was drawn, 0…1; `softness` blurs it by so many pixels."""
        height, width = self._shape
        picture = self._picture.resize((width, height), Image.Resampling.BOX)
        if softness > 0:
            picture = picture.filter(ImageFilter.GaussianBlur(softness))
        return from_picture(picture)


def make_curve(
    rng: np.random.Generator, start: Points, heading: float, *, length: float, bend: float
) -> Points:
    """A smooth curve from `start`: float32 [n, 2]; `bend` is its change of heading in radians."""
    steps = max(8, int(length / 6))
    wobble = np.cumsum(rng.normal(0, abs(bend) / steps**0.5 / 2 + 1e-6, steps))
    headings = heading + np.linspace(0, bend, steps) + wobble
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps)
    return np.concatenate([start[None], start + np.cumsum(moves, axis=0)]).astype(np.float32)
