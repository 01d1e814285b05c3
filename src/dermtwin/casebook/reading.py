"""Codes and fields of many cases, read as columns.

A million cases are read in seconds: the database packs the values of many cases into one, column by
column, so that no row of them ever becomes an object; it does so while those before are unpacked,
and taken in by who asked. Names of lesions and patients are read once, not once a case.
"""

import json
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
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

_AT_ONCE = 2**16  # keys: some 20 megabytes, and a block of a gallery

_BITS = np.dtype(">u8")

_OWNERS = (LESIONS.c.lesion_id, PATIENTS.c.patient_id)


def entries(
    connection: Connection, *, encoder: EncoderRecord, dimension: int, keys: Collection[int]
) -> Entries:
    """The codes and fields of some cases by one encoder, in the order of their keys.

    Args:
        connection: the record.
        encoder: whose codes.
        dimension: how many numbers each has.
        keys: of which cases; those not there are passed over.

    Raises:
        CasebookError: a code has another length.
    """
    packing, given = _packed_cases(connection.dialect.name), _given(encoder, dimension)
    read = _Read(dimension)
    for packed in _of_keys(connection, packing, keys, given=given):
        read.take(packed)
    owners = (_owners_of(connection, each, read.owners(each)) for each in _OWNERS)
    return read.entries(tuple(owners))


def all_entries(
    connection: Connection, *, encoder: EncoderRecord, dimension: int
) -> Generator[Entries, None, None]:
    """The codes and fields of all cases by one encoder, in the order of their keys, in parts.

    While a part is looked at, the next is on its way by this connection, which so must not be used
    for anything else until all have come or the iterator is closed.

    Args:
        connection: the record.
        encoder: whose codes.
        dimension: how many numbers each has.

    Raises:
        CasebookError: a code has another length.
    """
    dialect = connection.dialect.name
    packings = (*(_packed_names(dialect, each) for each in _OWNERS), _packed_cases(dialect))
    packed = (
        (place, row)
        for place, packing in enumerate(packings)
        for row in _ranges(connection, packing, given=_given(encoder, dimension))
    )
    owners = (_Owners(), _Owners())
    with closing(_ahead(packed)) as coming:
        for place, row in coming:
            if place < len(owners):
                owners[place].take(row)
                continue
            read = _Read(dimension)
            read.take(row)
            yield read.entries(owners)


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


class _Owners:
    """Names of lesions or patients by their keys."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.int64]] = []
        self._names: list[str] = []
        self._keys: NDArray[np.int64] | None = None

    def take(self, packed: Sequence[Any]) -> None:
        """Take in a row of `_packed_names`; keys ascend."""
        _, keys, names = packed
        self._parts.append(_integers(keys))
        self._names += json.loads(names)

    def column(self, owners: NDArray[np.int64]) -> Encoded:
        """The names for keys, 0 being nobody's: [N]; all names have been taken in."""
        if self._keys is None:
            self._keys = np.concatenate([np.empty(0, np.int64), *self._parts])
        numbers = np.where(owners > 0, np.searchsorted(self._keys, owners), -1)
        return Encoded(numbers.astype(np.int32), self._names)


