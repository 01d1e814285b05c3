"""How well a picture shows its lesion: a number each, and a sentence where it falls short."""

from collections.abc import Iterator
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from dermtwin.images import Rgb
from dermtwin.preparation.findings import Mask, Quality

# Limits of what is remarked on; docs/preparation.md shows how many real pictures lie beyond.
BLURRED = 0.6
DARK, BRIGHT = 0.15, 0.92
CLIPPED = 0.25
GREY = 0.02
FEW_PIXELS = 60.0
ON_BORDER = 0.1
FOREIGN = 0.35

_BLACK, _WHITE = 6, 250


def judge(view: Rgb, *, lens: Mask, lesion: Mask | None, size: tuple[int, int]) -> Quality:
    """Measure a picture.

    Args:
        view: uint8 [rows, columns, 3].
        lens: True in dark corners: bool [rows, columns].
        lesion: bool of any size, over the whole picture; None: none was found.
        size: the picture's width and height in pixels of the original.
    """
    seen = ~lens if not lens.all() else np.ones_like(lens)
    # Plane by plane: many times as fast as along an axis of three.
    red, green, blue = (view[..., channel].astype(np.float32) for channel in range(3))
    grey = (red + green + blue) / np.float32(3)
    channels = red[seen], green[seen], blue[seen]
    # `reduce` would join the three into one array first.
    least, most = reduce(np.minimum, channels), reduce(np.maximum, channels)
    clipped = (least >= _WHITE) | (most <= _BLACK)
    return Quality(
        sharpness=_sharpness(grey, seen),
        brightness=float(grey[seen].mean() / 255),
        clipped=float(clipped.mean()),
        colourfulness=float((most - least).mean(dtype=np.float64) / 255),
        lesion_pixels=_diameter(lesion, size),
        border_share=_border_share(lesion),
        skin=_skin(channels),
    )


def remarks(quality: Quality) -> Iterator[str]:
    """Sentences on what falls short."""
    if quality.sharpness < BLURRED:
        yield "The picture is blurred; take it again if you can."
    if quality.brightness < DARK:
        yield "The picture is very dark; structures may be lost."
    if quality.brightness > BRIGHT or quality.clipped > CLIPPED:
        yield "Much of the picture is plain white or black; structures may be lost."
    if quality.colourfulness < GREY:
        yield "The picture is black and white; colours, which matter, are missing."
    if quality.lesion_pixels < FEW_PIXELS:
        yield f"The lesion is only {quality.lesion_pixels:.0f} pixels wide; details are missing."
    if quality.border_share > ON_BORDER:
        yield "The lesion touches the picture's border; a part of it may be missing."
    if quality.skin < FOREIGN:
        yield "The colours are not those of skin under a dermatoscope."


def _sharpness(grey: NDArray[np.float32], seen: Mask) -> float:
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    # The lens's own edge is sharp in the most blurred picture.
    inner = cv2.erode(seen.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    within = edges[inner if inner.any() else seen]
    return float(np.log10(within.var(dtype=np.float64) + 1e-3))


def _diameter(lesion: Mask | None, size: tuple[int, int]) -> float:
    if lesion is None:
        return float("nan")
    return float(2 * np.sqrt(lesion.mean() * size[0] * size[1] / np.pi))


def _border_share(lesion: Mask | None) -> float:
    """Share of the outline's places that are the picture's outermost."""
    if lesion is None:
        return float("nan")
    padded = np.pad(lesion, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline = lesion & ~core
    edge = np.ones_like(lesion)
    edge[1:-1, 1:-1] = False
    return float((outline & edge).sum() / max(outline.sum(), 1))


def _skin(channels: tuple[NDArray[np.float32], ...]) -> float:
    """How much the picture is of one hue, as skin in any white balance is; 1 is one hue.

    The length of the mean of all hues as directions (circular statistics), each weighed by its
    saturation. Pictures of rooms and streets have many hues; blue light gives skin another hue, but
    still one. A picture without colour tells nothing: 1.
    """
    red, green, blue = channels
    x = red - (green + blue) / 2
    y = (green - blue) * np.float32(np.sqrt(3) / 2)
    total = float(np.hypot(x, y).sum())
    return float(np.hypot(x.sum(), y.sum())) / total if total > len(red) else 1.0
