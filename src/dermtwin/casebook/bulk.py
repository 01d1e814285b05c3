"""New cases into the record, within one transaction: a few, or many thousands at once.

Names are looked up together, keys are given together, and rows go in without a round trip each.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Column, Connection, Table, func, select, text

from dermtwin.casebook.auditing import subject
from dermtwin.casebook.placing import NewImage, Outcome, Placed, compare, foreign_patient
from dermtwin.casebook.records import MANY, VECTOR, EncoderRecord, Record, chunks, records
from dermtwin.casebook.schema import CASES, CHANGES, CODES, IMAGES, LESIONS, PATIENTS, PLAIN_FIELDS
from dermtwin.vocabulary import Case

Item = tuple[Case, NewImage]


def place_all(
    connection: Connection, rows: Sequence[Item], *, encoder: EncoderRecord
) -> list[Placed]:
    """Put new cases in; those of a name that is there already are left alone.

    The same as one call a row, also where rows of one call share names, images or lesions.

    Args:
        connection: a writing transaction.
        rows: cases with their images; a few thousand at a time keep the memory small.
        encoder: whose codes the images have.

    Returns:
        What became of each row, in their order.
    """
    there = _There.of(connection, [case for case, _ in rows])
    placed: list[Placed] = []
    new: list[tuple[int, Item]] = []
    for item in rows:
        found = there.compared(item)
        if found is None:
            found = Placed(Outcome.ADDED)
            new.append((len(placed), item))
            there.take(item)
        placed.append(found)
    for (place, _), outcome in zip(new, _insert_all(connection, new, encoder=encoder), strict=True):
        placed[place] = outcome
    return placed


@dataclass(slots=True)
class _There:
    """What is in the record, and then also what of the same call comes before a row."""

    records: dict[str, Record]
    patient_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: Connection, cases: Sequence[Case]) -> "_There":
        names = _known(connection, CASES.c.isic_id, {case.isic_id for case in cases})
        there = cls(records(connection, list(names)))
        lesions = {case.lesion_id for case in cases if case.lesion_id is not None}
        owners = select(LESIONS.c.lesion_id, PATIENTS.c.patient_id).select_from(
            CASES.join(LESIONS).join(PATIENTS)
        )
        for part in chunks(sorted(lesions), size=MANY):
            for lesion, patient in connection.execute(
                owners.where(LESIONS.c.lesion_id.in_(part)).distinct()
            ):
                there.patient_of[lesion] = patient
        return there

    def compared(self, item: Item) -> Placed | None:
        """What a row is to what is there; None: it is new."""
        case, image = item
        if there := self.records.get(case.isic_id):
            return compare(case, sha256=image.sha256, there=there)
        if case.lesion_id is None or case.patient_id is None:
            return None
        patient = self.patient_of.get(case.lesion_id, case.patient_id)
        return None if patient == case.patient_id else foreign_patient(case, patient)

    def take(self, item: Item) -> None:
        case, image = item
        self.records[case.isic_id] = Record(0, case, image.sha256, image.header.format)
        if case.lesion_id is not None and case.patient_id is not None:
            self.patient_of.setdefault(case.lesion_id, case.patient_id)


def _insert_all(
    connection: Connection, new: Sequence[tuple[int, Item]], *, encoder: EncoderRecord
) -> list[Placed]:
    items = [item for _, item in new]
    if not items:
        return []
    images = _image_keys(connection, [image for _, image in items])
    lesions = _lesion_keys(connection, (case.lesion_id for case, _ in items))
    patients = _patients(connection, (case.patient_id for case, _ in items))
    first = _reserve(connection, CASES, len(items))
    keys = range(first, first + len(items))
    owners = [
        (
            images[image.sha256],
            None if case.lesion_id is None else lesions[case.lesion_id],
            None if case.patient_id is None else patients[case.patient_id].key,
        )
        for case, image in items
    ]
    audit_keys = [secrets.token_bytes(16) for _ in items]
    _insert(connection, CASES, _CASE_COLUMNS, map(_case_row, keys, owners, audit_keys, items))
    codes = (
        (key, encoder.key, image.vector.astype(VECTOR, copy=False).tobytes(), image.bits)
        for key, (_, image) in zip(keys, items, strict=True)
    )
    _insert(connection, CODES, ("case_key", "encoder_key", "vector", "bits"), codes)
    _insert(connection, CHANGES, ("case_key", "kind"), ((key, "added") for key in keys))
    return [
        Placed(
            Outcome.ADDED,
            case_key=key,
            subjects=(
                subject(audit_key, case.isic_id),
                *(() if case.patient_id is None else patients[case.patient_id].subjects),
            ),
        )
        for key, audit_key, (case, _) in zip(keys, audit_keys, items, strict=True)
    ]


_CASE_COLUMNS = (
    "key",
    "image_key",
    "lesion_key",
    "patient_key",
    "audit_key",
    "extra",
    "isic_id",
    *PLAIN_FIELDS,
)


def _case_row(
    key: int, owners: tuple[int, int | None, int | None], audit_key: bytes, item: Item
) -> tuple[Any, ...]:
    case, _ = item
    # Most cases have no further columns.
    extra = json.dumps(dict(case.extra), sort_keys=True, ensure_ascii=False) if case.extra else "{}"
    plain = [getattr(case, name) for name in PLAIN_FIELDS]
    return (key, *owners, audit_key, extra, case.isic_id, *plain)


def _image_keys(connection: Connection, images: Iterable[NewImage]) -> dict[str, int]:
    """The keys of images by their digest, new ones being given where needed."""
    by_digest = {image.sha256: image for image in images}
    known = _known(connection, IMAGES.c.sha256, by_digest.keys())
    new = [image for digest, image in by_digest.items() if digest not in known]
    first = _reserve(connection, IMAGES, len(new))
    names = ("key", "sha256", "format", "width", "height", "bytes", "phash")
    _insert(connection, IMAGES, names, (_image_row(*each) for each in enumerate(new, first)))
    return known | {image.sha256: key for key, image in enumerate(new, first)}


def _image_row(key: int, image: NewImage) -> tuple[Any, ...]:
    header = image.header
    # The column is signed.
    phash = None if image.phash is None else int(np.uint64(image.phash).astype(np.int64))
    size = len(image.data)
    return key, image.sha256, header.format, header.width, header.height, size, phash


@dataclass(frozen=True, slots=True)
class _Patient:
    """A patient's key, and how the audit log names them; nothing where they have no audit key."""

    key: int
    subjects: tuple[bytes, ...]


