"""A table of codes and fields that grows cheaply and whose published rows never change.

Readers hold views of the first N rows. New rows are written behind them, into room kept in reserve,
and seen only by who takes a new view. Removing rows copies what stays, so that nothing of the
removed is kept in memory, not even its names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.gallery.entries import Entries
from dermtwin.gallery.filters import Value
from dermtwin.gallery.nearest import half_squares
from dermtwin.vocabulary import FIELDS

UNKNOWN = -1
_PLACE = {name: place for place, name in enumerate(FIELDS)}


class Labels:
    """The distinct values of one field, numbered as they came; only ever appended to."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._numbers: dict[Value, int] = {}

    def number(self, value: Value) -> int | None:
        """The number of a value, if it has one."""
        return self._numbers.get(value)

    def numbers(self, column: Sequence[Value | None]) -> list[int]:
        """The numbers of a column's values, new ones being given where needed."""
        return [UNKNOWN if value is None else self._number_of(value) for value in column]

    def kept(self, numbers: NDArray[np.int32]) -> tuple["Labels", NDArray[np.int32]]:
        """The labels that a column still uses, and the column in their numbers."""
        used = np.flatnonzero(np.bincount(numbers + 1, minlength=len(self.values) + 1)[1:])
        labels = Labels()
        translation = np.full(len(self.values) + 1, UNKNOWN, dtype=np.int32)
        translation[used] = labels.numbers([self.values[number] for number in used])
        return labels, translation[numbers]  # UNKNOWN, -1, reads the last place

    def _number_of(self, value: Value) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


@dataclass(frozen=True, slots=True)
class View:
    """N rows of the table, never to change.

    Attributes:
        keys: int64 [N].
        codes: float32 [N, D].
        halves: float32 [N], half the squared length of each code.
        fields: int32 [fields, N], label numbers in the order of `FIELDS`.
        labels: the labels of each field.
    """

    keys: NDArray[np.int64]
    codes: NDArray[np.float32]
    halves: NDArray[np.float32]
    fields: NDArray[np.int32]
    labels: tuple[Labels, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def column(self, name: str) -> tuple[NDArray[np.int32], Labels]:
        """One field's label numbers and labels."""
        place = _PLACE[name]
        return self.fields[place], self.labels[place]

    def first(self, count: int) -> "View":
        """The first `count` rows."""
        return View(
            self.keys[:count],
            self.codes[:count],
            self.halves[:count],
            self.fields[:, :count],
            self.labels,
        )


class Table:
    """The growing table; one writer at a time."""

    def __init__(self, dimension: int) -> None:
        self._count = 0
        self._room = _room(0, dimension=dimension, labels=tuple(Labels() for _ in FIELDS))

    @property
    def dimension(self) -> int:
        """How many numbers a code has."""
        return int(self._room.codes.shape[1])

    def view(self) -> View:
        """The rows as they are now."""
        return self._room.first(self._count)

    def append(self, entries: Entries) -> None:
        """Add rows; views taken before do not see them."""
        start, end = self._count, self._count + len(entries)
        if end > len(self._room):
            self._grow(end)
        self._room.keys[start:end] = entries.keys
        self._room.codes[start:end] = entries.codes
        self._room.halves[start:end] = half_squares(entries.codes)
        for place, name in enumerate(FIELDS):
            numbers = self._room.labels[place].numbers(entries.columns[name])
            self._room.fields[place, start:end] = numbers
        self._count = end

    def remove(self, keys: NDArray[np.int64]) -> None:
        """Drop the rows of these keys; views taken before still see them."""
        view = self.view()
        stays = ~np.isin(view.keys, keys)
        if stays.all():
            return
        columns = [
            labels.kept(numbers[stays])
            for labels, numbers in zip(view.labels, view.fields, strict=True)
        ]
        self._count = int(stays.sum())
        self._room = View(
            view.keys[stays],
            view.codes[stays],
            view.halves[stays],
            np.stack([numbers for _, numbers in columns]),
            tuple(labels for labels, _ in columns),
        )

    def _grow(self, needed: int) -> None:
        old = self.view()
        # Half as much again each time: the copying adds up to a constant a row.
        size = max(needed, len(self._room) * 3 // 2)
        room = _room(size, dimension=self.dimension, labels=old.labels)
        room.keys[: len(old)] = old.keys
        room.codes[: len(old)] = old.codes
        room.halves[: len(old)] = old.halves
        room.fields[:, : len(old)] = old.fields
        self._room = room


def _room(size: int, *, dimension: int, labels: tuple[Labels, ...]) -> View:
    return View(
        np.empty(size, np.int64),
        np.empty((size, dimension), np.float32),
        np.empty(size, np.float32),
        np.empty((len(FIELDS), size), np.int32),
        labels,
    )
