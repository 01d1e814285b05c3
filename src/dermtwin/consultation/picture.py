"""Whether a picture looks like dermoscopy at all: a few numbers of it, and how usual they are.

No network: mean and spread of brightness and of two colour differences, and how much detail there
is at several scales, within the circle that a dermatoscope shows. How far these lie from those of
HAM10000's training pictures is a Mahalanobis distance (Mahalanobis 1936).
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from dermtwin.consultation.measured import of_pictures
from dermtwin.encoders import InputSpec, resized
from dermtwin.images import Rgb

_SIDE = 128
_SCALES = 4
# What a dermatoscope shows is round; beyond it lie dark corners, which some clinics' pictures have.
_RADIUS = 0.45 * _SIDE
_SQUARE = InputSpec(size=_SIDE)
# Keep the logarithm of nothing finite, at a level that JPEG's own noise reaches.
_LEAST_SPREAD, _LEAST_DETAIL = 0.01, 1e-5


def strangeness(pixels: Rgb) -> float:
    """How far a picture is from dermoscopic ones: about 3.5 is usual; see `measured.json`.

    Args:
        pixels: uint8 [height, width, 3]; its centre square is looked at.
    """
    usual = of_pictures()
    off = statistics(pixels) - usual.mean
    return float(np.sqrt(off @ usual.precision @ off))


def statistics(pixels: Rgb) -> NDArray[np.float64]:
    """Brightness, red-green and green-blue: mean and spread; detail at four scales and of colour.

    Args:
        pixels: uint8 [height, width, 3].

    Returns:
        float64 [12].
    """
    # Copied into planes, which are worked on faster than an axis of three.
    red, green, blue = np.moveaxis(resized(pixels, _SQUARE), -1, 0).astype(np.float32, "C") / 255
    colours = (red - green, green - blue)
    bright = (red + green + blue) / 3
    within = _circle()
    found = []
    for plane in (bright, *colours):
        seen = plane[within]
        found += [seen.mean(), np.log(seen.std() + _LEAST_SPREAD)]
    detail = bright
    for _ in range(_SCALES):
        coarse = cv2.pyrDown(detail)
        found.append(_detail(detail, coarse, within))
        detail, within = coarse, within[::2, ::2]
    found += [_detail(plane, cv2.pyrDown(plane), _circle()) for plane in colours]
    return np.array(found, dtype=np.float64)


def _detail(
    plane: NDArray[np.float32], coarse: NDArray[np.float32], within: NDArray[np.bool_]
) -> float:
    """Decadic logarithm of the energy that is lost from one scale to the next."""
    lost = (plane - cv2.pyrUp(coarse)) ** 2
    return float(np.log10(lost[within].mean() + _LEAST_DETAIL))


@cache
def _circle() -> NDArray[np.bool_]:
    down, across = np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2
    return np.asarray(np.hypot(down, across) < _RADIUS)
