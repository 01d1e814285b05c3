"""The frame that a lesion is painted in, and how its layers meet the light.

Skin is seen through the lesion: `seen = skin * passed + scattered`, channel by channel. Pigment
passes less light (Beer-Lambert: exp of minus the optical density); what lies like milk in the skin
(veil, scars, horn) scatters its own colour back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets.drawn.fields import Field

Stack = NDArray[np.float32]
"""Three fields, red-green-blue: float32 [3, height, width]."""

EXTENT = 1.75
"""Half the width of the lesion's frame, in lesion radii."""

# Optical density of brown, red and black by channel; read off published dermoscopic pictures.
MELANIN = (0.62, 0.92, 1.2)
BLOOD = (0.12, 0.85, 0.7)
SOOT = (1.0, 0.9, 0.75)


@dataclass(frozen=True, slots=True)
class Frame:
    """A lesion's own coordinates: x and y in radii, `unit` pixels a radius."""

    x: Field
    y: Field
    unit: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.x.shape
        return height, width

    @property
    def centre(self) -> NDArray[np.float32]:
        """The middle in pixels: x, y."""
        return np.array(self.x.shape[::-1], dtype=np.float32) / np.float32(2)


def make_frame(side: int) -> Frame:
    """A square frame of `side` pixels."""
    half_pixel = EXTENT / side
    axis = np.linspace(half_pixel - EXTENT, EXTENT - half_pixel, side).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return Frame(x, y, side / (2 * EXTENT))


class Tissue:
    """The lesion's light while it is being painted."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._density: Stack = np.zeros((3, *shape), dtype=np.float32)
        self._passed: Stack = np.ones((3, *shape), dtype=np.float32)
        self._scattered: Stack = np.zeros((3, *shape), dtype=np.float32)

    def absorb(self, amount: Field, colour: tuple[float, float, float]) -> None:
        """Add pigment over all so far; `amount` is its density, `colour` a factor a channel."""
        for channel, strength in enumerate(colour):
            self._density[channel] += amount * np.float32(strength)

    def cover(self, amount: Field, colour: tuple[int, int, int]) -> None:
        """Lay a scattering layer over all so far; `amount` 0…1, `colour` 0…255."""
        self._settle()
        for channel, level in enumerate(colour):
            self._passed[channel] *= 1 - amount
            own = self._scattered[channel]
            own += amount * (np.float32(level / 255) - own)

    def read(self) -> tuple[Stack, Stack]:
        """Light passed and light scattered, each 0…1."""
        self._settle()
        return self._passed, self._scattered

    def _settle(self) -> None:
        """Turn the density gathered so far into light."""
        if self._density.any():
            dimmed = np.exp(-self._density)
            self._passed *= dimmed
            self._scattered *= dimmed
            self._density[:] = 0
