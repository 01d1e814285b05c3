"""Erasure: which cases belong to a name, and their rows out of the record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select

from dermtwin.casebook.placing import owners_of, remove_unused
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import CASES, CHANGES, CODES, IMAGES, LESIONS, PATIENTS
from dermtwin.casebook.store import image_path

Kind = Literal["patient", "lesion", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """How much was forgotten. It names nobody."""

    cases: int
    codes: int
    images: int
    lesions: int
    patients: int

    def __str__(self) -> str:
        return (
            f"forgotten: {self.cases:,} cases with {self.codes:,} codes and {self.images:,} image "
            f"files, {self.lesions:,} lesions and {self.patients:,} patients."
        )


def cases_of(connection: Connection, kind: Kind, name: str) -> list[int]:
    """The keys of the cases of a patient, a lesion, or the one of that name.

    A patient's lesion belongs to the patient with all its images, also those whose row names no
    patient.
    """
    matches = {"patient": _is_patients, "lesion": _is_lesions, "image": _is_named}[kind](name)
    return list(connection.scalars(select(CASES.c.key).where(matches).order_by(CASES.c.key)))


def erase(connection: Connection, keys: Sequence[int]) -> tuple[ForgetReport, list[str]]:
    """Delete cases with all that only they use.

    Returns:
        What went, and the paths of the image files that no row names any more.
    """
    owners = owners_of(connection, keys)
    codes = cases = 0
    for part in chunks(keys, size=MANY):
        codes += connection.execute(delete(CODES).where(CODES.c.case_key.in_(part))).rowcount
        cases += connection.execute(delete(CASES).where(CASES.c.key.in_(part))).rowcount
        forgotten = [{"case_key": key, "kind": "forgotten"} for key in part]
        connection.execute(insert(CHANGES), forgotten)
    paths = _drop_images(connection, owners.images)
    lesions, patients = remove_unused(connection, owners)
    report = ForgetReport(
        cases=cases, codes=codes, images=len(paths), lesions=lesions, patients=patients
    )
    return report, paths


def _drop_images(connection: Connection, keys: Iterable[int]) -> list[str]:
    unused = ~select(CASES.c.key).where(CASES.c.image_key == IMAGES.c.key).exists()
    gone = (IMAGES.c.sha256, IMAGES.c.format)
    return [
        image_path(row.sha256, format=row.format)
        for part in chunks(keys, size=MANY)
        for row in connection.execute(
            delete(IMAGES).where(IMAGES.c.key.in_(part), unused).returning(*gone)
        )
    ]


def _is_patients(name: str) -> ColumnElement[bool]:
    patient = select(PATIENTS.c.key).where(PATIENTS.c.patient_id == name).scalar_subquery()
    lesions = select(CASES.c.lesion_key).where(CASES.c.patient_key == patient)
    return or_(CASES.c.patient_key == patient, CASES.c.lesion_key.in_(lesions))


def _is_lesions(name: str) -> ColumnElement[bool]:
    lesion = select(LESIONS.c.key).where(LESIONS.c.lesion_id == name).scalar_subquery()
    return CASES.c.lesion_key == lesion


def _is_named(name: str) -> ColumnElement[bool]:
    return CASES.c.isic_id == name
