"""Cases, read from the record."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Row, Select, bindparam, func, select

from dermtwin.casebook.schema import (
    CASES,
    CHANGES,
    ENCODERS,
    IMAGES,
    LESIONS,
    PATIENTS,
)
from dermtwin.gallery import Exclusion
from dermtwin.vocabulary import FIELDS, Case

T = TypeVar("T")

VECTOR = np.dtype("<f4")
"""How the numbers of a code are kept."""

MANY = 500
"""How many names or keys go into one statement."""

_NAMED = {
    "isic_id": CASES.c.isic_id,
    "lesion_id": LESIONS.c.lesion_id,
    "patient_id": PATIENTS.c.patient_id,
}
FIELD_COLUMNS = [_NAMED[name] if name in _NAMED else CASES.c[name] for name in FIELDS]
_JOINED = CASES.outerjoin(LESIONS).outerjoin(PATIENTS)


@dataclass(frozen=True, slots=True)
class Record:
    """A case as it stands in the casebook.

    Attributes:
        key: its number there, never given to another.
        case: the case.
        sha256: its image's digest.
        format: its image's format.
        phash: its image's perceptual hash, 64 bits; None: it has none.
    """

    key: int
    case: Case
    sha256: str
    format: str
    phash: int | None = None


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """An encoder that codes were made with: its number here, its id, its name for people."""

    key: int
    id: str
    name: str

    @property
    def label(self) -> str:
        """Name and the beginning of the id, for people."""
        return f"{self.name} ({self.id[:12]})"


def records(connection: Connection, isic_ids: Collection[str]) -> dict[str, Record]:
    """The cases of these names, those that are there."""
    found = (
        record_of_row(row)
        for names in chunks(sorted(set(isic_ids)), size=MANY)
        for row in connection.execute(_NAMED_RECORDS, {"names": names})
    )
    return {record.case.isic_id: record for record in found}


def all_records(connection: Connection) -> list[Record]:
    """Every case, in the order of their keys."""
    return [record_of_row(row) for row in connection.execute(RECORDS.order_by(CASES.c.key))]


def records_of_image(connection: Connection, sha256: str) -> list[Record]:
    """The cases of an image, by name; identical files may belong to several."""
    rows = connection.execute(RECORDS.where(IMAGES.c.sha256 == sha256).order_by(CASES.c.isic_id))
    return [record_of_row(row) for row in rows]


def current_encoder(connection: Connection) -> EncoderRecord | None:
    """The encoder whose codes are searched; None before the first `add`."""
    row = connection.execute(select(ENCODERS).where(ENCODERS.c.is_current)).one_or_none()
    return None if row is None else EncoderRecord(row.key, row.id, card_name(row.card))


@lru_cache(maxsize=16)  # a card is some kilobytes, and every question asks for the current name
def card_name(card: str) -> str:
    """What people call the encoder of this card."""
    return str(json.loads(card)["name"])


def version(connection: Connection) -> int:
    """The number of the last change; 0 before the first."""
    return connection.scalar(select(func.max(CHANGES.c.seq))) or 0


def changed_keys(connection: Connection, *, since: int) -> list[int]:
    """The keys of the cases that changed after a change."""
    changes = select(CHANGES.c.case_key).where(CHANGES.c.seq > since).distinct()
    return list(connection.scalars(changes.order_by(CHANGES.c.case_key)))


def kin(
    connection: Connection,
    *,
    isic_ids: Collection[str],
    lesion_id: str | None,
    patient_id: str | None,
) -> Exclusion:
    """Everything here that belongs to one person with what is known of a picture.

    Args:
        connection: the record.
        isic_ids: cases that show the same picture.
        lesion_id: the picture's lesion, where known.
        patient_id: its patient, where known.
    """
    own = records(connection, isic_ids).values()
    lesions = {each.case.lesion_id for each in own} | {lesion_id}
    patients = {each.case.patient_id for each in own} | {patient_id}
    # Asked of nothing, a database looks through every case.
    if known_lesions := lesions - {None}:
        patients |= set(
            connection.scalars(
                select(PATIENTS.c.patient_id)
                .select_from(_JOINED)
                .where(LESIONS.c.lesion_id.in_(known_lesions))
            )
        )
    if known_patients := patients - {None}:
        lesions |= set(
            connection.scalars(
                select(LESIONS.c.lesion_id)
                .select_from(_JOINED)
                .where(PATIENTS.c.patient_id.in_(known_patients))
            )
        )
    return Exclusion(
        isic_ids=frozenset(isic_ids),
        lesion_ids=frozenset(each for each in lesions if each is not None),
        patient_ids=frozenset(each for each in patients if each is not None),
    )


def chunks(items: Iterable[T], *, size: int) -> Iterator[list[T]]:
    """Part items into lists of at most `size`."""
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


RECORDS: Select[Any] = select(
    CASES.c.key, IMAGES.c.sha256, IMAGES.c.format, IMAGES.c.phash, CASES.c.extra, *FIELD_COLUMNS
).select_from(_JOINED.join(IMAGES))
"""All cases, as `record_of_row` reads them."""

# Made once: to build a statement takes longer than to run it.
_NAMED_RECORDS = RECORDS.where(CASES.c.isic_id.in_(bindparam("names", expanding=True)))


def record_of_row(row: Row[Any]) -> Record:
    """The record of a row of `RECORDS`."""
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name for a row's columns
    case = Case(**{name: values[name] for name in FIELDS}, extra=json.loads(row.extra))
    # The column is signed.
    phash = None if row.phash is None else row.phash % (1 << 64)
    return Record(row.key, case, row.sha256, row.format, phash)
