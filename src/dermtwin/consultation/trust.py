"""How far to trust an answer, in words; docs/trust.md says how often each mark is right.

    refused    not-dermoscopy   the picture is unlike any dermoscopic one
               nothing-near     no case is as near as cases usually are
               none-eligible    no case passes
    doubtful   not-dermoscopy   the picture is unlike most dermoscopic ones
               unfamiliar       few cases are near: perhaps a kind that the casebook does not hold
               quality          blurred, dark, …
               crop             no lesion was found, or its outline is uncertain
               few-eligible     fewer cases than were asked for

A refused answer keeps its hits; whoever shows it asks before it shows them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.consultation.measured import of_pictures
from dermtwin.consultation.picture import strangeness
from dermtwin.encoders import Look
from dermtwin.images import Rgb
from dermtwin.preparation.quality import judge, remarks
from dermtwin.preparation.view import HEIGHT, WIDTH, inner_view

FAMILY = 20
"""The place, counted in lesions, of the case whose distance tells whether a picture is familiar."""

VERY_NEAR, FAR = "50", "99"
"""Percentiles of the card's distances: up to the one a case is very near, beyond the other far."""

_DOUBTFUL_CROPS = (
    "No lesion was found; compared by its centre square.",
    "The lesion's outline is uncertain; look at the crop.",
)
"""What preparation and encoders remark on a crop that may be wrong."""


class Level(StrEnum):
    """How far an answer may be used, best first."""

    USABLE = "usable"
    DOUBTFUL = "doubtful"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an answer is not simply usable.

    Attributes:
        code: one word, for programs; see the top of this file.
        text: a sentence.
        level: what it alone would make of the answer.
    """

    code: str
    text: str
    level: Level = Level.DOUBTFUL

    def to_json(self) -> dict[str, str]:
        """As JSON's own types."""
        return {"code": self.code, "text": self.text}


@dataclass(frozen=True, slots=True)
class Trust:
    """How far to trust an answer, and why not farther.

    Attributes:
        reasons: the gravest first.
    """

    reasons: tuple[Reason, ...] = ()

    @classmethod
    def of(cls, reasons: Sequence[Reason]) -> "Trust":
        """Put reasons in order."""
        return cls(tuple(sorted(reasons, key=lambda each: each.level is not Level.REFUSED)))

    @property
    def level(self) -> Level:
        """As the gravest reason says; usable without any."""
        return self.reasons[0].level if self.reasons else Level.USABLE

    def to_json(self) -> dict[str, Any]:
        """As JSON's own types."""
        return {"level": self.level, "reasons": [each.to_json() for each in self.reasons]}


def of_picture(pixels: Rgb, look: Look) -> Iterator[Reason]:
    """What a picture itself gives reason to doubt.

    Args:
        pixels: the whole picture, uint8 [height, width, 3].
        look: how the encoder saw it.
    """
    strange, usual = strangeness(pixels), of_pictures()
    if strange > usual.refused:
        said = "This is no dermoscopic picture, as far as its colours and detail tell."
        yield Reason(code="not-dermoscopy", text=said, level=Level.REFUSED)
    elif strange > usual.doubtful:
        said = "This may be no dermoscopic picture: its colours or detail are unusual for one."
        yield Reason(code="not-dermoscopy", text=said)
    for said in _quality(pixels, look):
        yield Reason(code="quality", text=said)
    yield from _crop(look)


def of_distances(
    distances: Sequence[float], *, usual: Mapping[str, float], unfamiliar: float | None
) -> Iterator[Reason]:
    """What the distances of the nearest lesions give reason to doubt.

    Args:
        distances: nearest first, at least `FAMILY` of them where there are as many.
        usual: the card's percentiles of the distance to the nearest other lesion.
        unfamiliar: distance that the case at place `FAMILY` usually is within; None: not measured.
    """
    if distances and distances[0] > usual.get(FAR, np.inf):
        said = (
            f"Nothing similar here: the nearest case is {distances[0]:.3g} away, and of {FAR} % of "
            "the images that the encoder learnt from the nearest other lesion is within "
            f"{usual[FAR]:.3g}."
        )
        yield Reason(code="nothing-near", text=said, level=Level.REFUSED)
    elif unfamiliar is not None and len(distances) >= FAMILY and distances[FAMILY - 1] > unfamiliar:
        said = (
            f"Few cases are near: the {FAMILY}th nearest lesion is {distances[FAMILY - 1]:.3g} "
            f"away, and for 95 % of pictures it is within {unfamiliar:.3g}. Perhaps this is a kind "
            "that the casebook does not hold."
        )
        yield Reason(code="unfamiliar", text=said)


def of_number(found: int, *, k: int) -> Iterator[Reason]:
    """What it says that fewer cases came back than were asked for."""
    if not found:
        said = "No case passes; loosen the filters."
        yield Reason(code="none-eligible", text=said, level=Level.REFUSED)
    elif found < k:
        said = f"Only {found} of the {k} cases asked for pass; loosen the filters or ask for fewer."
        yield Reason(code="few-eligible", text=said)


def nearness(distance: float, *, usual: Mapping[str, float]) -> str | None:
    """How near a case is, in words; None where the card does not say what is usual.

    Half of the encoder's training images have another lesion very near.
    """
    if not {VERY_NEAR, FAR} <= usual.keys():
        return None
    if distance <= usual[VERY_NEAR]:
        return "very near"
    return "near" if distance <= usual[FAR] else "far"


def _quality(pixels: Rgb, look: Look) -> Iterator[str]:
    if look.findings is not None:
        yield from remarks(look.findings.quality)
        return
    height, width = pixels.shape[:2]
    # Without masks: dark corners lie outside of the ellipse, and no lesion is measured.
    yield from remarks(
        judge(inner_view(pixels), lens=_corners(), lesion=None, size=(width, height))
    )


def _crop(look: Look) -> Iterator[Reason]:
    for said in _DOUBTFUL_CROPS:
        if said in look.remarks:
            yield Reason(code="crop", text=said)


@cache
def _corners() -> NDArray[np.bool_]:
    """True outside of the ellipse that fits the inner view: bool [256, 320]."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    off = np.hypot(2 * (down + 0.5) / HEIGHT - 1, 2 * (across + 0.5) / WIDTH - 1)
    return np.asarray(off > 1)
