"""Exact nearest codes: a fast scan proposes, a precise second look decides.

The scan works in float32, where |x - q|² / 2 - |q|² / 2 = |x|² / 2 - x·q takes one product with the
codes of a block, which stay in the cache while they are compared with the best so far. Its rounding
errors are bounded, so that every code that could belong to the answer is among the proposed. Those
are measured again in float64, dimension after dimension, and the distance is rounded to float32:
the same figures, ties and order on every machine.

Bound: u·D·|x||q| for a product of D terms in any order, with u = 2^-24 (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd edition, section 3.1); the few roundings around it are in the
constant.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float32]
Rows = NDArray[np.intp]
Values = NDArray[Any]  # float32, or uint8 for Hamming distances

_UNIT = 2.0**-24
_TINIEST = 1e-37  # below it float32 products vanish
_GROUP = 256
_CHUNK = 8192


class Pool:
    """The rows of the least values so far, all that may be among the `wanted` least.

    Values may be wrong by `slack`; so rows up to twice that above the bound are kept.

    Attributes:
        bound: the `wanted`th least value does not exceed it.
        eligible: how many rows took part.
    """

    def __init__(self, wanted: int, *, slack: float, most: float) -> None:
        """Start without rows.

        Args:
            wanted: how many are to be found at least, with all that ties with the last of them.
            slack: the most that a value may be wrong by.
            most: the largest value that takes part.
        """
        self.bound = float("inf")
        self.eligible = 0
        self._wanted = wanted
        self._slack = slack
        self._most = most
        self._rows: list[Rows] = []
        self._values: list[Values] = []
        self._held = 0
        self._room = 4 * wanted + _GROUP

    def offer(self, values: Values, *, first: int, rows: Rows | None, eligible: int) -> None:
        """Take what may be among the least.

        Args:
            values: [N].
            first: the number of the block's first row.
            rows: the places in the block that the values belong to; None: all, in their order.
            eligible: how many of the values take part; the others are above `most`.
        """
        self.eligible += eligible
        if self.bound > self._most and len(values) >= self._wanted:
            self.bound = float(_upper_bound(values, self._wanted))
        near = (values <= self._limit(values)).nonzero()[0]
        if len(near):
            self._rows.append(first + (near if rows is None else rows[near]))
            self._values.append(values[near])
            self._held += len(near)
        if self._held > self._room:
            self._tighten()

    def join(self, other: "Pool") -> None:
        """Take what another pool holds of other rows."""
        rows, values = other.taken()
        self._rows.append(rows)
        self._values.append(values)
        self._held += len(rows)
        self.eligible += other.eligible

    def taken(self) -> tuple[Rows, Values]:
        """The rows that are left, ascending, and their values."""
        if not self._rows:
            return np.empty(0, np.intp), np.empty(0, np.float32)
        if self._held >= self._wanted:
            self._tighten()
        rows, values = np.concatenate(self._rows), np.concatenate(self._values)
        order = rows.argsort(kind="stable")  # the fastest for runs that ascend already
        return rows[order], values[order]

    def _limit(self, values: Values) -> Any:  # noqa: ANN401 - a number of the values' type
        return values.dtype.type(min(self.bound + 2 * self._slack, self._most))

    def _tighten(self) -> None:
        rows, values = np.concatenate(self._rows), np.concatenate(self._values)
        self.bound = float(np.partition(values, self._wanted - 1)[self._wanted - 1])
        stays = values <= self._limit(values)
        self._rows, self._values = [rows[stays]], [values[stays]]
        self._held = int(stays.sum())
        # Where many tie with the last one, they are not gone through again at each offer.
        self._room = 2 * self._held + 4 * self._wanted


def half_squares(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the squared length of each code: float32 [N]."""
    with np.errstate(over="ignore"):
        squares = np.einsum("nd,nd->n", codes, codes, dtype=np.float64)
        halves: NDArray[np.float32] = (squares / 2).astype(np.float32)
    return halves


def exact_distances(codes: NDArray[np.float32], query: NDArray[np.float32]) -> Distances:
    """Euclidean distances of codes [N, D] to one query [D]: float32 [N].

    Differences, squares and their sum, from the first dimension to the last, are float64; the root
    is rounded to float32.
    """
    distances = np.empty(len(codes), np.float32)
    wide = query.astype(np.float64)
    for start in range(0, len(codes), _CHUNK):
        part = slice(start, start + _CHUNK)
        squares = (codes[part].astype(np.float64) - wide) ** 2
        # `accumulate` adds one after the other; `sum` would add in an order of its own.
        total = np.add.accumulate(squares, axis=1)[:, -1]
        with np.errstate(over="ignore"):
            distances[part] = np.sqrt(total)
    return distances


def slack_of(query: NDArray[np.float32], *, longest: float) -> float:
    """The most that an approximate value of the scan may be wrong by.

    Args:
        query: [D].
        longest: the largest of the codes' `half_squares`.
    """
    dimension = len(query)
    scale = 2 * longest + square(query)
    if scale > 1e30:
        return float("inf")  # float32 would overflow: everything is measured precisely instead
    return 2 * _UNIT * (dimension + 8) * scale + dimension * _TINIEST


def square(query: NDArray[np.float32]) -> float:
    """The squared length of a query [D]."""
    wide = query.astype(np.float64)
    return float(wide @ wide)


def _upper_bound(values: Values, wanted: int) -> np.generic:
    """A value that at least `wanted` of the values do not exceed, close above the least such.

    The minima of groups are values too, and far fewer: enough of them below a bound prove it.
    """
    groups = len(values) // _GROUP
    if groups > 4 * wanted:
        values = values[: groups * _GROUP].reshape(_GROUP, groups).min(axis=0)
    bound: np.generic = np.partition(values, wanted - 1)[wanted - 1]
    return bound
