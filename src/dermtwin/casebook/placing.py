"""One case into the record: within one transaction, whole or not at all."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    Connection,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from dermtwin.casebook.records import MANY, VECTOR, EncoderRecord, Record, chunks, records
from dermtwin.casebook.schema import (
    CASES,
    CHANGES,
    CODES,
    IMAGES,
    LESIONS,
    PATIENTS,
    PLAIN_FIELDS,
)
from dermtwin.images import Header
from dermtwin.vocabulary import FIELDS, Case


class Outcome(StrEnum):
    """What became of a case that was to go in."""

    ADDED = "added"
    UPDATED = "updated"
    ALREADY_THERE = "already there"
    DIFFERS = "there with other values"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a case, and for the last two outcomes a sentence that says why."""

    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """An image that was read and encoded.

    Attributes:
        data: the file.
        sha256: its digest.
        header: its format and size.
        vector: float32 [D], its code by the casebook's encoder.
    """

    data: bytes
    sha256: str
    header: Header
    vector: NDArray[np.float32]


def differing_fields(case: Case, other: Case) -> list[str]:
    """The names of the fields, and of the further columns, in which two cases differ."""
    names = [name for name in FIELDS if getattr(case, name) != getattr(other, name)]
    further = sorted(case.extra.keys() | other.extra.keys())
    return names + [name for name in further if case.extra.get(name) != other.extra.get(name)]


def compare(case: Case, *, sha256: str, there: Record) -> Placed:
    """What a case is to the one of its name in the casebook."""
    if there.sha256 != sha256:
        return Placed(
            Outcome.REFUSED,
            f"{case.isic_id} is in the casebook with another image; give this one a name of its "
            "own, or forget the other first.",
        )
    if fields := differing_fields(case, there.case):
        return Placed(
            Outcome.DIFFERS,
            f"{case.isic_id} is in the casebook with another {', '.join(fields)}; "
            "it was left as it is (--update takes the new values).",
        )
    return Placed(Outcome.ALREADY_THERE)


def place(connection: Connection, case: Case, *, image: NewImage, encoder: EncoderRecord) -> Placed:
    """Put a new case in; one of its name that is there already is left alone."""
    found = _look(connection, case, sha256=image.sha256)
    if found.case_key is not None:
        there = records(connection, [case.isic_id])[case.isic_id]
        return compare(case, sha256=image.sha256, there=there)
    if found.other_patient is not None:
        return _foreign_patient(case, found.other_patient)
    image_key = found.image_key or connection.scalar(_NEW_IMAGE, _image_values(image))
    values = _values(connection, case, found) | {"image_key": image_key}
    key = connection.scalar(_NEW_CASE, values)
    vector = image.vector.astype(VECTOR).tobytes()
    connection.execute(_NEW_CODE, {"case_key": key, "encoder_key": encoder.key, "vector": vector})
    connection.execute(_NEW_CHANGE, {"case_key": key, "kind": "added"})
    return Placed(Outcome.ADDED)


def alter(connection: Connection, case: Case, *, sha256: str) -> Placed:
    """Give a case that is there new values."""
    there = records(connection, [case.isic_id]).get(case.isic_id)
    if there is None:
        message = f"{case.isic_id} was forgotten meanwhile; add it again if that was not meant."
        return Placed(Outcome.REFUSED, message)
    found = compare(case, sha256=sha256, there=there)
    if found.outcome is not Outcome.DIFFERS:
        return found
    keys = _look(connection, case, sha256=sha256)
    if keys.other_patient is not None:
        return _foreign_patient(case, keys.other_patient)
    before = owners_of(connection, [there.key])
    values = _values(connection, case, keys)
    connection.execute(update(CASES).where(CASES.c.key == there.key).values(values))
    connection.execute(_NEW_CHANGE, {"case_key": there.key, "kind": "altered"})
    remove_unused(connection, before)
    return Placed(Outcome.UPDATED)


@dataclass(frozen=True, slots=True)
class Owners:
    """Keys of the lesions, patients and images that some cases name."""

    lesions: frozenset[int]
    patients: frozenset[int]
    images: frozenset[int]


def owners_of(connection: Connection, keys: Iterable[int]) -> Owners:
    """What the cases of these keys name."""
    columns = (CASES.c.lesion_key, CASES.c.patient_key, CASES.c.image_key)
    rows = [
        row
        for part in chunks(keys, size=MANY)
        for row in connection.execute(select(*columns).where(CASES.c.key.in_(part)))
    ]
    lesions, patients, images = zip(*rows, strict=True) if rows else ((), (), ())
    return Owners(*(frozenset(each) - {None} for each in (lesions, patients, images)))


