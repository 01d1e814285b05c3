"""Codes and fields of many cases, read as columns.

A million cases are read in seconds: the database packs the values of many cases into one, column by
column, so that no row of them ever becomes an object; it does so while those before are unpacked.
Names of lesions and patients are read once, not once a case.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal,
    select,
)

from dermtwin.casebook.records import MANY, VECTOR, EncoderRecord, chunks
from dermtwin.casebook.schema import CASES, CODES, LESIONS, PATIENTS, PLAIN_FIELDS
from dermtwin.errors import CasebookError
from dermtwin.gallery import Encoded, Entries

T = TypeVar("T")

_AT_ONCE = 2**14  # keys: some megabytes

_BITS = np.dtype(">u8")


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
    coded = select(func.count()).where(CODES.c.encoder_key == encoder.key)
    count = len(keys) if keys is not None else connection.scalar(coded) or 0
    read = _Read(np.empty((count, dimension), np.float32))
    packing = _packed_cases(connection.dialect.name)
    for packed in _packed(connection, packing, keys=keys, given={"encoder": encoder.key}):
        read.take(packed)
    return read.entries(connection, is_whole=keys is None)


class _Labels:
    """The values of one field, numbered as they came: [N]."""

    def __init__(self) -> None:
        self._numbers: dict[str | int | None, int] = {None: -1}
        self._parts: list[NDArray[np.int32]] = []

    def take(self, packed: str, *, count: int) -> None:
        first = packed[1:-1].split(",", 1)[0]
        if packed == f"[{','.join([first] * count)}]":  # one value for all, seen without unpacking
            self._parts.append(np.full(count, self._number(json.loads(first)), np.int32))
            return
        values = json.loads(packed)
        for value in set(values):
            self._number(value)
        numbers = map(self._numbers.__getitem__, values)
        self._parts.append(np.fromiter(numbers, np.int32, count))

    def column(self) -> Encoded:
        values = [value for value in self._numbers if value is not None]
        return Encoded(np.concatenate(self._parts), values)

    def _number(self, value: str | int | None) -> int:
        return self._numbers.setdefault(value, len(self._numbers) - 1)


@dataclass(slots=True)
class _Read:
    """What was read until now, in parts; of the codes, as they are the most, in their place."""

    codes: NDArray[np.float32]
    keys: list[NDArray[np.int64]] = field(default_factory=list)
    lesions: list[NDArray[np.int64]] = field(default_factory=list)
    patients: list[NDArray[np.int64]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    bits: list[NDArray[np.uint64] | None] = field(default_factory=list)
    labels: tuple[_Labels, ...] = field(
        default_factory=lambda: tuple(_Labels() for _ in PLAIN_FIELDS)
    )

    def take(self, packed: Sequence[Any]) -> None:
        """Take in a row of `_packed_cases`."""
        count, keys, names, lesions, patients, *rest = packed
        vectors, shortest, longest, bits, fewest, most, *labels = rest
        there = len(self.names)
        self.keys.append(_integers(keys))
        self.names += json.loads(names)
        self.lesions.append(_integers(lesions))
        self.patients.append(_integers(patients))
        dimension = self.codes.shape[1]
        if {shortest, longest} != {VECTOR.itemsize * dimension}:
            raise CasebookError(
                f"a code here has not the {dimension} numbers of the encoder; "
                "dermtwin check tells more."
            )
        codes = np.frombuffer(vectors, VECTOR).reshape(count, dimension)
        self.codes[there : there + count] = codes
        has_all = {fewest, most} == {_BITS.itemsize} and len(bits) == count * _BITS.itemsize
        self.bits.append(np.frombuffer(bits, _BITS).astype(np.uint64) if has_all else None)
        for each, column in zip(self.labels, labels, strict=True):
            each.take(column, count=count)

    def entries(self, connection: Connection, *, is_whole: bool) -> Entries:
        if not self.keys:
            return Entries.empty(self.codes.shape[1])
        columns: dict[str, Sequence[str | int | None]] = {"isic_id": self.names}
        for name, column, parts in (
            ("lesion_id", LESIONS.c.lesion_id, self.lesions),
            ("patient_id", PATIENTS.c.patient_id, self.patients),
        ):
            owners = np.concatenate(parts)
            columns[name] = _named(connection, column, owners, is_whole=is_whole)
        for name, labels in zip(PLAIN_FIELDS, self.labels, strict=True):
            columns[name] = labels.column()
        known = [part for part in self.bits if part is not None]
        return Entries(
            keys=np.concatenate(self.keys),
            codes=self.codes[: len(self.names)],
            columns=columns,
            # A case without bits, and there is no searching by them.
            bits=np.concatenate(known) if len(known) == len(self.bits) else None,
        )


@dataclass(frozen=True, slots=True)
class _Packing:
    """Statements whose one row has a number of rows first, and then their columns, packed.

    Attributes:
        key: the rows' key.
        of_keys: of the rows of some `keys`.
        of_range: of the rows from key `first` to `last`.
    """

    key: Column[int]
    of_keys: Select[*tuple[Any, ...]]
    of_range: Select[*tuple[Any, ...]]

    @classmethod
    def of(cls, key: Column[int], wanted: Select[*tuple[Any, ...]]) -> Self:
        """Of a statement for all rows."""
        return cls(
            key,
            wanted.where(key.in_(bindparam("keys", expanding=True))),
            wanted.where(key.between(bindparam("first"), bindparam("last"))),
        )


# Made once: to put such a statement together takes longer than to answer it for a few cases.


@lru_cache
def _packed_cases(dialect: str) -> _Packing:
    """Cases with their codes by an `encoder`; columns are as `_Read.take` unpacks them."""
    owners = (func.coalesce(key, 0) for key in (CASES.c.lesion_key, CASES.c.patient_key))
    columns = (CASES.c.key, CASES.c.isic_id, *owners)
    blobs = (
        packed
        for column in (CODES.c.vector, CODES.c.bits)
        for packed in (
            _joined(dialect, column, by=CASES.c.key),
            func.min(func.length(column)),
            func.max(func.length(column)),
        )
    )
    wanted = (
        select(
            func.count(),
            *(_array(dialect, column, by=CASES.c.key) for column in columns),
            *blobs,
            *(_array(dialect, CASES.c[name], by=CASES.c.key) for name in PLAIN_FIELDS),
        )
        .select_from(CASES.join(CODES))
        # The sum keeps SQLite from going by encoder, and so in no order.
        .where(CODES.c.encoder_key + 0 == bindparam("encoder"))
    )
    return _Packing.of(CASES.c.key, wanted)


@lru_cache
def _packed_names(dialect: str, column: Column[str]) -> _Packing:
    """The keys and names of lesions or patients."""
    key = column.table.c.key
    arrays = (_array(dialect, each, by=key) for each in (key, column))
    return _Packing.of(key, select(func.count(), *arrays))


# SQLite packs rows as it meets them, which is in the order of the keys that it is asked for.


def _array(dialect: str, column: ColumnElement[Any], *, by: Column[int]) -> ColumnElement[str]:
    """A column's values as one JSON text."""
    if dialect == "postgresql":
        return cast(func.json_agg(column).aggregate_order_by(by), Text)
    return func.json_group_array(column, type_=Text)


