"""The two ways to say how near a code is: by its floats, by its bits."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dermtwin.gallery.nearest import (
    Distances,
    Pool,
    Rows,
    Values,
    exact_distances,
    slack_of,
    square,
)
from dermtwin.gallery.popcount import Loop, nearest_bits
from dermtwin.gallery.selection import Exclusion, Part
from dermtwin.gallery.table import View

_BITS = 64
# Rows from which on another thread saves more than it costs, by floats.
_SHARED = 2**16
# Blocks that a compiled loop goes through in one call.
_TOGETHER = 2**5
# OpenBLAS takes another thread from 2304 * GEMM_MULTITHREAD_THRESHOLD numbers of a matrix on when
# it meets a vector, from 65536 times as many products on when it meets a matrix.
_ONE_THREAD = 2**13


@dataclass(frozen=True, slots=True)
class Scanned:
    """How near some rows are to a query.

    Attributes:
        place: of the query.
        first: what is added to `rows` for their numbers.
        rows: of the values, ascending; None: one after the other, from `first` on.
        values: [M], until the next are asked for; above the measure's `most` for rows that take no
            part.
        taking: how many rows took part where these are from, written down or not.
    """

    place: int
    first: int
    rows: Rows | None
    values: Values
    taking: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows in the order of (Hamming distance,) distance; ties by name are not decided yet.

    Attributes:
        rows: [M].
        hamming: uint8 [M]; all 0 where floats alone decide.
        distances: [M].
        eligible: how many rows they were chosen from.
    """

    rows: Rows
    hamming: NDArray[np.uint8]
    distances: Distances
    eligible: int

    @property
    def is_all(self) -> bool:
        """Whether nothing was left out; else these are all up to the last one's, with its ties."""
        return len(self.rows) == self.eligible


class Euclidean:
    """By the distance of float codes."""

    most = 1e37  # above what `slack_of` lets the scan see
    blocked = 2e38  # what is added to values that take no part

    def __init__(self, view: View, codes: NDArray[np.float32]) -> None:
        """Take queries [Q, D]."""
        longest = max((block.longest for block in view.blocks), default=0.0)
        self._view = view
        self._codes = codes
        self._slacks = [slack_of(query, longest=longest) for query in codes]

    def only(self, places: list[int]) -> "Euclidean":
        """The same of some of the queries."""
        return Euclidean(self._view, self._codes[places])

    def pools(self, wanted: int) -> list[Pool]:
        """A pool for each query."""
        return [Pool(wanted, slack=slack, most=self.most) for slack in self._slacks]

    def pieces(self, parts: Sequence[Part]) -> int:
        """Among how many threads the parts may be shared with a gain."""
        return len(parts) if sum(part.count for part in parts) >= _SHARED else 1

    def scan(
        self, parts: Iterable[Part], *, wanted: int, exclude: Sequence[Exclusion]
    ) -> Iterator[Scanned]:
        """For each part and query |x|²/2 - x·q of what is read of the block; see `nearest`."""
        del wanted  # a product of matrices gives them all
        for part in parts:
            codes, halves = part.taken(part.block.codes), part.taken(part.block.halves)
            with np.errstate(over="ignore", invalid="ignore"):
                scanned = _scanned(codes, halves, queries=self._codes)
            for place, values in enumerate(scanned):
                if not np.isfinite(self._slacks[place]):
                    values[:] = 0  # of no use; everything is measured precisely
                yield _blocked(part, exclude[place], place, values, by=self.blocked)

    def ranked(self, place: int, pool: Pool) -> Ranked:
        """Measure precisely what a query's pool holds."""
        rows, _ = pool.taken()
        query = self._codes[place]
        distances = _measured(self._view, rows, query=query)
        if len(rows) < pool.eligible:
            halves = (distances.astype(np.float64) ** 2 - square(query)) / 2
            certain = halves <= pool.bound + self._slacks[place]
            rows, distances = rows[certain], distances[certain]
        return _ordered(rows, np.zeros(len(rows), np.uint8), distances, eligible=pool.eligible)