def remove_unused(connection: Connection, owners: Owners) -> tuple[int, int]:
    """Remove lesions and patients that no case names any more; tells how many of each."""
    return (
        _remove_unused(connection, LESIONS, CASES.c.lesion_key, owners.lesions),
        _remove_unused(connection, PATIENTS, CASES.c.patient_key, owners.patients),
    )


def _remove_unused(
    connection: Connection, table: Table, column: Column[int], keys: Iterable[int]
) -> int:
    unused = ~select(column).where(column == table.c.key).exists()
    return sum(
        connection.execute(delete(table).where(table.c.key.in_(part), unused)).rowcount
        for part in chunks(keys, size=MANY)
    )


# Made once: to build a statement takes longer than to run it.
_NEW_CASE = insert(CASES).returning(CASES.c.key)
_NEW_IMAGE = insert(IMAGES).returning(IMAGES.c.key)
_NEW_LESION = insert(LESIONS).returning(LESIONS.c.key)
_NEW_PATIENT = insert(PATIENTS).returning(PATIENTS.c.key)
_NEW_CODE = insert(CODES)
_NEW_CHANGE = insert(CHANGES)

_ISIC_ID, _LESION_ID, _PATIENT_ID, _SHA256 = (
    bindparam(name, type_=Text) for name in ("isic_id", "lesion_id", "patient_id", "sha256")
)
# A patient to whom the case's lesion belongs by other cases.
_OTHER_PATIENT = (
    select(PATIENTS.c.patient_id)
    .select_from(CASES.join(LESIONS).join(PATIENTS))
    .where(
        LESIONS.c.lesion_id == _LESION_ID,
        PATIENTS.c.patient_id != _PATIENT_ID,
        CASES.c.isic_id != _ISIC_ID,
    )
    .limit(1)
)
_LOOK = select(
    *(
        question.scalar_subquery().label(name)
        for name, question in {
            "case_key": select(CASES.c.key).where(CASES.c.isic_id == _ISIC_ID),
            "lesion_key": select(LESIONS.c.key).where(LESIONS.c.lesion_id == _LESION_ID),
            "patient_key": select(PATIENTS.c.key).where(PATIENTS.c.patient_id == _PATIENT_ID),
            "image_key": select(IMAGES.c.key).where(IMAGES.c.sha256 == _SHA256),
            "other_patient": _OTHER_PATIENT,
        }.items()
    )
)


@dataclass(frozen=True, slots=True)
class _Found:
    """The keys that a case's names have already; None: not yet."""

    case_key: int | None
    lesion_key: int | None
    patient_key: int | None
    image_key: int | None
    other_patient: str | None


def _look(connection: Connection, case: Case, *, sha256: str) -> _Found:
    names = {
        "isic_id": case.isic_id,
        "lesion_id": case.lesion_id,
        "patient_id": case.patient_id,
        "sha256": sha256,
    }
    return _Found(*connection.execute(_LOOK, names).one())


def _values(connection: Connection, case: Case, found: _Found) -> dict[str, object]:
    """A case's row but for its image; lesion and patient are given keys where they have none."""
    lesion, patient = found.lesion_key, found.patient_key
    if lesion is None and case.lesion_id is not None:
        lesion = connection.scalar(_NEW_LESION, {"lesion_id": case.lesion_id})
    if patient is None and case.patient_id is not None:
        patient = connection.scalar(_NEW_PATIENT, {"patient_id": case.patient_id})
    plain = {name: getattr(case, name) for name in PLAIN_FIELDS}
    return plain | {
        "isic_id": case.isic_id,
        "lesion_key": lesion,
        "patient_key": patient,
        "extra": json.dumps(dict(case.extra), sort_keys=True, ensure_ascii=False),
    }


def _image_values(image: NewImage) -> dict[str, object]:
    return {
        "sha256": image.sha256,
        "format": image.header.format,
        "width": image.header.width,
        "height": image.header.height,
        "bytes": len(image.data),
    }


def _foreign_patient(case: Case, other: str) -> Placed:
    return Placed(
        Outcome.REFUSED,
        f"{case.isic_id}: lesion {case.lesion_id} belongs to patient {other} in the casebook, "
        f"here to {case.patient_id}; correct one of them.",
    )
