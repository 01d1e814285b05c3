"""The images of a training, brought to size once, with their classes, lesions and fingerprint."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets import Dataset, Row, card_fingerprint
from dermtwin.encoders import InputSpec, look_at
from dermtwin.errors import DatasetError, ImageError
from dermtwin.images import Rgb, digest, read_file
from dermtwin.preparation import Preparation
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import DIAGNOSIS_LEVELS, Case

_EXAMPLES = 5
_KINDS = {"isic_id": "images", "lesion_id": "lesions", "patient_id": "patients"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImages:
    """Images ready to train on, by `isic_id`, so that a table's order changes nothing.

    Attributes:
        views: uint8 [N, size, size, 3].
        malignant: bool [N].
        cases: each image's case.
        lesions: each image's lesion; an image of unknown lesion is a lesion of its own.
        fingerprint: SHA-256 over names, classes, lesions and image files, in hexadecimal.
        left_out: rows that are neither benign nor malignant.
        is_drawn: whether any picture was generated.
        licences: how many images stand under which licence, in words.
    """

    views: NDArray[np.uint8]
    malignant: NDArray[np.bool_]
    cases: tuple[Case, ...]
    lesions: tuple[str, ...]
    fingerprint: str
    left_out: int
    is_drawn: bool
    licences: str

    def __len__(self) -> int:
        return len(self.lesions)

    def beside(self, others: "TrainingImages") -> "TrainingImages":
        """These and others, in this order, whose views are as large.

        Raises:
            DatasetError: they share a case.
        """
        names = {case.isic_id for case in self.cases}
        shared = [case.isic_id for case in others.cases if case.isic_id in names]
        if shared:
            raise DatasetError(
                f"{len(shared):,} images are both to learn from and beside, such as "
                f"{', '.join(shared[:_EXAMPLES])}; leave them out of one."
            )
        both = hashlib.sha256(f"{self.fingerprint}\n{others.fingerprint}\n".encode())
        return TrainingImages(
            views=np.concatenate([self.views, others.views]),
            malignant=np.concatenate([self.malignant, others.malignant]),
            cases=self.cases + others.cases,
            lesions=self.lesions + others.lesions,
            fingerprint=both.hexdigest(),
            left_out=self.left_out + others.left_out,
            is_drawn=self.is_drawn or others.is_drawn,
            licences=_licences(self.cases + others.cases),
        )

    @property
    def content(self) -> str:
        """SHA-256 over fingerprint and diagnoses, in hexadecimal: all that can be learnt here."""
        levels = (
            "\t".join(getattr(case, level) or "" for level in DIAGNOSIS_LEVELS)
            for case in self.cases
        )
        return hashlib.sha256("\n".join([self.fingerprint, *levels]).encode()).hexdigest()

    def refuse_shared(self, unseen: "TrainingImages") -> None:
        """Stop where images to measure on show what is learnt from here.

        Raises:
            DatasetError: they share an image's name, a lesion or a patient.
        """
        for field, kind in _KINDS.items():
            own = {getattr(case, field) for case in self.cases} - {None}
            shared = sorted({getattr(case, field) for case in unseen.cases} & own)
            if shared:
                raise DatasetError(
                    f"{len(shared):,} {kind} are both learnt from and measured on, such as "
                    f"{', '.join(shared[:_EXAMPLES])}; measure on others (`dermtwin split` keeps "
                    "lesions and patients together)."
                )

    def described(self) -> dict[str, Any]:
        """What a card says of them: fingerprint and counts."""
        malignant = int(self.malignant.sum())
        return {
            "fingerprint": self.fingerprint,
            "images": len(self),
            "benign": len(self) - malignant,
            "malignant": malignant,
            "lesions": len(set(self.lesions)),
            "left_out": self.left_out,
            "drawn": self.is_drawn,
        }

    def mean_and_deviation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per channel, over all pixels as values from 0 to 1, to six decimals."""
        # Counting the 256 levels is exact, whatever the number of images.
        levels = np.arange(256) / 255
        counts = [
            np.bincount(self.views[..., channel].ravel(), minlength=256) for channel in (0, 1, 2)
        ]
        means = [float(np.average(levels, weights=count)) for count in counts]
        variances = (
            float(np.average((levels - mean) ** 2, weights=count))
            for mean, count in zip(means, counts, strict=True)
        )
        # A channel without variance is left as it is; nothing can be divided by 0.
        deviations = (variance**0.5 or 1.0 for variance in variances)
        return tuple(round(m, 6) for m in means), tuple(max(round(d, 6), 1e-6) for d in deviations)


def load_images(
    dataset: Dataset,
    spec: InputSpec,
    *,
    preparation: Preparation | None = None,
    track: Track = untracked,
) -> TrainingImages:
    """Read a dataset's benign and malignant images.

    Args:
        dataset: of which those that are neither are left out.
        spec: of the views.
        preparation: of the pictures; None: none.
        track: looks on.

    Raises:
        DatasetError: none is left, or some cannot be read; all are told at once.
    """
    rows = dataset.of_two_classes()
    loads = in_order(partial(_load, spec=spec, preparation=preparation), rows)
    views, digests = _collected(track(loads, label="reading images", total=len(rows)))
    lesions = tuple(_lesion_of(row) for row in rows)
    return TrainingImages(
        views=np.stack(views),
        malignant=np.array([row.case.is_malignant for row in rows], dtype=bool),
        cases=tuple(row.case for row in rows),
        lesions=lesions,
        fingerprint=card_fingerprint(rows, digests),
        left_out=len(dataset) - len(rows),
        is_drawn=any(row.case.is_drawn for row in rows),
        licences=_licences([row.case for row in rows]),
    )


def _load(row: Row, *, spec: InputSpec, preparation: Preparation | None) -> tuple[Rgb, str] | str:
    try:
        data = read_file(row.image)
        look = look_at(data, spec, name=str(row.image), preparation=preparation)
        return look.view, digest(data)
    except ImageError as error:
        return str(error)


def _collected(loads: Iterable[tuple[Rgb, str] | str]) -> tuple[list[Rgb], list[str]]:
    views, digests, faults = [], [], []
    for load in loads:
        if isinstance(load, str):
            faults.append(load)
        else:
            views.append(load[0])
            digests.append(load[1])
    if faults:
        shown = faults[:_EXAMPLES]
        more = [f"… and {len(faults) - _EXAMPLES} more"] if len(faults) > _EXAMPLES else []
        raise DatasetError("\n  ".join([f"{len(faults)} images cannot be read:", *shown, *more]))
    return views, digests


def _lesion_of(row: Row) -> str:
    # A name that no table can hold keeps an unknown lesion apart from all named ones.
    return row.case.lesion_id or f"\t{row.case.isic_id}"


def _licences(cases: Sequence[Case]) -> str:
    names, counts = np.unique(
        [case.copyright_license or "unknown" for case in cases], return_counts=True
    )
    return ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
