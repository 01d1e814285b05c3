"""Erasure: which cases belong to a name, what would go with them, and their rows out."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    Table,
    delete,
    insert,
    or_,
    select,
)

from dermtwin.casebook.holding import Hold, held
from dermtwin.casebook.placing import Owners, owners_of, remove_unused
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import CASES, CHANGES, CODES, IMAGES, LESIONS, MAP_POINTS, PATIENTS
from dermtwin.casebook.store import image_path, thumbnail_path
from dermtwin.casebook.traces import Marks

Kind = Literal["patient", "lesion", "case", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPlan:
    """What an erasure takes, by name; nothing was changed yet.

    Attributes:
        cases: their isic_ids.
        lesions: lesions that no other case names.
        patients: patients whom no other case names.
        images: SHA-256 of the image files that no other case shares; each has a thumbnail.
        codes: how many codes, by all encoders.
        points: how many places on the map.
        audit_keys: how many keys by which the audit log names these cases and patients.
        held: the holds that forbid it.
    """

    cases: tuple[str, ...]
    lesions: tuple[str, ...]
    patients: tuple[str, ...]
    images: tuple[str, ...]
    codes: int
    points: int
    audit_keys: int
    held: tuple[Hold, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{name} ({len(values):,}): {', '.join(values)}"
            for name, values in (
                ("cases", self.cases),
                ("lesions", self.lesions),
                ("patients", self.patients),
                ("images, each with its thumbnail", self.images),
            )
            if values
        ]
        lines += [f"codes: {self.codes:,}", f"places on the map: {self.points:,}"]
        lines += [f"keys of the audit log: {self.audit_keys:,}"]
        lines += [f"a hold forbids this: {each}" for each in self.held]
        return "\n".join(["would be forgotten; nothing was changed:", *lines])


def cases_of(connection: Connection, kind: Kind, name: str) -> list[int]:
    """The keys of the cases of a patient, a lesion, an image's SHA-256, or the one of that name.

    A patient's lesion belongs to the patient with all its images, also those whose row names no
    patient.
    """
    matches = {"patient": _is_patients, "lesion": _is_lesions, "case": _is_named, "image": _shows}
    found = select(CASES.c.key).where(matches[kind](name)).order_by(CASES.c.key)
    return list(connection.scalars(found))


def plan(connection: Connection, keys: Sequence[int]) -> tuple[ForgetPlan, Marks]:
    """What the erasure of these cases takes, and the bytes by which it can be looked for."""
    owners = owners_of(connection, keys)
    cases = _of_keys(connection, keys, CASES.c.key, CASES.c.isic_id, CASES.c.audit_key)
    codes = _of_keys(connection, keys, CODES.c.case_key, CODES.c.vector, CODES.c.bits)
    points = _of_keys(connection, keys, MAP_POINTS.c.case_key, MAP_POINTS.c.point)
    gone = {
        table.name: _of_keys(connection, _only_of(connection, keys, column, used), *columns)
        for table, column, used, columns in (
            (LESIONS, CASES.c.lesion_key, owners.lesions, (LESIONS.c.key, LESIONS.c.lesion_id)),
            (
                PATIENTS,
                CASES.c.patient_key,
                owners.patients,
                (PATIENTS.c.key, PATIENTS.c.patient_id, PATIENTS.c.audit_key),
            ),
            (IMAGES, CASES.c.image_key, owners.images, (IMAGES.c.key, IMAGES.c.sha256)),
        )
    }
    names = {name: tuple(sorted(row[0] for row in rows)) for name, rows in gone.items()}
    audit_keys = [row[1] for row in (*cases, *gone["patients"]) if row[1] is not None]
    isic_ids = tuple(sorted(row[0] for row in cases))
    marks = Marks.of(
        names=(*isic_ids, *names["lesions"], *names["patients"]),
        digests=names["images"],
        codes=(bytes(each) for row in codes for each in row if each is not None),
        points=(bytes(row[0]) for row in points),
        keys=map(bytes, audit_keys),
    )
    wanted = ForgetPlan(
        cases=isic_ids,
        **names,
        codes=len(codes),
        points=len(points),
        audit_keys=len(audit_keys),
        held=tuple(held(connection, keys)),
    )
    return wanted, marks


def erase(connection: Connection, keys: Sequence[int]) -> tuple[Owners, list[str]]:
    """Delete cases with all that only they use.

    Returns:
        The lesions, patients and images that they named, and the paths of the files that no row
        names any more.
    """
    owners = owners_of(connection, keys)
    for part in chunks(keys, size=MANY):
        connection.execute(delete(MAP_POINTS).where(MAP_POINTS.c.case_key.in_(part)))
        connection.execute(delete(CODES).where(CODES.c.case_key.in_(part)))
        connection.execute(delete(CASES).where(CASES.c.key.in_(part)))
        forgotten = [{"case_key": key, "kind": "forgotten"} for key in part]
        connection.execute(insert(CHANGES), forgotten)
    paths = _drop_images(connection, owners.images)
    remove_unused(connection, owners)
    return owners, paths


def _drop_images(connection: Connection, keys: Iterable[int]) -> list[str]:
    unused = ~select(CASES.c.key).where(CASES.c.image_key == IMAGES.c.key).exists()
    gone = (IMAGES.c.sha256, IMAGES.c.format)
    return [
        path
        for part in chunks(keys, size=MANY)
        for row in connection.execute(
            delete(IMAGES).where(IMAGES.c.key.in_(part), unused).returning(*gone)
        )
        for path in (image_path(row.sha256, format=row.format), thumbnail_path(row.sha256))
    ]


def _of_keys(
    connection: Connection, keys: Iterable[int], key: Column[int], *columns: Column[Any]
) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for part in chunks(keys, size=MANY)
        for row in connection.execute(select(*columns).where(key.in_(part)))
    ]


def _only_of(
    connection: Connection, cases: Sequence[int], column: Column[int], keys: Iterable[int]
) -> list[int]:
    """Those keys of lesions, patients or images that no case but these names."""
    going = set(cases)
    used = _of_keys(connection, keys, column, column, CASES.c.key)
    staying = {owner for owner, case in used if case not in going}
    return sorted({owner for owner, _ in used} - staying)


def _one(table: Table, column: Column[str], name: str) -> ScalarSelect[int]:
    key: Column[int] = table.c.key
    return select(key).where(column == name).scalar_subquery()


def _is_patients(name: str) -> ColumnElement[bool]:
    patient = _one(PATIENTS, PATIENTS.c.patient_id, name)
    lesions = select(CASES.c.lesion_key).where(CASES.c.patient_key == patient)
    return or_(CASES.c.patient_key == patient, CASES.c.lesion_key.in_(lesions))


def _is_lesions(name: str) -> ColumnElement[bool]:
    lesion_key: Column[int] = CASES.c.lesion_key
    return lesion_key == _one(LESIONS, LESIONS.c.lesion_id, name)


def _is_named(name: str) -> ColumnElement[bool]:
    return CASES.c.isic_id == name


def _shows(sha256: str) -> ColumnElement[bool]:
    image_key: Column[int] = CASES.c.image_key
    return image_key == _one(IMAGES, IMAGES.c.sha256, sha256)
