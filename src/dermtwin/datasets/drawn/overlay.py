"""Drawn artefacts over any picture, with the truth of where they lie."""

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets.drawn.artefacts import lay, make_layer
from dermtwin.images import Rgb
from dermtwin.vocabulary import Artefact

COVERED = 0.25
"""Share of a pixel from which on it counts as the artefact's; a thin hair never covers half."""


def lay_artefact(pixels: Rgb, kind: Artefact, *, seed: int) -> tuple[Rgb, NDArray[np.bool_]]:
    """Draw an artefact over a copy of a picture.

    Args:
        pixels: uint8 [height, width, 3].
        kind: of artefact.
        seed: equal seeds draw equally.

    Returns:
        The picture with it, and where it covers `COVERED` of a pixel or more: bool [height, width].
    """
    layer = make_layer(kind, np.random.default_rng(seed), pixels.shape[:2])
    picture = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    lay(picture, layer)
    covered = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(covered), layer.coverage >= COVERED
