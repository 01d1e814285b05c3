"""Codes and fields of many cases, read as columns.

A million cases are read in seconds: rows come in batches past SQLAlchemy, the fields of few values
come as one JSON text for several of them, which is taken apart once for each that differs, and
names of lesions and patients are read once, not once a case.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, ColumnElement, Connection, Select, Text, cast, func, select

from dermtwin.casebook.records import MANY, VECTOR, EncoderRecord, chunks
from dermtwin.casebook.schema import CASES, CODES, LESIONS, PATIENTS, PLAIN_FIELDS
from dermtwin.errors import CasebookError
from dermtwin.gallery import Encoded, Entries

_ROWS = 4096  # at once: as many as stay in the processor's cache

# Fields that go together have few combinations, and each of these is taken apart once.
_TOGETHER = (
    ("diagnosis_1", "diagnosis_2", "diagnosis_3", "diagnosis_4", "diagnosis_5"),
    ("diagnosis_confirm_type", "age_approx", "sex", "anatom_site_general"),
    ("fitzpatrick_skin_type", "image_type", "attribution", "copyright_license"),
)
assert sorted(name for group in _TOGETHER for name in group) == sorted(PLAIN_FIELDS)


def entries(
    connection: Connection, *, encoder: EncoderRecord, dimension: int, keys: Sequence[int] | None
) -> Entries:
    """The codes and fields of cases by one encoder, in the order of their keys.

    Args:
        connection: the record.
        encoder: whose codes.
        dimension: how many numbers each has.
        keys: of which cases; None: of all. Those not there are passed over.

    Raises:
        CasebookError: a code has another length.
    """
    # The sum keeps SQLite from going by encoder, and then sorting a million rows by key.
    wanted = _statement(connection).where(CODES.c.encoder_key + 0 == encoder.key)
    read = _Read(dimension)
    if keys is None:
        read.take(_batches(connection, wanted))
    else:
        for part in chunks(sorted(keys), size=MANY):
            read.take(_batches(connection, wanted.where(CASES.c.key.in_(part))))
    return read.entries(connection, is_whole=keys is None)


class _Combinations:
    """Texts of several values each, numbered as they came: [N]."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._parts: list[NDArray[np.int32]] = []

    def take(self, texts: Sequence[str]) -> None:
        numbers = self._numbers
        for text in set(texts):
            numbers.setdefault(text, len(numbers))
        part = np.fromiter(map(numbers.__getitem__, texts), np.int32, len(texts))
        self._parts.append(part)

    def columns(self, names: Sequence[str]) -> dict[str, Encoded]:
        whole = np.concatenate(self._parts)
        rows = [json.loads(text) for text in self._numbers]
        columns = zip(*rows, strict=True)
        return {name: _encoded(column, whole) for name, column in zip(names, columns, strict=True)}


