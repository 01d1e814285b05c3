"""Patients with their lesions and photographs: who is drawn, before anything is."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dermtwin.datasets.drawn.artefacts import draw_artefacts
from dermtwin.datasets.drawn.kinds import LOOKS, Kind, Traits, draw_traits
from dermtwin.datasets.drawn.photograph import Skin, draw_skin
from dermtwin.vocabulary import Artefact, Case, Sex, diagnosis_levels

_SITES = (
    ("posterior torso", 0.3),
    ("anterior torso", 0.2),
    ("lower extremity", 0.2),
    ("upper extremity", 0.15),
    ("head/neck", 0.12),
    ("lateral torso", 0.03),
)
_BENIGN_CONFIRMATIONS = (
    ("histopathology", 0.4),
    ("serial imaging showing no change", 0.4),
    ("single image expert consensus", 0.2),
)
_PHOTOGRAPHS = (0.4, 0.4, 0.2)
_LESIONS_A_PATIENT = (0.6, 0.22, 0.12, 0.06)


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose lesion it is."""

    patient_id: str
    sex: str
    age: int
    skin: Skin


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph to be taken: its case, its luck, and what lies in the way."""

    case: Case
    seed: int
    artefacts: tuple[Artefact, ...]


@dataclass(frozen=True, slots=True)
class Sitting:
    """One lesion and all photographs of it."""

    traits: Traits
    skin: Skin
    shots: tuple[Shot, ...]


def plan_sittings(lesions: int, *, seed: int) -> Iterator[Sitting]:
    """Plan `lesions` lesions, half of them malignant, over patients of one to four lesions."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(lesions) % 2 == 1)
    planned, photographs, patients = 0, 0, 0
    while planned < lesions:
        patients += 1
        count = min(1 + int(rng.choice(4, p=_LESIONS_A_PATIENT)), lesions - planned)
        traits = [draw_traits(rng, malignant=bool(classes[planned + i])) for i in range(count)]
        patient = _draw_patient(rng, patients, kind=traits[0].kind)
        for each in traits:
            planned += 1
            record = _draw_record(rng, each.kind, patient=patient, lesion=planned)
            shots = []
            for _ in range(1 + int(rng.choice(3, p=_PHOTOGRAPHS))):
                photographs += 1
                shots.append(_plan_shot(rng, record, number=photographs))
            yield Sitting(each, patient.skin, tuple(shots))


def _draw_patient(rng: np.random.Generator, number: int, *, kind: Kind) -> Patient:
    mean, spread = LOOKS[kind].ages
    age = int(np.clip(round(rng.normal(mean, spread) / 5) * 5, 5, 85))
    sex = Sex.FEMALE if rng.random() < 0.5 else Sex.MALE
    return Patient(f"DRAWN_P{number:06d}", sex.value, age, draw_skin(rng))


def _draw_record(
    rng: np.random.Generator, kind: Kind, *, patient: Patient, lesion: int
) -> dict[str, str | int]:
    confirmation = "histopathology" if kind.is_malignant else _pick(rng, _BENIGN_CONFIRMATIONS)
    return {
        "lesion_id": f"DRAWN_L{lesion:06d}",
        "patient_id": patient.patient_id,
        **diagnosis_levels(kind.value),
        "diagnosis_confirm_type": confirmation,
        "age_approx": patient.age,
        "sex": patient.sex,
        "anatom_site_general": _pick(rng, _SITES),
        "fitzpatrick_skin_type": patient.skin.type,
        "image_type": "dermoscopic",
        "attribution": "drawn by dermtwin (drawn, not real)",
        "copyright_license": "CC-0",
    }


def _pick(rng: np.random.Generator, words: tuple[tuple[str, float], ...]) -> str:
    return words[int(rng.choice(len(words), p=[share for _, share in words]))][0]


def _plan_shot(rng: np.random.Generator, record: dict[str, str | int], *, number: int) -> Shot:
    artefacts = draw_artefacts(rng)
    extra = {"image_manipulation": "synthetic"}
    extra |= {f"label_{kind}": str(int(kind in artefacts)) for kind in Artefact}
    case = Case(isic_id=f"DRAWN_{number:07d}", extra=extra, **record)  # type: ignore[arg-type]
    return Shot(case, int(rng.integers(2**63)), artefacts)
