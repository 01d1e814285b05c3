"""The kinds of lesions that are drawn, and what a dermatologist would look for in each.

The figures are ours, chosen by eye so that the kinds look as textbooks show them. `severity`, 0…1,
moves asymmetry, border, colours and structure together; the two classes overlap in it.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

_MELANOMA = "Malignant:Malignant melanocytic proliferations (Melanoma)"
_NEVUS = "Benign:Benign melanocytic proliferations:Nevus"


class Kind(StrEnum):
    """A diagnosis with a dermoscopic pattern; the value is its path in the archive's hierarchy."""

    RETICULAR_NEVUS = f"{_NEVUS}:Nevus, NOS, Junctional"
    GLOBULAR_NEVUS = f"{_NEVUS}:Nevus, NOS, Compound"
    HOMOGENEOUS_NEVUS = f"{_NEVUS}:Nevus, NOS, Dermal"
    SEBORRHEIC_KERATOSIS = "Benign:Benign epidermal proliferations:Seborrheic keratosis"
    DERMATOFIBROMA = "Benign:Benign soft tissue proliferations - Fibro-histiocytic:Dermatofibroma"
    HEMANGIOMA = "Benign:Benign soft tissue proliferations - Vascular:Hemangioma"
    MELANOMA_IN_SITU = f"{_MELANOMA}:Melanoma in situ"
    MELANOMA = f"{_MELANOMA}:Melanoma Invasive:Melanoma Invasive, Superficial spreading"
    BASAL_CELL_CARCINOMA = (
        "Malignant:Malignant adnexal epithelial proliferations - Follicular:Basal cell carcinoma"
    )

    @property
    def is_malignant(self) -> bool:
        """The class that the kind belongs to."""
        return self.value.startswith("Malignant")

    @property
    def is_melanocytic(self) -> bool:
        """Whether it is a nevus or a melanoma."""
        return "melanocytic" in self.value


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind looks before its severity is counted in.

    Attributes:
        share: of its class.
        ages: mean and spread in years.
        melanin, blood: optical density of the pigment and of the redness, 0 none, 1 deep.
        fade: width of the border as a part of the radius; small is sharp.
        network, globules, streaks, veil, regression, milia, lacunae, nests, vessels, scar: the
            probability that the structure is there.
    """

    share: float
    ages: tuple[float, float]
    melanin: float
    blood: float = 0.1
    fade: float = 0.16
    network: float = 0.0
    globules: float = 0.0
    streaks: float = 0.0
    veil: float = 0.0
    regression: float = 0.0
    milia: float = 0.0
    lacunae: float = 0.0
    nests: float = 0.0
    vessels: float = 0.0
    scar: float = 0.0


LOOKS = MappingProxyType(
    {
        Kind.RETICULAR_NEVUS: Look(0.38, (38, 15), 0.62, network=0.95, globules=0.15),
        Kind.GLOBULAR_NEVUS: Look(0.2, (28, 13), 0.6, network=0.2, globules=0.95, fade=0.12),
        Kind.HOMOGENEOUS_NEVUS: Look(0.16, (45, 15), 0.55, blood=0.25, vessels=0.2, globules=0.1),
        Kind.SEBORRHEIC_KERATOSIS: Look(0.14, (65, 11), 0.72, fade=0.05, milia=1.0),
        Kind.DERMATOFIBROMA: Look(
            0.06, (48, 13), 0.42, blood=0.22, fade=0.3, network=0.9, scar=1.0
        ),
        Kind.HEMANGIOMA: Look(0.06, (50, 16), 0.06, blood=0.7, fade=0.06, lacunae=1.0),
        Kind.MELANOMA_IN_SITU: Look(
            0.32, (60, 14), 0.72, network=0.85, globules=0.5, streaks=0.3, regression=0.35, veil=0.1
        ),
        Kind.MELANOMA: Look(
            0.46, (62, 14), 0.95, blood=0.25, fade=0.08, network=0.55, globules=0.75, streaks=0.5,
            veil=0.7, regression=0.4, vessels=0.25,
        ),
        Kind.BASAL_CELL_CARCINOMA: Look(
            0.22, (67, 12), 0.14, blood=0.42, fade=0.14, nests=0.85, vessels=1.0
        ),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Traits:
    """What makes one lesion this lesion and no other; all of it follows from these three.

    Attributes:
        kind: its diagnosis.
        severity: 0 (round, even, one colour) … 1 (asymmetric, ragged, many colours).
        seed: of everything else.
    """

    kind: Kind
    severity: float
    seed: int


def draw_traits(rng: np.random.Generator, *, malignant: bool) -> Traits:
    """Draw a lesion of a class: its kind by share, its severity from overlapping distributions."""
    kinds = [kind for kind in Kind if kind.is_malignant == malignant]
    shares = np.array([LOOKS[kind].share for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    severity = rng.beta(4.0, 2.6) if malignant else rng.beta(1.8, 4.4)
    return Traits(kind, float(severity), int(rng.integers(2**63)))
