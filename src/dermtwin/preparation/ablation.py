"""A change to a picture's pixels, for ablations alone: what a person is shown is never altered."""

import cv2
import numpy as np

from dermtwin.images import Rgb
from dermtwin.preparation.findings import Mask

_RADIUS = 3


def without_hair(pixels: Rgb, hair: Mask) -> Rgb:
    """Paint hair over from its surroundings (Telea 2004): uint8 [height, width, 3]."""
    widened = cv2.dilate(hair.astype(np.uint8), np.ones((3, 3), np.uint8))
    painted: Rgb = cv2.inpaint(np.ascontiguousarray(pixels), widened, _RADIUS, cv2.INPAINT_TELEA)  # type: ignore[assignment]
    return painted
