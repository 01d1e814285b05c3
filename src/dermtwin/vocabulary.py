"""The words of the field as closed lists, and the two records every room speaks of.

The lists are the ISIC Archive's own, taken from `isic-metadata`; nothing here knows of files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from functools import cache
from types import MappingProxyType

from isic_metadata.diagnosis_hierarchical import DiagnosisEnum
from isic_metadata.fields import (
    AnatomSiteGeneralEnum,
    DiagnosisConfirmTypeEnum,
    FitzpatrickSkinType,
    ImageTypeEnum,
)

DIAGNOSIS_LEVELS = tuple(f"diagnosis_{level}" for level in range(1, 6))

DRAWN_NOTICE = "drawn, not real"

BASE_ENCODER = "dermtwin-base"
"""The encoder that comes with dermtwin: its name stands wherever an encoder file may."""


class Malignancy(StrEnum):
    """The archive's first diagnosis level."""

    BENIGN = "Benign"
    INDETERMINATE = "Indeterminate"
    MALIGNANT = "Malignant"


class Artefact(StrEnum):
    """What can be in the way of the lesion; named as in Bissoto 2020's annotations."""

    HAIR = "hair"
    RULER = "ruler"
    INK = "ink"
    GEL_BUBBLE = "gel_bubble"
    GEL_BORDER = "gel_border"
    DARK_CORNER = "dark_corner"
    PATCHES = "patches"


class SearchBy(StrEnum):
    """What tells how near a case is."""

    CODE = "code"
    BITS = "bits"


class Sex(StrEnum):
    """The archive's `sex`."""

    FEMALE = "female"
    MALE = "male"


# HAM10000's `dx` and the challenge tables' columns, as paths in the archive's hierarchy.
# akiec mixes actinic keratosis (Indeterminate in the archive) with intraepithelial carcinoma; it is
# filed under the latter and so counted as malignant, as Tschandl 2019 counts it. bkl mixes solar
# lentigo, seborrhoeic and lichen-planus-like keratosis: only their common level is claimed.
_CHALLENGE_PATHS = {
    "mel": "Malignant:Malignant melanocytic proliferations (Melanoma):Melanoma, NOS",
    "nv": "Benign:Benign melanocytic proliferations:Nevus",
    "bcc": "Malignant:Malignant adnexal epithelial proliferations - Follicular:"
    "Basal cell carcinoma",
    "akiec": "Malignant:Malignant epidermal proliferations:Squamous cell carcinoma in situ",
    "bkl": "Benign:Benign epidermal proliferations:Pigmented benign keratosis",
    "df": "Benign:Benign soft tissue proliferations - Fibro-histiocytic:Dermatofibroma",
    "vasc": "Benign:Benign soft tissue proliferations - Vascular",
    # ISIC 2019 parts akiec in two.
    "ak": "Indeterminate:Indeterminate epidermal proliferations:Solar or actinic keratosis",
    "scc": "Malignant:Malignant epidermal proliferations:Squamous cell carcinoma, NOS",
}


def diagnosis_levels(path: str) -> dict[str, str]:
    """Spell a colon-separated diagnosis out as `diagnosis_1 …`, known levels only."""
    return dict(zip(DIAGNOSIS_LEVELS, path.split(":"), strict=False))


CHALLENGE_DIAGNOSES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {code: MappingProxyType(diagnosis_levels(path)) for code, path in _CHALLENGE_PATHS.items()}
)


@cache
def vocabulary_of(name: str) -> frozenset[str] | None:
    """The values that the field `name` may take; None where any text may stand."""
    closed: dict[str, type[Enum]] = {
        "sex": Sex,
        "anatom_site_general": AnatomSiteGeneralEnum,
        "diagnosis_confirm_type": DiagnosisConfirmTypeEnum,
        "fitzpatrick_skin_type": FitzpatrickSkinType,
        "image_type": ImageTypeEnum,
    }
    if name in closed:
        return frozenset(member.value for member in closed[name])
    if name in DIAGNOSIS_LEVELS:
        level = DIAGNOSIS_LEVELS.index(name)
        paths = (member.value.split(":") for member in DiagnosisEnum)
        return frozenset(path[level] for path in paths if len(path) > level)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One image with its record; None where a value is unknown.

    Attributes:
        isic_id: the case's name, unique in a dataset and in a casebook.
        age_approx: years, rounded to five by the archive.
        extra: the table's other columns as text, kept as they came.
    """

    isic_id: str
    lesion_id: str | None = None
    patient_id: str | None = None
    diagnosis_1: str | None = None
    diagnosis_2: str | None = None
    diagnosis_3: str | None = None
    diagnosis_4: str | None = None
    diagnosis_5: str | None = None
    diagnosis_confirm_type: str | None = None
    age_approx: int | None = None
    sex: str | None = None
    anatom_site_general: str | None = None
    fitzpatrick_skin_type: str | None = None
    image_type: str | None = None
    attribution: str | None = None
    copyright_license: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def diagnosis(self) -> str | None:
        """The deepest diagnosis that is known."""
        levels = [getattr(self, level) for level in reversed(DIAGNOSIS_LEVELS)]
        return next((level for level in levels if level is not None), None)

    @property
    def is_malignant(self) -> bool | None:
        """The class that the paper's two-class measures use; None: indeterminate or unknown."""
        known = {Malignancy.MALIGNANT: True, Malignancy.BENIGN: False}
        return known.get(self.diagnosis_1)  # type: ignore[call-overload,no-any-return]

    @property
    def is_drawn(self) -> bool:
        """Whether the picture was generated (the archive's word for it is `synthetic`)."""
        return self.extra.get("image_manipulation") == "synthetic"

    def known_fields(self) -> Iterator[tuple[str, str | int]]:
        """Name and value of each typed field that is known, `isic_id` first."""
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None:
                yield name, value


FIELDS = tuple(each.name for each in fields(Case) if each.name != "extra")
"""The typed columns of a table and of the record, in their order."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A case that came back.

    Attributes:
        rank: its place, from 1.
        isic_id: its name.
        lesion_id: its lesion.
        distance: Euclidean, of its code to the query's.
        hamming: in how many bits it differs from the query; None: bits were not compared.
    """

    rank: int
    isic_id: str
    lesion_id: str | None
    distance: float
    hamming: int | None = None