@dataclass(slots=True)
class _Read:
    """What was read until now, in parts."""

    dimension: int
    keys: list[NDArray[np.int64]] = field(default_factory=list)
    lesions: list[NDArray[np.int64]] = field(default_factory=list)
    patients: list[NDArray[np.int64]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    codes: list[NDArray[np.float32]] = field(default_factory=list)
    bits: list[NDArray[np.uint64] | None] = field(default_factory=list)
    together: tuple[_Combinations, ...] = field(
        default_factory=lambda: tuple(_Combinations() for _ in _TOGETHER)
    )

    def take(self, batches: Iterable[list[Any]]) -> None:
        for rows in batches:
            keys, names, lesions, patients, vectors, bits, *together = zip(*rows, strict=True)
            self.keys.append(np.array(keys, np.int64))
            self.names += names
            self.lesions.append(_owners(lesions))
            self.patients.append(_owners(patients))
            self.codes.append(_codes(vectors, dimension=self.dimension))
            self.bits.append(_bits(bits))
            for combinations, texts in zip(self.together, together, strict=True):
                combinations.take(texts)

    def entries(self, connection: Connection, *, is_whole: bool) -> Entries:
        if not self.keys:
            return Entries.empty(self.dimension)
        columns: dict[str, Sequence[str | int | None]] = {"isic_id": self.names}
        for name, column, parts in (
            ("lesion_id", LESIONS.c.lesion_id, self.lesions),
            ("patient_id", PATIENTS.c.patient_id, self.patients),
        ):
            owners = np.concatenate(parts)
            columns[name] = _named(connection, column, owners, is_whole=is_whole)
        for combinations, names in zip(self.together, _TOGETHER, strict=True):
            columns |= combinations.columns(names)
        known = [part for part in self.bits if part is not None]
        return Entries(
            keys=np.concatenate(self.keys),
            codes=np.concatenate(self.codes),
            columns=columns,
            # A case without bits, and there is no searching by them.
            bits=np.concatenate(known) if len(known) == len(self.bits) else None,
        )


def _statement(connection: Connection) -> Select[Any]:
    return (
        select(
            CASES.c.key,
            CASES.c.isic_id,
            CASES.c.lesion_key,
            CASES.c.patient_key,
            CODES.c.vector,
            CODES.c.bits,
            *(_as_json(connection, names) for names in _TOGETHER),
        )
        .select_from(CASES.join(CODES))
        .order_by(CASES.c.key)
    )


def _as_json(connection: Connection, names: Sequence[str]) -> ColumnElement[str]:
    columns = [CASES.c[name] for name in names]
    if connection.dialect.name == "postgresql":
        return cast(func.json_build_array(*columns), Text)
    return func.json_array(*columns, type_=Text)


def _batches(connection: Connection, wanted: Select[Any]) -> Iterator[list[Any]]:
    """The rows in lists, as the driver's own tuples: SQLAlchemy's take several times as long."""
    statement = wanted.compile(connection, compile_kwargs={"literal_binds": True})
    raw: Any = connection.connection.dbapi_connection
    # PostgreSQL sends everything at once unless a cursor on its side has a name.
    on_server = {"name": "cases"} if connection.dialect.name == "postgresql" else {}
    with closing(raw.cursor(**on_server)) as cursor:
        cursor.execute(str(statement))
        while rows := cursor.fetchmany(_ROWS):
            yield rows


def _owners(keys: Sequence[int | None]) -> NDArray[np.int64]:
    """Keys of lesions or patients; 0, which is nobody's, for none."""
    return np.array([key or 0 for key in keys], np.int64)


def _codes(vectors: Sequence[bytes], *, dimension: int) -> NDArray[np.float32]:
    if {*map(len, vectors)} != {VECTOR.itemsize * dimension}:
        raise CasebookError(
            f"a code here has not the {dimension} numbers of the encoder; "
            "dermtwin check tells more."
        )
    values = np.frombuffer(b"".join(vectors), dtype=VECTOR)
    return values.reshape(len(vectors), dimension).astype(np.float32, copy=False)


def _bits(packed: Sequence[bytes | None]) -> NDArray[np.uint64] | None:
    known = [each for each in packed if each is not None]
    if len(known) != len(packed) or {*map(len, known)} != {8}:
        return None
    return np.frombuffer(b"".join(known), dtype=">u8").astype(np.uint64)


def _named(
    connection: Connection, column: Column[str], owners: NDArray[np.int64], *, is_whole: bool
) -> Encoded:
    """The names of lesions or patients for their keys: [N]."""
    key = column.table.c.key
    wanted = select(key, column).order_by(key)
    if is_whole:
        statements = [wanted]
    else:
        distinct = np.unique(owners[owners > 0]).tolist()
        statements = [wanted.where(key.in_(part)) for part in chunks(distinct, size=MANY)]
    rows = [row for each in statements for batch in _batches(connection, each) for row in batch]
    keys = np.array([row[0] for row in rows], np.int64)
    numbers = np.where(owners > 0, np.searchsorted(keys, owners), -1)
    return Encoded(numbers.astype(np.int32), [row[1] for row in rows])


def _encoded(column: Sequence[str | int | None], numbers: NDArray[np.int32]) -> Encoded:
    """A column over combinations, read for each row through the number of its combination."""
    places: dict[str | int, int] = {}
    own = [-1 if value is None else places.setdefault(value, len(places)) for value in column]
    return Encoded(np.array(own, np.int32)[numbers], list(places))
