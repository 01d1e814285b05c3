"""One case into the record: within one transaction, whole or not at all."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, Table, delete, insert, select, update

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
    there = records(connection, [case.isic_id]).get(case.isic_id)
    if there is not None:
        return compare(case, sha256=image.sha256, there=there)
    if refusal := _foreign_patient(connection, case, key=None):
        return refusal
    values = _values(connection, case) | {"image_key": _image_key(connection, image)}
    key = connection.scalar(insert(CASES).values(values).returning(CASES.c.key))
    vector = image.vector.astype(VECTOR).tobytes()
    connection.execute(insert(CODES).values(case_key=key, encoder_key=encoder.key, vector=vector))
    connection.execute(insert(CHANGES).values(case_key=key, kind="added"))
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
    if refusal := _foreign_patient(connection, case, key=there.key):
        return refusal
    before = owners_of(connection, [there.key])
    values = _values(connection, case)
    connection.execute(update(CASES).where(CASES.c.key == there.key).values(values))
    connection.execute(insert(CHANGES).values(case_key=there.key, kind="altered"))
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


def _values(connection: Connection, case: Case) -> dict[str, object]:
    plain = {name: getattr(case, name) for name in PLAIN_FIELDS}
    return plain | {
        "isic_id": case.isic_id,
        "lesion_key": _name_key(connection, LESIONS, LESIONS.c.lesion_id, case.lesion_id),
        "patient_key": _name_key(connection, PATIENTS, PATIENTS.c.patient_id, case.patient_id),
        "extra": json.dumps(dict(case.extra), sort_keys=True, ensure_ascii=False),
    }


def _name_key(
    connection: Connection, table: Table, column: Column[str], name: str | None
) -> int | None:
    """The key of a name, which is given one if it has none."""
    if name is None:
        return None
    key: int | None = connection.scalar(select(table.c.key).where(column == name))
    if key is None:
        statement = insert(table).values({column.name: name}).returning(table.c.key)
        key = connection.scalar(statement)
    return key


def _image_key(connection: Connection, image: NewImage) -> int | None:
    key: int | None = connection.scalar(select(IMAGES.c.key).where(IMAGES.c.sha256 == image.sha256))
    if key is not None:
        return key
    made: int | None = connection.scalar(
        insert(IMAGES)
        .values(
            sha256=image.sha256,
            format=image.header.format,
            width=image.header.width,
            height=image.header.height,
            bytes=len(image.data),
        )
        .returning(IMAGES.c.key)
    )
    return made


def _foreign_patient(connection: Connection, case: Case, *, key: int | None) -> Placed | None:
    """Refuse a case whose lesion belongs, by other cases, to another patient."""
    if case.lesion_id is None or case.patient_id is None:
        return None
    others = (
        select(PATIENTS.c.patient_id)
        .select_from(CASES.join(LESIONS).join(PATIENTS))
        .where(LESIONS.c.lesion_id == case.lesion_id, PATIENTS.c.patient_id != case.patient_id)
    )
    if key is not None:
        others = others.where(CASES.c.key != key)
    other = connection.scalar(others.limit(1))
    if other is None:
        return None
    return Placed(
        Outcome.REFUSED,
        f"{case.isic_id}: lesion {case.lesion_id} belongs to patient {other} in the casebook, "
        f"here to {case.patient_id}; correct one of them.",
    )
