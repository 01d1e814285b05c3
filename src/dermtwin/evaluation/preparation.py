"""How well preparation finds lesions and artefacts, against what people drew and saw.

Each picture is marked by itself; figures over pictures, with 95 % intervals, come last. What is not
defined is NaN, and every figure says on how many pictures it rests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dermtwin.evaluation.intervals import Resamples, interval, ratio, resample
from dermtwin.evaluation.ranking import Floats
from dermtwin.evaluation.vote import Ballot, roc_auc
from dermtwin.preparation import Box, Findings, Mask
from dermtwin.vocabulary import Artefact

POOR = 0.65
"""A Jaccard index below it counts as a failed mask, as in the ISIC 2018 challenge."""

WHOLE = 0.99
"""A crop that keeps this share of the lesion's pixels keeps the lesion."""

LEAST_CONFIDENT = 0.1
"""The share of pictures whose masks are trusted least."""

# A part without a lesion keeps this far from the mask, and its shorter side is at least this long,
# both in shorter sides of the picture: people draw outlines tight, and a splinter shows no skin.
_CLEARANCE = 0.03
_LEAST_PART = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What people say of a picture.

    Attributes:
        lesion: bool [height, width] of the picture as it came; somewhere true.
        seen: whether an artefact is in the picture, for each kind that was looked for.
    """

    lesion: Mask
    seen: Mapping[Artefact, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """How preparation did on one picture.

    Attributes:
        name: the case.
        cluster: what the bootstrap draws as one: the lesion where it is known.
        found: whether any lesion was found.
        jaccard: of the found mask with the true one; 0 where no lesion was found.
        confidence: that preparation gave; 0 where no lesion was found.
        kept: share of the true lesion's pixels inside the crop.
        border_there: pixels of dark corner and gel border that a crop could avoid.
        border_left: those of them that the crop holds.
        empty_refused: whether no lesion was found in a part without one; None: no such part.
        hair_f1: of the hair mask with hair drawn over the picture; None: it has hair of its own,
            or nobody looked.
        fractions: of the picture, by artefact.
        seen: as in `Truth`.
    """

    name: str
    cluster: str
    found: bool
    jaccard: float
    confidence: float
    kept: float
    border_there: int
    border_left: int
    empty_refused: bool | None
    hair_f1: float | None
    fractions: Mapping[Artefact, float]
    seen: Mapping[Artefact, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure over many pictures: never without its interval.

    Attributes:
        key: its name in files.
        told: what it is, for a person.
        value: NaN where no picture defines it.
        low, high: its 95 % interval.
        n: on how many pictures it rests.
        positives: of an AUC, how many of these are to be told from the others.
    """

    key: str
    told: str
    value: float
    low: float
    high: float
    n: int
    positives: int | None = None


def mark(  # noqa: PLR0913 - all that a picture is marked by
    findings: Findings,
    truth: Truth,
    *,
    name: str,
    cluster: str,
    empty_refused: bool | None,
    hair_f1: float | None,
) -> Marks:
    """Compare what was found in a picture with the truth; the arguments are `Marks`' own.

    Args:
        findings: with masks of the picture's full size, as `Preparation.examine` gives them.
        truth: of the same picture.
        name: see `Marks`.
        cluster: see `Marks`.
        empty_refused: see `Marks` and `lesion_free_part`.
        hair_f1: see `Marks` and `f1`.
    """
    found = findings.lesion
    border = findings.artefact_mask(Artefact.DARK_CORNER)
    border |= findings.artefact_mask(Artefact.GEL_BORDER)
    there, left = border_area(border, truth.lesion, crop=findings.crop)
    return Marks(
        name=name,
        cluster=cluster,
        found=found is not None,
        jaccard=0.0 if found is None else jaccard(found.mask, truth.lesion),
        confidence=0.0 if found is None else float(found.confidence),
        kept=kept_share(truth.lesion, crop=findings.crop),
        border_there=there,
        border_left=left,
        empty_refused=empty_refused,
        hair_f1=hair_f1,
        fractions={kind: float(each.fraction) for kind, each in findings.artefacts.items()},
        seen=truth.seen,
    )


def jaccard(found: Mask, true: Mask) -> float:
    """Pixels in both over pixels in either: two bool [height, width]; NaN where both are empty."""
    either = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / either if either else float("nan")