def _patients(connection: Connection, names: Iterable[str | None]) -> dict[str, _Patient]:
    """Patients by their name, new ones being given keys."""
    wanted = {name for name in names if name is not None}
    columns = (PATIENTS.c.patient_id, PATIENTS.c.key, PATIENTS.c.audit_key)
    known = {
        row.patient_id: (row.key, row.audit_key)
        for part in chunks(sorted(wanted), size=MANY)
        for row in connection.execute(select(*columns).where(PATIENTS.c.patient_id.in_(part)))
    }
    new = sorted(wanted - known.keys())
    first = _reserve(connection, PATIENTS, len(new))
    made = {name: (key, secrets.token_bytes(16)) for key, name in enumerate(new, first)}
    rows = ((name, *both) for name, both in made.items())
    _insert(connection, PATIENTS, ("patient_id", "key", "audit_key"), rows)
    return {
        name: _Patient(key, () if audit_key is None else (subject(audit_key, name),))
        for name, (key, audit_key) in (known | made).items()
    }


def _lesion_keys(connection: Connection, names: Iterable[str | None]) -> dict[str, int]:
    """The keys of lesions by their name, new ones being given where needed."""
    wanted = dict.fromkeys(name for name in names if name is not None)
    known = _known(connection, LESIONS.c.lesion_id, wanted)
    new = [name for name in wanted if name not in known]
    first = _reserve(connection, LESIONS, len(new))
    _insert(connection, LESIONS, ("key", "lesion_id"), enumerate(new, first))
    return known | {name: key for key, name in enumerate(new, first)}


def _known(connection: Connection, column: Column[str], names: Iterable[str]) -> dict[str, int]:
    """Those of the names that are there, with their keys."""
    wanted = select(column, column.table.c.key)
    return {
        name: key
        for part in chunks(sorted(names), size=MANY)
        for name, key in connection.execute(wanted.where(column.in_(part)))
    }


def _reserve(connection: Connection, table: Table, count: int) -> int:
    """The first of `count` keys that were never given, and that nobody else will be given."""
    if connection.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, "key")
        first = connection.scalar(select(func.nextval(sequence))) or 0
        connection.execute(select(func.setval(sequence, first + count)))
        return int(first)
    # SQLite keeps the largest key ever given, and takes note of those that we give.
    largest = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return int(connection.scalar(largest, {"name": table.name}) or 0) + 1


def _insert(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert rows past SQLAlchemy, which would look at every value of each."""
    names = ", ".join(columns)
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "postgresql":
        with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    values = ", ".join("?" * len(columns))
    raw.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)  # noqa: S608 - ours
