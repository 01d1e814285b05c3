"""What a case is to the record, what becomes of it, and how one that is there is altered."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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

from dermtwin.casebook.holding import held
from dermtwin.casebook.records import MANY, Record, chunks, records
from dermtwin.casebook.schema import (
    CASES,
    CHANGES,
    LESIONS,
    PATIENTS,
    PLAIN_FIELDS,
)
from dermtwin.casebook.store import image_path, thumbnail_path
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
    """What became of a case.

    Attributes:
        outcome: whether it went in.
        message: for the last two outcomes, a sentence that says why.
        case_key: the number of a case that was added or updated.
        subjects: how the audit log names a case that was added, and its patient.
    """

    outcome: Outcome
    message: str = ""
    case_key: int | None = None
    subjects: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """An image that was read and encoded.

    Attributes:
        data: the file.
        sha256: its digest.
        header: its format and size.
        thumbnail: a small copy of it, JPEG.
        vector: float32 [D], its code by the casebook's encoder.
        bits: the signs of the encoder's bits, packed; None: it has none.
        phash: its perceptual hash, 64 bits; None: it is compared with no other image.
    """

    data: bytes
    sha256: str
    header: Header
    thumbnail: bytes
    vector: NDArray[np.float32]
    bits: bytes | None = None
    phash: int | None = None

    def files(self) -> dict[str, bytes]:
        """What is to be written, by path relative to the casebook."""
        path = image_path(self.sha256, format=self.header.format)
        return {path: self.data, thumbnail_path(self.sha256): self.thumbnail}


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
            "it was left as it is.",
        )
    return Placed(Outcome.ALREADY_THERE)


def alter(connection: Connection, case: Case, *, sha256: str) -> Placed:
    """Give a case that is there new values."""
    there = records(connection, [case.isic_id]).get(case.isic_id)
    if there is None:
        message = f"{case.isic_id} was forgotten meanwhile; add it again if that was not meant."
        return Placed(Outcome.REFUSED, message)
    found = compare(case, sha256=sha256, there=there)
    if found.outcome is not Outcome.DIFFERS:
        return found
    keys = _look(connection, case)
    if keys.other_patient is not None:
        return foreign_patient(case, keys.other_patient)
    if case.patient_id != there.case.patient_id and (holds := held(connection, [there.key])):
        return Placed(
            Outcome.REFUSED,
            f"{case.isic_id} cannot be given another patient: a hold stands on {holds[0]}.",
        )
    before = owners_of(connection, [there.key])
    values = _values(connection, case, keys)
    connection.execute(update(CASES).where(CASES.c.key == there.key).values(values))
    connection.execute(_NEW_CHANGE, {"case_key": there.key, "kind": "altered"})
    remove_unused(connection, before)
    return Placed(Outcome.UPDATED, case_key=there.key)


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
_NEW_LESION = insert(LESIONS).returning(LESIONS.c.key)
_NEW_PATIENT = insert(PATIENTS).returning(PATIENTS.c.key)
_NEW_CHANGE = insert(CHANGES)

_ISIC_ID, _LESION_ID, _PATIENT_ID = (
    bindparam(name, type_=Text) for name in ("isic_id", "lesion_id", "patient_id")
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
            "lesion_key": select(LESIONS.c.key).where(LESIONS.c.lesion_id == _LESION_ID),
            "patient_key": select(PATIENTS.c.key).where(PATIENTS.c.patient_id == _PATIENT_ID),
            "other_patient": _OTHER_PATIENT,
        }.items()
    )
)


@dataclass(frozen=True, slots=True)
class _Found:
    """The keys that a case's names have already; None: not yet."""

    lesion_key: int | None
    patient_key: int | None
    other_patient: str | None


def _look(connection: Connection, case: Case) -> _Found:
    names = {
        "isic_id": case.isic_id,
        "lesion_id": case.lesion_id,
        "patient_id": case.patient_id,
    }
    return _Found(*connection.execute(_LOOK, names).one())


def _values(connection: Connection, case: Case, found: _Found) -> dict[str, Any]:
    """A case's row but for its image; lesion and patient are given keys where they have none."""
    lesion, patient = found.lesion_key, found.patient_key
    if lesion is None and case.lesion_id is not None:
        lesion = connection.scalar(_NEW_LESION, {"lesion_id": case.lesion_id})
    if patient is None and case.patient_id is not None:
        named = {"patient_id": case.patient_id, "audit_key": secrets.token_bytes(16)}
        patient = connection.scalar(_NEW_PATIENT, named)
    plain = {name: getattr(case, name) for name in PLAIN_FIELDS}
    return plain | {
        "isic_id": case.isic_id,
        "lesion_key": lesion,
        "patient_key": patient,
        "extra": json.dumps(dict(case.extra), sort_keys=True, ensure_ascii=False),
    }


def foreign_patient(case: Case, other: str) -> Placed:
    """The refusal of a case whose lesion belongs to another patient."""
    return Placed(
        Outcome.REFUSED,
        f"{case.isic_id}: lesion {case.lesion_id} belongs to patient {other} in the casebook, "
        f"here to {case.patient_id}; correct one of them.",
    )
