"""New cases into the record, within one transaction: a few, or many thousands at once.

Names are looked up together, keys are given together, and rows go in without a round trip each.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    any_,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from dermtwin.casebook.auditing import subject
from dermtwin.casebook.placing import NewImage, Outcome, Placed, compare, foreign_patient
from dermtwin.casebook.records import VECTOR, EncoderRecord, Record, chunks, records
from dermtwin.casebook.schema import CASES, CHANGES, CODES, IMAGES, LESIONS, PATIENTS, PLAIN_FIELDS
from dermtwin.vocabulary import Case

Item = tuple[Case, NewImage]

_KEY_BYTES = 16  # an `audit_key`
_ROWS = 64  # a statement


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
    compared = [there.taken(item) for item in rows]
    new = [item for item, found in zip(rows, compared, strict=True) if found is None]
    added = iter(_insert_all(connection, new, encoder=encoder))
    return [found or next(added) for found in compared]


@dataclass(slots=True)
class _There:
    """What is in the record, and then also what of the same call comes before a row."""

    records: dict[str, Record]
    new: dict[str, Item] = field(default_factory=dict)
    patient_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: Connection, cases: Sequence[Case]) -> "_There":
        names = _known(connection, CASES.c.isic_id, {case.isic_id for case in cases})
        there = cls(records(connection, list(names)))
        lesions = {case.lesion_id for case in cases if case.lesion_id is not None}
        owners = select(LESIONS.c.lesion_id, PATIENTS.c.patient_id).select_from(
            CASES.join(LESIONS).join(PATIENTS)
        )
        known = owners.where(_among(connection, LESIONS.c.lesion_id, lesions)).distinct()
        for lesion, patient in connection.execute(known):
            there.patient_of[lesion] = patient
        return there

    def taken(self, item: Item) -> Placed | None:
        """What a row is to what is there; None: it is new, and there from now on."""
        case, image = item
        if there := self._record(case.isic_id):
            return compare(case, sha256=image.sha256, there=there)
        if case.lesion_id is not None and case.patient_id is not None:
            patient = self.patient_of.setdefault(case.lesion_id, case.patient_id)
            if patient != case.patient_id:
                return foreign_patient(case, patient)
        self.new[case.isic_id] = item
        return None

    def _record(self, isic_id: str) -> Record | None:
        if found := self.new.get(isic_id):
            case, image = found
            return Record(0, case, image.sha256, image.header.format)
        return self.records.get(isic_id)


def _insert_all(
    connection: Connection, items: Sequence[Item], *, encoder: EncoderRecord
) -> list[Placed]:
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
    audit_keys = _audit_keys(len(items))
    # To hand a value over costs more than to store it: fields that no case has are left out.
    fields = [
        name for name in PLAIN_FIELDS if any(getattr(case, name) is not None for case, _ in items)
    ]
    rows = map(_case_row, keys, owners, audit_keys, items, repeat(fields))
    _insert(connection, CASES, (*_CASE_COLUMNS, *fields), rows)
    codes = (
        (key, encoder.key, image.vector.astype(VECTOR, copy=False).tobytes(), image.bits)
        for key, (_, image) in zip(keys, items, strict=True)
    )
    _insert(connection, CODES, ("case_key", "encoder_key", "vector", "bits"), codes)
    added = select(CASES.c.key, literal("added")).where(CASES.c.key.between(keys[0], keys[-1]))
    connection.execute(
        insert(CHANGES).from_select(["case_key", "kind"], added.order_by(CASES.c.key))
    )
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
)


def _case_row(
    key: int,
    owners: tuple[int, int | None, int | None],
    audit_key: bytes,
    item: Item,
    fields: Sequence[str],
) -> tuple[Any, ...]:
    case, _ = item
    # Most cases have no further columns.
    extra = json.dumps(dict(case.extra), sort_keys=True, ensure_ascii=False) if case.extra else "{}"
    return (key, *owners, audit_key, extra, case.isic_id, *[getattr(case, name) for name in fields])


def _audit_keys(count: int) -> list[bytes]:
    data = secrets.token_bytes(_KEY_BYTES * count)  # one call of the system, not one a case
    return [data[at : at + _KEY_BYTES] for at in range(0, len(data), _KEY_BYTES)]


def _image_keys(connection: Connection, images: Iterable[NewImage]) -> dict[str, int]:
    """The keys of images by their digest, new ones being given where needed."""
    by_digest = {image.sha256: image for image in images}
    known = _known(connection, IMAGES.c.sha256, by_digest.keys())
    # In the order of the index on digests, so that its pages are met once each.
    new = [by_digest[digest] for digest in sorted(by_digest.keys() - known.keys())]
    first = _reserve(connection, IMAGES, len(new))
    names = ("key", "sha256", "format", "width", "height", "bytes", "phash")
    _insert(connection, IMAGES, names, (_image_row(*each) for each in enumerate(new, first)))
    return known | {image.sha256: key for key, image in enumerate(new, first)}


def _image_row(key: int, image: NewImage) -> tuple[Any, ...]:
    header = image.header
    phash = image.phash
    if phash is not None and phash >= 1 << 63:
        phash -= 1 << 64  # the column is signed
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
        name: (key, audit_key)
        for name, key, audit_key in connection.execute(
            select(*columns).where(_among(connection, PATIENTS.c.patient_id, wanted))
        )
    }
    new = sorted(wanted - known.keys())
    first = _reserve(connection, PATIENTS, len(new))
    made = dict(zip(new, zip(count(first), _audit_keys(len(new))), strict=True))
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
    wanted = select(column, column.table.c.key).where(_among(connection, column, names))
    return {row[0]: row[1] for row in connection.execute(wanted)}


def _among(
    connection: Connection, column: Column[str], names: Iterable[str]
) -> ColumnElement[bool]:
    """Whether a column is one of many names, which go over as one value: not one each."""
    wanted = list(names)
    if connection.dialect.name == "postgresql":
        return column == any_(literal(wanted, ARRAY(Text)))
    packed = json.dumps(wanted, ensure_ascii=False)
    if "\\u0000" in packed:  # where SQLite would end a name
        return column.in_(wanted)
    each = func.json_each(packed).table_valued("value")
    return column.in_(select(each.c.value))


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
        statement = f"COPY {table} ({names}) FROM STDIN"
        with _raising_alike(connection), raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        return
    # Many rows a statement: SQLite then writes the last key given, and steps, once for all of them.
    values = f"({', '.join('?' * len(columns))})"
    for part in chunks(rows, size=_ROWS):
        statement = f"INSERT INTO {table} ({names}) VALUES {', '.join([values] * len(part))}"  # noqa: S608 - ours
        raw.execute(statement, [*chain.from_iterable(part)])


@contextmanager
def _raising_alike(connection: Connection) -> Iterator[None]:
    """Raise a driver's errors as SQLAlchemy would, had it been asked."""
    dialect = connection.dialect
    assert dialect.loaded_dbapi is not None
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        base = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(None, None, error, base, dialect=dialect) from error
