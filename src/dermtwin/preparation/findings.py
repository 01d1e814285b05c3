"""What preparation finds in a picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dermtwin.preparation.pose import Box, Pose
from dermtwin.vocabulary import Artefact

Mask = NDArray[np.bool_]
"""True where something is: bool [height, width]."""

Chance = NDArray[np.float32]
"""How likely each place is something's, 0…1: float32 [rows, columns], over the whole picture."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture that was looked at.

    Attributes:
        width, height: in pixels, as it came.
        pose: how it was turned into the canonical pose.
    """

    width: int
    height: int
    pose: Pose

    @property
    def canonical_size(self) -> tuple[int, int]:
        """Width and height in the canonical pose."""
        if self.pose.transposed:
            return self.height, self.width
        return self.width, self.height

    def mask(self, chance: Chance, *, above: float) -> Mask:
        """A map in the canonical pose as a mask of the picture as it came: bool [height, width]."""
        wide = cv2.resize(chance, self.canonical_size, interpolation=cv2.INTER_LINEAR) > above
        return np.ascontiguousarray(self.pose.undo(wide))


@dataclass(frozen=True, slots=True)
class FoundLesion:
    """The lesion.

    Attributes:
        frame: the picture that it is in.
        chance: in the canonical pose; above 0.5 on the lesion and nowhere else.
        fraction: share of the picture.
        confidence: 0…1, how much of the mask is expected to be right (as a Jaccard index).
    """

    frame: Frame
    chance: Chance
    fraction: float
    confidence: float

    @property
    def mask(self) -> Mask:
        """Where the lesion is: bool [height, width] of the picture as it came."""
        return self.frame.mask(self.chance, above=0.5)


@dataclass(frozen=True, slots=True)
class FoundArtefact:
    """One kind of artefact.

    Attributes:
        fraction: expected share of the picture, 0…1: the mean of `chance`.
        confidence: 0…1, how likely there is any of it.
        chance: that a place is the artefact's, or close to it; in the canonical pose, at the inner
            size.
        sharp: that a pixel is the artefact's, likewise; of hair finer than `chance`.
    """

    fraction: float
    confidence: float
    chance: Chance
    sharp: Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well a picture shows its lesion; what is undefined is NaN.

    Attributes:
        sharpness: decadic logarithm of the Laplacian's variance at the inner size; about 1 is
            blurred, 2 is sharp.
        brightness: mean grey level outside of dark corners, 0…1.
        clipped: share of pixels that are plain white or black, dark corners aside.
        colourfulness: mean difference of the colour channels, 0…1; 0 is black and white.
        lesion_pixels: diameter of the circle of the lesion's area, in pixels.
        border_share: share of the lesion's outline that lies on the picture's border.
        skin: 0…1, how much the picture's colours are those of skin.
    """

    sharpness: float
    brightness: float
    clipped: float
    colourfulness: float
    lesion_pixels: float
    border_share: float
    skin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found in one picture.

    Attributes:
        frame: the picture, as it was decoded.
        size: width and height of the original.
        lesion: None: no lesion was found.
        artefacts: all seven kinds.
        crop: in pixels of the original, upright; the whole picture where there is no lesion.
        quality: numbers.
        remarks: sentences for a person; empty where all is well.
    """

    frame: Frame
    size: tuple[int, int]
    lesion: FoundLesion | None
    artefacts: Mapping[Artefact, FoundArtefact]
    crop: Box
    quality: Quality
    remarks: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the crop is all of the picture."""
        return self.crop == Box(0, 0, *self.size)

    def artefact_mask(self, kind: Artefact) -> Mask:
        """Where an artefact is: bool [height, width] of the picture as it came."""
        return self.frame.mask(self.artefacts[kind].sharp, above=0.5)
