"""From the lesion network's map to one lesion: its place, and how far to trust it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dermtwin.images import Rgb
from dermtwin.preparation.findings import Chance, Mask
from dermtwin.preparation.networks import MaskSession, mask_session, sigmoid

# What may belong to the lesion; the crop keeps it too.
_FAINT = 0.1
_INSIDE = 0.5
# A lesion covers at least this share of the picture, and somewhere the network must be sure.
_LEAST_FRACTION = 0.001
_LEAST_CERTAINTY = 0.7
_LEAST_CONFIDENCE = 0.65


@dataclass(frozen=True, slots=True)
class LesionMap:
    """A lesion in the canonical pose, at half the inner size.

    Attributes:
        chance: float32 [128, 160]; above 0.5 on the lesion and nowhere else.
        inside: the lesion: bool [128, 160].
        faint: what may belong to it: bool [128, 160], contains `inside`.
        confidence: expected Jaccard index of `inside`.
    """

    chance: Chance
    inside: Mask
    faint: Mask
    confidence: float


@dataclass(frozen=True, slots=True)
class Looks:
    """Two looks of the lesion network at one picture: as it lies, and turned by a half.

    Attributes:
        chance: of the mean of both: float32 [128, 160].
        inside: the part that is taken for the lesion; None: there is none.
        agreement: Jaccard index of the two looks' masks.
    """

    chance: Chance
    inside: Mask | None
    agreement: float

    def features(self) -> NDArray[np.float64]:
        """What the confidence is judged by: float64 [5], the first being 1.

        The expected Jaccard index if each pixel were right with its own chance; how much the looks
        agree; how sure the surest pixels are; the logarithm of the lesion's share of the picture.
        """
        assert self.inside is not None
        within = self.chance[self.inside]
        expected = within.sum() / (self.inside.sum() + self.chance[~self.inside].sum())
        peak = np.quantile(within, 0.9)
        return np.array([1.0, expected, self.agreement, peak, np.log(self.inside.mean())])


def look_at(view: Rgb, session: MaskSession) -> Looks:
    """Look at a view uint8 [128, 160, 3] twice."""
    first = session.logits(view)[0]
    # A half turn keeps the canonical pose's proportions: a second look at the same picture.
    second = session.logits(np.ascontiguousarray(view[::-1, ::-1]))[0][::-1, ::-1]
    chance = sigmoid((first + second) / 2)
    return Looks(chance, _main_part(chance), _jaccard(first > 0, second > 0))


def find_lesion(view: Rgb) -> LesionMap | None:
    """Find the lesion in a view uint8 [128, 160, 3]; None: there is none, or too unsure a one."""
    session = mask_session("lesion")
    looks = look_at(view, session)
    if looks.inside is None:
        return None
    weights = np.asarray(session.numbers["confidence"])
    confidence = float(np.clip(looks.features() @ weights, 0.0, 1.0))
    if confidence < _LEAST_CONFIDENCE:
        return None
    inside, half = looks.inside, np.float32(0.5)
    above = np.maximum(looks.chance, half + np.float32(1e-3))
    shaped = np.where(inside, above, np.minimum(looks.chance, half))
    faint = inside | _touching(looks.chance > _FAINT, inside)
    return LesionMap(shaped, inside, faint, confidence)


def _main_part(chance: Chance) -> Mask | None:
    """The connected part that weighs most, nearer to the middle more; its holes filled."""
    count, labels, stats, centres = cv2.connectedComponentsWithStats(
        (chance > _INSIDE).astype(np.uint8), connectivity=4
    )
    if count < 2:
        return None
    height, width = chance.shape
    off = (centres - (width / 2 - 0.5, height / 2 - 0.5)) / (width / 2, height / 2)
    weights = np.bincount(labels.ravel(), weights=chance.ravel(), minlength=count)
    weights = weights * np.exp(-(off**2).sum(axis=1))
    weights[0] = 0
    best = int(weights.argmax())
    part = labels == best
    if stats[best, cv2.CC_STAT_AREA] < _LEAST_FRACTION * chance.size:
        return None
    if chance[part].max() < _LEAST_CERTAINTY:
        return None
    return _filled(part)


def _filled(part: Mask) -> Mask:
    outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(part.shape, dtype=np.uint8)
    cv2.drawContours(canvas, outlines, -1, (1,), cv2.FILLED)
    return np.asarray(canvas > 0)


def _touching(faint: Mask, inside: Mask) -> Mask:
    """Those connected parts of `faint` that the lesion lies in."""
    _, labels = cv2.connectedComponents(faint.astype(np.uint8), connectivity=4)
    touched = np.unique(labels[inside & faint])
    return np.isin(labels, touched[touched > 0])


def _jaccard(first: Mask, second: Mask) -> float:
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 1.0
