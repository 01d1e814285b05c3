"""A table of codes and fields in blocks that never change.

New rows come as a block of their own; small neighbours are joined, so that there are few. Removing
rows makes those blocks anew that hold them, so that nothing of the removed is kept in memory, not
even its names. Readers hold the blocks that were there when they came.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from dermtwin.gallery.entries import Column, Encoded, Entries, Value
from dermtwin.gallery.names import MOST, Mask, Names, narrowed
from dermtwin.gallery.nearest import half_squares
from dermtwin.vocabulary import FIELDS

Numbers = NDArray[np.unsignedinteger]
Rows = NDArray[np.intp]

UNKNOWN = 0
"""The number of an unknown value; a label's number is its place among the labels, plus one."""

NAMES = ("isic_id", "lesion_id", "patient_id")
"""Fields with about as many values as there are rows."""

LABELLED = tuple(name for name in FIELDS if name not in NAMES)
"""Fields of few values: each is kept once, and its number a row."""

_NAME_PLACE = {name: place for place, name in enumerate(NAMES)}
_LABEL_PLACE = {name: place for place, name in enumerate(LABELLED)}


class Labels:
    """The distinct values of one field, numbered as they came; None where one was forgotten.

    Only ever appended to: views share it.
    """

    def __init__(self, values: Sequence[Value | None] = ()) -> None:
        self.values: list[Value | None] = list(values)
        self._numbers = {
            value: number
            for number, value in enumerate(self.values, start=UNKNOWN + 1)
            if value is not None
        }

    def numbers(self, column: Column) -> Numbers:
        """The numbers of a column's values, new ones being given where needed: [N]."""
        if isinstance(column, Encoded):
            of_value = np.array([*map(self._number_of, column.values), UNKNOWN], np.uint32)
            numbers: NDArray[np.uint32] = of_value[column.numbers]
            return numbers
        for value in dict.fromkeys(column):
            if value is not None:
                self._number_of(value)
        known = self._numbers | {None: UNKNOWN}
        return np.fromiter(map(known.__getitem__, column), np.uint32, len(column))

    def without(self, numbers: set[int]) -> "Labels":
        """A copy that has forgotten the values of these numbers."""
        return Labels(
            [
                None if number in numbers else value
                for number, value in enumerate(self.values, start=UNKNOWN + 1)
            ]
        )

    def _number_of(self, value: Value) -> int:
        number = self._numbers.get(value)
        if number is None:
            self.values.append(value)
            number = self._numbers[value] = UNKNOWN + len(self.values)
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """N rows, at most `MOST`.

    Attributes:
        keys: integer [N], in as few bytes as hold them.
        codes: float32 [N, D].
        halves: float32 [N], half the squared length of each code.
        longest: no half is larger.
        bits: uint64 [N]; None: some have none.
        names: of each of `NAMES`.
        numbers: of each of `LABELLED` [N], in as few bytes as hold them.
    """

    keys: NDArray[np.integer]
    codes: NDArray[np.float32]
    halves: NDArray[np.float32]
    longest: float
    bits: NDArray[np.uint64] | None
    names: tuple[Names, ...]
    numbers: tuple[Numbers, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, field: str) -> Names:
        """The names of one of `NAMES`."""
        return self.names[_NAME_PLACE[field]]

    def number(self, field: str) -> Numbers:
        """The label numbers of one of `LABELLED`."""
        return self.numbers[_LABEL_PLACE[field]]

    def taken(self, stays: Mask) -> "Block":
        """The rows that stay."""
        return Block(
            keys=self.keys[stays],
            codes=self.codes[stays],
            halves=self.halves[stays],
            longest=self.longest,
            bits=None if self.bits is None else self.bits[stays],
            names=tuple(names.taken(stays) for names in self.names),
            numbers=tuple(numbers[stays] for numbers in self.numbers),
        )

    def joined(self, other: "Block") -> "Block":
        """These rows and then those of another."""
        have_bits = self.bits is not None and other.bits is not None
        return Block(
            keys=np.concatenate([self.keys, other.keys]),
            codes=np.concatenate([self.codes, other.codes]),
            halves=np.concatenate([self.halves, other.halves]),
            longest=max(self.longest, other.longest),
            bits=np.concatenate([self.bits, other.bits]) if have_bits else None,
            names=tuple(a.joined(b) for a, b in zip(self.names, other.names, strict=True)),
            numbers=tuple(
                np.concatenate([a, b]) for a, b in zip(self.numbers, other.numbers, strict=True)
            ),
        )


