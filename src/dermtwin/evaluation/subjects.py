"""Who is compared with whom: images with their class, lesion and patient, and what never counts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.evaluation.ranking import Flags, Ints
from dermtwin.vocabulary import DIAGNOSIS_LEVELS, Case

Names = NDArray[np.str_]

BENIGN, MALIGNANT = 0, 1
CLASS_NAMES: Mapping[int, str] = {MALIGNANT: "malignant", BENIGN: "benign"}

DIAGNOSIS = "diagnosis"
"""The label that holds the deepest known diagnosis, whatever its level."""

REFERENCE_STANDARD = "reference standard"
"""The label that says how a diagnosis was confirmed."""

AGE_BANDS: Mapping[str, range] = {
    "0-29": range(30),
    "30-44": range(30, 45),
    "45-59": range(45, 60),
    "60-74": range(60, 75),
    "75+": range(75, 1000),
}
"""Years by the name of their band."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Subjects:
    """The images of one side, row by row.

    Attributes:
        images: str [N], each image's name.
        lesions, patients: str [N]; empty where unknown.
        classes: int64 [N].
        labels: str [N] by what they tell: each diagnosis level, the deepest diagnosis, site, age
            band, sex, skin type, source, and what the reporting checklist asks for; empty where
            unknown.
    """

    images: Names
    lesions: Names
    patients: Names
    classes: Ints
    labels: Mapping[str, Names] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = (self.images, self.lesions, self.patients, self.classes, *self.labels.values())
        lengths = {len(each) for each in rows}
        if len(lengths) != 1:
            raise SettingsError(
                f"images, lesions, patients, classes, labels have lengths {lengths}."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def clusters(self) -> Names:
        """The lesion, or the image itself where its lesion is unknown: str [N]."""
        return np.where(self.lesions == "", np.char.add("image ", self.images), self.lesions)

    def only(self, rows: Ints) -> "Subjects":
        """Some of them: int64 [M] rows."""
        return Subjects(
            images=self.images[rows],
            lesions=self.lesions[rows],
            patients=self.patients[rows],
            classes=self.classes[rows],
            labels={name: each[rows] for name, each in self.labels.items()},
        )


def subjects_of(cases: Iterable[Case]) -> Subjects:
    """Two classes, malignant and benign.

    Raises:
        SettingsError: a case is neither; leave those out before, and count them.
    """
    listed = list(cases)
    for case in listed:
        if case.is_malignant is None:
            raise SettingsError(f"{case.isic_id} is neither malignant nor benign; leave it out.")
    return Subjects(
        images=np.array([case.isic_id for case in listed], dtype=np.str_),
        lesions=np.array([case.lesion_id or "" for case in listed], dtype=np.str_),
        patients=np.array([case.patient_id or "" for case in listed], dtype=np.str_),
        classes=np.array(
            [MALIGNANT if case.is_malignant else BENIGN for case in listed], dtype=np.int64
        ),
        labels={
            name: np.array([label_of(case) or "" for case in listed], dtype=np.str_)
            for name, label_of in _LABELS.items()
        },
    )


def age_band(years: int | None) -> str | None:
    """The name of the band that an age falls into; None where it is unknown."""
    if years is None:
        return None
    return next((name for name, band in AGE_BANDS.items() if years in band), None)


def source(case: Case) -> str | None:
    """The clinic that an image comes from: HAM10000's `dataset`, else the archive's attribution."""
    return case.extra.get("dataset") or case.attribution


def reference_standard(case: Case) -> str | None:
    """How the diagnosis was confirmed; a word of HAM10000's `dx_type` that is not known stays."""
    return case.diagnosis_confirm_type or case.extra.get("dx_type") or None


_LABELS: Mapping[str, Callable[[Case], str | None]] = {
    **{level: attrgetter(level) for level in DIAGNOSIS_LEVELS},
    DIAGNOSIS: attrgetter("diagnosis"),
    "site": attrgetter("anatom_site_general"),
    "age": lambda case: age_band(case.age_approx),
    "sex": attrgetter("sex"),
    "skin type": attrgetter("fitzpatrick_skin_type"),
    "source": source,
    REFERENCE_STANDARD: reference_standard,
    "image type": attrgetter("image_type"),
    "attribution": attrgetter("attribution"),
    "licence": attrgetter("copyright_license"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """What is left out of a query's gallery, besides the query's own image, which always is.

    Attributes:
        lesion, patient: whether the query's own ones are left out, where they are known.
        near_duplicates: rows of the gallery to leave out, by row of the queries.
    """

    lesion: bool = True
    patient: bool = True
    near_duplicates: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def eligible(self, queries: Subjects, gallery: Subjects, *, query: int) -> Flags:
        """Which images may come back for one query: bool [gallery]."""
        allowed: Flags = np.not_equal(gallery.images, queries.images[query])
        if self.lesion and queries.lesions[query]:
            allowed &= gallery.lesions != queries.lesions[query]
        if self.patient and queries.patients[query]:
            allowed &= gallery.patients != queries.patients[query]
        allowed[list(self.near_duplicates.get(query, ()))] = False
        return allowed


OWN_IMAGE_ONLY = Exclusion(lesion=False, patient=False)
STANDARD = Exclusion()
