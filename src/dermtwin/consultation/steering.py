"""Steering a search: by a part of the picture, and by cases that are like or unlike it.

A region's code is the sum of the encoder's regions under the box, each weighed by how much of its
place the box covers, brought to length 1; the whole box gives the picture's own code.

Cases marked as like or unlike move the code (Rocchio 1971, *Relevance feedback in information
retrieval*), with the usual weights (Manning, Raghavan, Schuetze 2008, 9.1.1):

    q' = 1 q + 0.75 mean(liked) - 0.15 mean(unliked)

then length 1 again where q has it. Marked cases stay among the hits wherever their distance puts
them: nothing vanishes because it was marked. Nothing is kept either: to undo a mark, ask without
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.encoders import REGIONS
from dermtwin.errors import EncoderError, SettingsError
from dermtwin.vocabulary import SearchBy

KEPT, LIKED, UNLIKED = 1.0, 0.75, 0.15
"""Rocchio's weights."""

_UNIT_TOLERANCE = 1e-3
_TINY = np.finfo(np.float64).tiny

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Region:
    """A box on the compared view, as fractions of its width and height from the top left.

    Attributes:
        x0, y0, x1, y1: 0…1, x0 < x1 and y0 < y1.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1):
            raise SettingsError(
                f"the region {self.x0:g},{self.y0:g},{self.x1:g},{self.y1:g} is no box on the "
                "picture; give left, top, right, bottom from 0 to 1."
            )

    def cover(self, rows: int, columns: int) -> NDArray[np.float64]:
        """How much of each place the box covers, 0…1: float64 [rows, columns]."""
        down = _covered(self.y0, self.y1, rows)
        return np.outer(down, _covered(self.x0, self.x1, columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What a search goes by beside the picture's own code.

    Attributes:
        region: this part of the picture alone; None: all of it.
        like, unlike: names of cases.
    """

    region: Region | None = None
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.region is not None or bool(self.marked)

    @property
    def marked(self) -> tuple[str, ...]:
        """All marked cases, each once."""
        return tuple(dict.fromkeys((*self.like, *self.unlike)))

    def check(self, *, by: SearchBy) -> None:
        """Raise SettingsError where it contradicts itself or the way of searching."""
        if both := set(self.like) & set(self.unlike):
            raise SettingsError(
                f"{min(both)} is marked as like and as unlike the picture; unmark one."
            )
        if self and by is not SearchBy.CODE:
            raise SettingsError(
                "a region and cases marked as like or unlike steer codes, not bits; search by code."
            )


def of_region(regions: NDArray[np.float32], region: Region) -> Vector:
    """The code of a part of a picture: float32 [h, w, D] to float32 [1, D].

    Raises:
        SettingsError: the regions under the box cancel out.
    """
    code = np.einsum("hw,hwd->d", region.cover(*regions.shape[:2]), regions.astype(np.float64))
    length = float(np.linalg.norm(code))
    if length <= _TINY:
        raise SettingsError("nothing can be told of this part of the picture; draw a larger box.")
    narrow: Vector = (code / length).astype(np.float32)[None]
    return narrow


def moved(code: Vector, *, liked: Sequence[Vector], unliked: Sequence[Vector]) -> Vector:
    """A code moved towards some codes and away from others: float32 [1, D], as all of these."""
    wide = KEPT * code.astype(np.float64)
    for weight, others in ((LIKED, liked), (-UNLIKED, unliked)):
        if others:
            wide = wide + weight * np.mean(np.concatenate(others), axis=0, dtype=np.float64)
    if abs(float(np.linalg.norm(code)) - 1) < _UNIT_TOLERANCE:
        wide = wide / max(float(np.linalg.norm(wide)), _TINY)
    narrow: Vector = wide.astype(np.float32)
    return narrow


def regions_of(
    codes: Mapping[str, NDArray[np.float32]], *, code: str, encoder: str
) -> NDArray[np.float32]:
    """One picture's regions: float32 [h, w, D], which add up to its code before length 1.

    Args:
        codes: by output, float32 [1, …].
        code: the output that they add up to.
        encoder: what to call the encoder in errors.

    Raises:
        EncoderError: the encoder has no regions, or they add up to something else.
    """
    if REGIONS not in codes:
        raise EncoderError(
            f"the encoder {encoder} has no output `{REGIONS}`, so no part of a picture can be "
            "looked at by itself; use an encoder that has it, such as dermtwin-base."
        )
    regions: NDArray[np.float32] = codes[REGIONS][0]
    whole = regions.astype(np.float64).sum(axis=(0, 1))
    whole /= max(float(np.linalg.norm(whole)), _TINY)
    if (
        whole.shape != codes[code][0].shape
        or np.abs(whole - codes[code][0]).max() > _UNIT_TOLERANCE
    ):
        raise EncoderError(
            f"the regions of the encoder {encoder} do not add up to its code; use another encoder."
        )
    return regions


def _covered(low: float, high: float, places: int) -> NDArray[np.float64]:
    edges = np.arange(places + 1) / places
    within: NDArray[np.float64] = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
    return np.maximum(within, 0.0) * places