@dataclass(frozen=True, slots=True)
class View:
    """The table's rows at one moment, never to change.

    Attributes:
        dimension: how many numbers a code has.
        blocks: the rows, numbered through.
        labels: of each of `LABELLED`.
    """

    dimension: int
    blocks: tuple[Block, ...]
    labels: tuple[Labels, ...]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def label(self, field: str) -> Labels:
        """The labels of one of `LABELLED`."""
        return self.labels[_LABEL_PLACE[field]]

    def starts(self) -> list[int]:
        """The number of each block's first row; behind them, how many rows there are."""
        return [0, *accumulate(map(len, self.blocks))]

    def split(self, rows: Rows) -> Iterator[tuple[Block, Rows]]:
        """Ascending rows, parted by the blocks that they lie in: their places there."""
        starts = self.starts()
        bounds = rows.searchsorted(starts).tolist()
        for block, start, (low, high) in zip(
            self.blocks, starts[:-1], pairwise(bounds), strict=True
        ):
            if low < high:
                yield block, rows[low:high] - start


class Table:
    """The growing table; one writer at a time."""

    def __init__(self, dimension: int) -> None:
        self._view = View(dimension, (), tuple(Labels() for _ in LABELLED))

    @property
    def dimension(self) -> int:
        """How many numbers a code has."""
        return self._view.dimension

    def view(self) -> View:
        """The rows as they are now."""
        return self._view

    def append(self, entries: Entries) -> None:
        """Add rows; views taken before do not see them."""
        view = self._view
        blocks = list(view.blocks)
        for start in range(0, len(entries), MOST):
            _push(blocks, _block(entries, view.labels, slice(start, start + MOST)))
        self._view = View(view.dimension, tuple(blocks), view.labels)

    def remove(self, keys: NDArray[np.int64]) -> None:
        """Drop the rows of these keys; views taken before still see them."""
        if not self._view.blocks:
            return
        keys = np.unique(keys)
        blocks: list[Block] = []
        gone: list[Block] = []
        for block in self._view.blocks:
            going = _among(block.keys, keys)
            if going is None:
                blocks.append(block)
                continue
            gone.append(block.taken(going))
            if not going.all():
                _push(blocks, block.taken(~going))
        if gone:
            labels = self._labels_left(blocks, gone=gone)
            self._view = View(self.dimension, tuple(blocks), labels)

    def _labels_left(self, blocks: Sequence[Block], *, gone: Sequence[Block]) -> tuple[Labels, ...]:
        """The labels without those that only the rows that are gone used."""
        left = []
        for place, labels in enumerate(self._view.labels):
            theirs = {int(each) for block in gone for each in np.unique(block.numbers[place])}
            unused = {
                number
                for number in theirs - {UNKNOWN}
                if not any((block.numbers[place] == number).any() for block in blocks)
            }
            left.append(labels.without(unused) if unused else labels)
        return tuple(left)


def _among(numbers: NDArray[np.integer], wanted: NDArray[np.int64]) -> Mask | None:
    """Which of the numbers are among the wanted, ascending ones; None: not one."""
    low, high = wanted.searchsorted([int(numbers.min()), int(numbers.max()) + 1])
    if low == high:
        return None
    mask = np.isin(numbers, wanted[low:high])
    return mask if mask.any() else None


def _push(blocks: list[Block], block: Block) -> None:
    """Add a block behind the others, joined with small ones before it.

    Each join at least makes half as much again of what is copied, so a row is copied few times.
    """
    small = []
    size = len(block)
    while blocks and len(blocks[-1]) < 2 * size and len(blocks[-1]) + size <= MOST:
        size += len(blocks[-1])
        small.append(blocks.pop())
    blocks.append(reduce(Block.joined, (*reversed(small), block)))


def _block(entries: Entries, labels: Sequence[Labels], part: slice) -> Block:
    """A block of some of the entries; their new values are added to the labels."""
    # Copies: a block must not keep what came with it in memory once that is forgotten.
    codes = entries.codes[part].copy()
    halves = half_squares(codes)
    return Block(
        keys=narrowed(entries.keys[part]) if entries.keys.min() >= 0 else entries.keys[part].copy(),
        codes=codes,
        halves=halves,
        longest=float(halves.max()),
        bits=None if entries.bits is None else np.array(entries.bits[part], np.uint64, order="C"),
        names=tuple(Names.of(entries.columns[name][part]) for name in NAMES),  # type: ignore[arg-type]
        numbers=tuple(
            narrowed(each.numbers(_cut(entries.columns[name], part)))
            for name, each in zip(LABELLED, labels, strict=True)
        ),
    )


def _cut(column: Column, part: slice) -> Column:
    if isinstance(column, Encoded):
        return Encoded(column.numbers[part], column.values)
    return column[part]
