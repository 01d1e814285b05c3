"""Changes that leave a picture's truth as it is: how it was held, lit and photographed."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""float32 [height, width, 3], 0…1."""


def moved(
    arrays: tuple[NDArray[np.uint8], ...],
    rng: np.random.Generator,
    *,
    zoom: tuple[float, float],
    shift: float,
    turn: bool,
) -> tuple[NDArray[np.uint8], ...]:
    """Mirror, zoom, shift and perhaps turn arrays of one frame alike; borders are mirrored.

    Args:
        arrays: uint8 [height, width, ...].
        rng: the luck.
        zoom: least and most; above 1 is nearer.
        shift: standard deviation, in sides.
        turn: by any angle, not by quarters alone.
    """
    height, width = arrays[0].shape[:2]
    angle = rng.uniform(0, 2 * np.pi) if turn else np.pi * rng.integers(2)
    scale = np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1])))
    stretch = np.exp(rng.normal(0, 0.06))
    flip = rng.choice((-1.0, 1.0))
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cos * stretch * flip, -sin, 0], [sin * stretch * flip, cos, 0]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = rng.normal(0, shift, 2) * (width, height)
    matrix[:, 2] = middle + offset - matrix[:, :2] @ middle
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = (
        cv2.warpAffine(
            each, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )
        for each in arrays
    )
    return tuple(each.astype(np.uint8, copy=False) for each in warped)


def relit(picture: Picture, rng: np.random.Generator, *, strength: float = 1.0) -> Picture:
    """Other light, white balance, exposure and camera."""
    gains = np.exp(rng.normal(0, 0.1 * strength) + rng.normal(0, 0.06 * strength, 3))
    gamma = np.exp(rng.normal(0, 0.18 * strength))
    lit = np.power(np.clip(picture * gains.astype(np.float32), 1e-4, 1), np.float32(gamma))
    grey = lit.mean(axis=2, keepdims=True)
    saturation = np.float32(np.exp(rng.normal(0, 0.2 * strength)))
    lit = grey + (lit - grey) * saturation
    if rng.random() < 0.3:
        lit += rng.normal(0, rng.uniform(0, 0.025), lit.shape).astype(np.float32)
    if rng.random() < 0.15:
        lit = cv2.GaussianBlur(lit, (0, 0), float(rng.uniform(0.3, 1.0)))
    bounded: Picture = np.clip(lit, 0, 1).astype(np.float32)
    return bounded