def _joined(dialect: str, column: Column[bytes], *, by: Column[int]) -> ColumnElement[bytes]:
    """A column's bytes one behind the other, those that are known."""
    if dialect == "postgresql":
        return func.string_agg(column, literal(b"")).aggregate_order_by(by)
    # SQLite takes bytes for text here, and leaves each as it is.
    return cast(func.group_concat(column, ""), LargeBinary)


def _packed(
    connection: Connection,
    packing: _Packing,
    *,
    keys: Sequence[int] | None,
    given: Mapping[str, int],
) -> Iterator[Sequence[Any]]:
    """What a packing gives, for all there are or for these keys, in parts."""
    rows: Iterable[Sequence[Any]]
    if keys is None:
        rows = _ahead(_ranges(connection, packing, given=given))
    else:
        rows = (
            connection.execute(packing.of_keys, {"keys": part, **given}).one()
            for part in chunks(sorted(keys), size=MANY)
        )
    return (row for row in rows if row[0])


def _ranges(
    connection: Connection, packing: _Packing, *, given: Mapping[str, int]
) -> Iterator[Sequence[Any]]:
    first = connection.scalar(select(func.min(packing.key)))
    if first is None:
        return
    last = connection.scalar(select(func.max(packing.key))) or 0
    for start in range(first, last + 1, _AT_ONCE):
        part = {**given, "first": start, "last": start + _AT_ONCE - 1}
        yield connection.execute(packing.of_range, part).one()


def _ahead(parts: Iterator[T]) -> Iterator[T]:
    """Each part, while a thread gets the next: a database works without Python's lock."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part


def _integers(packed: str) -> NDArray[np.int64]:
    return np.fromstring(packed[1:-1], np.int64, sep=",")


def _named(
    connection: Connection, column: Column[str], owners: NDArray[np.int64], *, is_whole: bool
) -> Encoded:
    """The names of lesions or patients for their keys, 0 being nobody's: [N]."""
    packing = _packed_names(connection.dialect.name, column)
    distinct = None if is_whole else np.unique(owners[owners > 0]).tolist()
    keys, names = [np.empty(0, np.int64)], []
    for _, some, theirs in _packed(connection, packing, keys=distinct, given={}):
        keys.append(_integers(some))
        names += json.loads(theirs)
    numbers = np.where(owners > 0, np.searchsorted(np.concatenate(keys), owners), -1)
    return Encoded(numbers.astype(np.int32), names)
