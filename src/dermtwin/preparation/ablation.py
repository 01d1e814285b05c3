"""Changes to a picture's pixels, for ablations alone: what a person is shown is never altered."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dermtwin.images import Rgb
from dermtwin.preparation.findings import Mask

_NORM = 6
_RADIUS = 3


def grey_gains(pixels: Rgb) -> NDArray[np.float32]:
    """What each channel is multiplied by for the light to be grey: float32 [3], mean about 1.

    Source: "shades of grey", Finlayson and Trezzi 2004, with the 6-norm of Barata et al. 2015.
    """
    levels = np.arange(256, dtype=np.float64) ** _NORM
    counts = [np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)]
    norms = np.array([(np.average(levels, weights=each)) ** (1 / _NORM) for each in counts])
    gains: NDArray[np.float32] = (norms.mean() / np.maximum(norms, 1.0)).astype(np.float32)
    return gains


def relit(pixels: Rgb, gains: NDArray[np.float32]) -> Rgb:
    """Multiply the channels: uint8 [height, width, 3]."""
    scaled: Rgb = np.clip(np.rint(pixels * gains), 0, 255).astype(np.uint8)
    return scaled


def without_hair(pixels: Rgb, hair: Mask) -> Rgb:
    """Paint hair over from its surroundings (Telea 2004): uint8 [height, width, 3]."""
    widened = cv2.dilate(hair.astype(np.uint8), np.ones((3, 3), np.uint8))
    painted: Rgb = cv2.inpaint(np.ascontiguousarray(pixels), widened, _RADIUS, cv2.INPAINT_TELEA)  # type: ignore[assignment]
    return painted