def f1(found: Mask, true: Mask) -> float:
    """Harmonic mean of precision and recall of pixels; NaN where both masks are empty."""
    marked = np.count_nonzero(found) + np.count_nonzero(true)
    return 2 * np.count_nonzero(found & true) / marked if marked else float("nan")


def kept_share(true: Mask, *, crop: Box) -> float:
    """Share of the lesion's pixels inside a crop; NaN where there is no lesion."""
    whole = np.count_nonzero(true)
    return np.count_nonzero(true[crop.slices]) / whole if whole else float("nan")


def bounds(mask: Mask) -> Box:
    """The smallest box that holds a mask, bool [height, width], somewhere true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def lesion_free_part(true: Mask) -> Box | None:
    """The largest strip left, right, above or below a lesion; None where all are too narrow.

    Args:
        true: the lesion, bool [height, width], somewhere true.
    """
    height, width = true.shape
    short = min(height, width)
    box, clear = bounds(true), int(np.ceil(_CLEARANCE * short))
    strips = (
        Box(0, 0, box.left - clear, height),
        Box(box.right + clear, 0, width, height),
        Box(0, 0, width, box.top - clear),
        Box(0, box.bottom + clear, width, height),
    )
    wide = [each for each in strips if min(each.width, each.height) >= _LEAST_PART * short]
    return max(wide, key=lambda each: each.width * each.height, default=None)


def border_area(border: Mask, true: Mask, *, crop: Box) -> tuple[int, int]:
    """Pixels of an artefact that a crop could avoid, and those of them that the crop holds.

    What cannot be avoided is the artefact's area in that square around the lesion, of the least
    side, where it is least; where no square fits into the picture, in the lesion's bounding box.

    Args:
        border: the artefact, bool [height, width].
        true: the lesion, likewise, somewhere true.
        crop: in the same picture.
    """
    least = _least_area(border, bounds(true))
    left = int(np.count_nonzero(border[crop.slices])) - least
    return int(np.count_nonzero(border)) - least, max(0, left)


def _least_area(border: Mask, box: Box) -> int:
    """Pixels of `border` in the best of the smallest squares around `box`, or in `box` itself."""
    if box.height > box.width:
        return _least_area(border.T, Box(box.top, box.left, box.bottom, box.right))
    side, height = box.width, len(border)
    if side > height:
        return int(np.count_nonzero(border[box.slices]))
    # The square is as wide as the box, so that it can only slide up and down.
    above = np.append(0, np.cumsum(border[:, box.left : box.right].sum(axis=1)))
    tops = np.arange(max(0, box.bottom - side), min(box.top, height - side) + 1)
    return int((above[tops + side] - above[tops]).min())


def measure(marks: Sequence[Marks], *, seed: int) -> tuple[Measured, ...]:
    """All figures over pictures, in the order to be shown; `seed` is the bootstrap's."""
    # In a fixed order, so that neither ties nor the bootstrap depend on the table's.
    marks = sorted(marks, key=lambda each: each.name)
    resamples = resample(np.array([each.cluster for each in marks], dtype=np.str_), seed=seed)
    return (
        *_of_masks(marks, resamples),
        *_of_crops(marks, resamples),
        _of_hair(marks, resamples),
        *(_of_artefact(kind, marks, resamples) for kind in Artefact),
    )


def _of_masks(marks: Sequence[Marks], resamples: Resamples) -> tuple[Measured, ...]:
    overlap = np.array([each.jaccard for each in marks])
    trust = np.array([each.confidence for each in marks])
    poor = (overlap < POOR).astype(np.float64)
    refused = [np.nan if each.empty_refused is None else each.empty_refused for each in marks]
    return (
        _mean("jaccard", "lesion mask: mean Jaccard index", overlap, resamples),
        _mean("jaccard_poor", f"lesion mask: share below {POOR}", poor, resamples),
        *_by_confidence(trust, overlap, resamples),
        _auc(
            "confidence_auc", f"confidence: AUC for Jaccard below {POOR}", -trust, poor, resamples
        ),
        _mean(
            "empty_refused", "no lesion found where none is", np.array(refused, float), resamples
        ),
    )