class Hamming:
    """By the Hamming distance of 64 bits, then by the distance of float codes."""

    most = _BITS
    blocked = 128

    def __init__(
        self,
        view: View,
        bits: NDArray[np.uint64],
        *,
        codes: NDArray[np.float32],
        loop: Loop | None,
    ) -> None:
        """Take queries: bits [Q], codes [Q, D]; a loop where blocks take part whole."""
        self._view = view
        self._bits = bits
        self._codes = codes
        self._loop = loop

    def only(self, places: list[int]) -> "Hamming":
        """The same of some of the queries."""
        codes = self._codes[places]
        return Hamming(self._view, self._bits[places], codes=codes, loop=self._loop)

    def pools(self, wanted: int) -> list[Pool]:
        """A pool for each query."""
        return [Pool(wanted, slack=0, most=self.most) for _ in self._bits]

    def pieces(self, parts: Sequence[Part]) -> int:
        """Among how many threads the parts may be shared with a gain."""
        # numpy's steps on bits are so short that threads mostly wait for each other's Python.
        return 1 if self._loop is None else -(-len(parts) // _TOGETHER)

    def scan(
        self, parts: Iterable[Part], *, wanted: int, exclude: Sequence[Exclusion]
    ) -> Iterator[Scanned]:
        """For each part and query the Hamming distances of what is read of the block."""
        if self._loop is not None:
            return self._compiled_scan(parts, self._loop, wanted=wanted, exclude=exclude)
        return self._plain_scan(parts, exclude)

    def _compiled_scan(
        self, parts: Iterable[Part], loop: Loop, *, wanted: int, exclude: Sequence[Exclusion]
    ) -> Iterator[Scanned]:
        remaining = iter(parts)
        while run := list(islice(remaining, _TOGETHER)):
            bits = [cast("NDArray[np.uint64]", part.block.bits) for part in run]
            firsts = [part.first for part in run]
            for place, query in enumerate(self._bits):
                own = _own(run, exclude[place])
                # Its own may be the nearest of all: so many more are wanted.
                rows, values = nearest_bits(
                    loop, bits, firsts, query=query, wanted=wanted + len(own)
                )
                if len(own):
                    values[np.isin(rows, own, assume_unique=True)] = self.blocked
                taking = sum(part.count for part in run) - len(own)
                yield Scanned(place, 0, rows, values, taking)

    def _plain_scan(self, parts: Iterable[Part], exclude: Sequence[Exclusion]) -> Iterator[Scanned]:
        # Made once: they stay in the cache from block to block.
        most = max(map(len, self._view.blocks), default=0)
        differing, counts = np.empty(most, np.uint64), np.empty(most, np.uint8)
        for part in parts:
            assert part.block.bits is not None  # the snapshot has looked
            bits = part.taken(part.block.bits)
            for place, query in enumerate(self._bits):
                np.bitwise_xor(bits, query, out=differing[: len(bits)])
                values = np.bitwise_count(differing[: len(bits)], out=counts[: len(bits)])
                yield _blocked(part, exclude[place], place, values, by=self.blocked)

    def ranked(self, place: int, pool: Pool) -> Ranked:
        """Measure the floats of what a query's pool holds."""
        rows, values = pool.taken()
        distances = _measured(self._view, rows, query=self._codes[place])
        return _ordered(rows, values.astype(np.uint8), distances, eligible=pool.eligible)


Measure = Euclidean | Hamming


def _own(run: Sequence[Part], own: Exclusion) -> Rows:
    """The numbers of the query's own rows in some parts."""
    if not own:
        return np.empty(0, np.intp)
    return np.concatenate([part.own(own) + part.first for part in run])


def _blocked(part: Part, own: Exclusion, place: int, values: Values, *, by: float) -> Scanned:
    """Let what does not pass and the query's own take no part."""
    rows, mine = part.gathered, part.own(own)
    if rows is None and part.passing is not None:
        # An addition is ten times as fast as an assignment under a mask.
        values += ~part.passing * values.dtype.type(by)
    if len(mine):
        values[mine if rows is None else rows.searchsorted(mine)] = by
    return Scanned(place, part.first, rows, values, part.count - len(mine))


def _scanned(
    codes: NDArray[np.float32], halves: NDArray[np.float32], *, queries: NDArray[np.float32]
) -> NDArray[np.float32]:
    """|x|²/2 - x·q of codes [N, D] and queries [Q, D], on this thread alone: float32 [Q, N].

    Blocks are spread over threads already, and who waits for OpenBLAS's own waits long on a busy
    machine: so one call of numpy takes many small products, for each of which it starts no thread.
    """
    columns = np.ascontiguousarray(queries.T)
    values = np.empty((len(queries), len(codes)), np.float32)
    step = max(1, _ONE_THREAD // codes.shape[1])
    whole = len(codes) - len(codes) % step
    products = (codes[:whole].reshape(-1, step, codes.shape[1]) @ columns).reshape(-1, len(queries))
    np.subtract(halves[:whole], products.T, out=values[:, :whole])
    np.subtract(halves[whole:], (codes[whole:] @ columns).T, out=values[:, whole:])
    return values


def _measured(view: View, rows: Rows, *, query: NDArray[np.float32]) -> Distances:
    """Exact distances of ascending rows: float32 [M]."""
    codes = [block.codes[own] for block, own in view.split(rows)]
    return exact_distances(np.concatenate(codes), query) if codes else np.empty(0, np.float32)


def _ordered(
    rows: Rows, hamming: NDArray[np.uint8], distances: Distances, *, eligible: int
) -> Ranked:
    order = np.lexsort((distances, hamming))
    return Ranked(rows[order], hamming[order], distances[order], eligible)