class _Read:
    """What was read until now, in parts."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._codes: list[NDArray[np.float32]] = []
        self._keys: list[NDArray[np.int64]] = []
        self._owners: dict[Column[str], list[NDArray[np.int64]]] = {each: [] for each in _OWNERS}
        self._names: list[str] = []
        self._bits: list[NDArray[np.uint64] | None] = []
        self._labels = tuple(_Labels() for _ in PLAIN_FIELDS)

    def take(self, packed: Sequence[Any]) -> None:
        """Take in a row of `_packed_cases`."""
        count, keys, names, *rest = packed
        lesions, patients, vectors, whole, bits, with_bits, *labels = rest
        self._keys.append(_integers(keys))
        self._names += json.loads(names)
        for parts, owners in zip(self._owners.values(), (lesions, patients), strict=True):
            parts.append(_integers(owners))
        if whole < count:
            raise CasebookError(
                f"a code here has not the {self._dimension} numbers of the encoder; "
                "dermtwin check tells more."
            )
        codes = np.frombuffer(vectors, VECTOR).reshape(count, self._dimension)
        self._codes.append(codes.astype(np.float32, copy=False))
        has_all = with_bits == count and len(bits) == count * _BITS.itemsize
        self._bits.append(np.frombuffer(bits, _BITS).astype(np.uint64) if has_all else None)
        for each, column in zip(self._labels, labels, strict=True):
            each.take(column, count=count)

    def owners(self, column: Column[str]) -> NDArray[np.int64]:
        """The keys of each case's lesion or patient; 0: nobody's."""
        return np.concatenate([np.empty(0, np.int64), *self._owners[column]])

    def entries(self, owners: Sequence[_Owners]) -> Entries:
        """All of it, with the names of the owners."""
        if not self._keys:
            return Entries.empty(self._dimension)
        columns: dict[str, Sequence[str | int | None]] = {"isic_id": self._names}
        for column, theirs in zip(_OWNERS, owners, strict=True):
            columns[column.name] = theirs.column(self.owners(column))
        for name, labels in zip(PLAIN_FIELDS, self._labels, strict=True):
            columns[name] = labels.column()
        known = [part for part in self._bits if part is not None]
        return Entries(
            keys=np.concatenate(self._keys),
            codes=np.concatenate(self._codes),
            columns=columns,
            # A case without bits, and there is no searching by them.
            bits=np.concatenate(known) if len(known) == len(self._bits) else None,
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
    """Cases with their codes by an `encoder`, of `bytes` each, as `_Read.take` unpacks them."""
    owners = (func.coalesce(key, 0) for key in (CASES.c.lesion_key, CASES.c.patient_key))
    columns = (CASES.c.key, CASES.c.isic_id, *owners)
    blobs = (
        packed
        for column, size in ((CODES.c.vector, bindparam("bytes")), (CODES.c.bits, _BITS.itemsize))
        for packed in (
            _joined(dialect, column, by=CASES.c.key),
            func.count().filter(func.length(column) == size),
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


def _given(encoder: EncoderRecord, dimension: int) -> dict[str, int]:
    return {"encoder": encoder.key, "bytes": VECTOR.itemsize * dimension}


def _joined(dialect: str, column: Column[bytes], *, by: Column[int]) -> ColumnElement[bytes]:
    """A column's bytes one behind the other, those that are known."""
    if dialect == "postgresql":
        return func.string_agg(column, literal(b"")).aggregate_order_by(by)
    # SQLite takes bytes for text here, and leaves each as it is.
    return cast(func.group_concat(column, ""), LargeBinary)


def _of_keys(
    connection: Connection,
    packing: _Packing,
    keys: Collection[int],
    *,
    given: Mapping[str, int],
) -> Iterator[Sequence[Any]]:
    """What a packing gives for these keys, in parts and in their order."""
    for part in chunks(sorted(keys), size=MANY):
        row = connection.execute(packing.of_keys, {"keys": part, **given}).one()
        if row[0]:
            yield row


def _ranges(
    connection: Connection, packing: _Packing, *, given: Mapping[str, int]
) -> Iterator[Sequence[Any]]:
    """What a packing gives for all keys there are, in parts and in their order."""
    first = connection.scalar(select(func.min(packing.key)))
    if first is None:
        return
    last = connection.scalar(select(func.max(packing.key))) or 0
    for start in range(first, last + 1, _AT_ONCE):
        part = {**given, "first": start, "last": start + _AT_ONCE - 1}
        row = connection.execute(packing.of_range, part).one()
        if row[0]:
            yield row


def _ahead(parts: Iterator[T]) -> Generator[T, None, None]:
    """Each part, while a thread gets the next: a database works without Python's lock."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part


def _integers(packed: str) -> NDArray[np.int64]:
    return np.fromstring(packed[1:-1], np.int64, sep=",")


def _owners_of(connection: Connection, column: Column[str], owners: NDArray[np.int64]) -> _Owners:
    """The names of those lesions or patients that are among the owners."""
    packing = _packed_names(connection.dialect.name, column)
    found = _Owners()
    distinct = np.unique(owners[owners > 0]).tolist()
    for packed in _of_keys(connection, packing, distinct, given={}):
        found.take(packed)
    return found