def _of_crops(marks: Sequence[Marks], resamples: Resamples) -> tuple[Measured, ...]:
    kept = np.array([each.kept for each in marks])
    there = np.array([each.border_there for each in marks], dtype=np.float64)
    left = np.array([each.border_left for each in marks], dtype=np.float64)
    whole = (kept >= WHOLE).astype(np.float64)
    drawn = ratio(resamples.sums(left), resamples.sums(there))
    remains = float(left.sum() / there.sum()) if there.any() else float("nan")
    told = "crop: dark corner and gel border left, of what could be cut"
    return (
        _mean("lesion_kept", f"crop: share that keeps {WHOLE:.0%} of the lesion", whole, resamples),
        _mean("lesion_kept_share", "crop: mean share of the lesion kept", kept, resamples),
        _measured("border_left", told, remains, drawn, n=int(np.count_nonzero(there))),
    )


def _of_hair(marks: Sequence[Marks], resamples: Resamples) -> Measured:
    scores = np.array([np.nan if each.hair_f1 is None else each.hair_f1 for each in marks])
    return _mean("hair_f1", "hair mask: mean F1 on drawn hair", scores, resamples)


def _of_artefact(kind: Artefact, marks: Sequence[Marks], resamples: Resamples) -> Measured:
    seen = np.array([float(each.seen.get(kind, np.nan)) for each in marks])
    fractions = np.array([each.fractions[kind] for each in marks])
    told = f"{kind.replace('_', ' ')}: AUC of the fraction"
    return _auc(f"{kind}_auc", told, fractions, seen, resamples)


def _mean(key: str, told: str, values: Floats, resamples: Resamples) -> Measured:
    known = values[~np.isnan(values)]
    value = float(known.mean()) if len(known) else float("nan")
    return _measured(key, told, value, resamples.means(values), n=len(known))


def _auc(key: str, told: str, scores: Floats, positive: Floats, resamples: Resamples) -> Measured:
    """How well scores tell 1 from 0, equal scores counting half; NaN in `positive` is left out."""
    known = np.flatnonzero(~np.isnan(positive))
    order = known[np.argsort(scores[known], kind="stable")]
    ones = positive[order] > 0
    votes = Ballot(scores=scores[order], chances=np.ones(len(order)), queries=order, positive=ones)
    value, drawn = float("nan"), np.full(len(resamples.counts), np.nan)
    if ones.any() and not ones.all():
        value = roc_auc(votes)
        drawn = resamples.each(lambda weights: roc_auc(votes, weights=weights))
    figure = _measured(key, told, value, drawn, n=len(order))
    return replace(figure, positives=int(ones.sum()))


def _by_confidence(trust: Floats, overlap: Floats, resamples: Resamples) -> tuple[Measured, ...]:
    once = np.ones((1, len(trust)))
    often = resamples.counts[:, resamples.lesion_of]
    low, high = split_by_confidence(trust, overlap, weights=once)
    drawn_low, drawn_high = split_by_confidence(trust, overlap, weights=often)
    told = "confidence: mean Jaccard index of the "
    n = len(trust)
    return (
        _measured("jaccard_doubted", f"{told}tenth trusted least", float(low[0]), drawn_low, n=n),
        _measured("jaccard_trusted", f"{told}rest", float(high[0]), drawn_high, n=n),
        _measured(
            "jaccard_apart",
            "confidence: the rest above the tenth trusted least",
            float(high[0] - low[0]),
            drawn_high - drawn_low,
            n=n,
        ),
    )


def split_by_confidence(
    trust: Floats, overlap: Floats, *, weights: Floats
) -> tuple[Floats, Floats]:
    """Mean Jaccard index of the tenth that is trusted least and of the rest.

    Pictures that are trusted equally have no order: where the edge of the tenth cuts through them,
    each side gets its share of them, at their mean.

    Args:
        trust: float64 [N], the confidence of each picture.
        overlap: float64 [N], its Jaccard index.
        weights: float64 [B, N], how often each picture counts, for each of B resamples.

    Returns:
        Two float64 [B].
    """
    order = np.argsort(trust, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(trust[order]) != 0))
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    total = np.add.reduceat(weights[:, order] * overlap[order], starts, axis=1)
    means = np.nan_to_num(ratio(total, mass))
    before = np.cumsum(mass, axis=1) - mass
    tenth = LEAST_CONFIDENT * mass.sum(axis=1, keepdims=True)
    inside = np.clip(tenth - before, 0, mass)
    outside = mass - inside
    return (
        ratio((inside * means).sum(axis=1), inside.sum(axis=1)),
        ratio((outside * means).sum(axis=1), outside.sum(axis=1)),
    )


def _measured(key: str, told: str, value: float, drawn: Floats, *, n: int) -> Measured:
    low, high = interval(drawn)
    return Measured(key=key, told=told, value=value, low=float(low), high=float(high), n=n)
