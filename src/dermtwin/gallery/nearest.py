"""Exact nearest codes: a fast scan proposes, a precise second look decides.

The scan works in float32, where |x - q|² / 2 - |q|² / 2 = |x|² / 2 - x·q takes one product with the
whole matrix. Its rounding errors are bounded, so that every code that could belong to the answer is
among the proposed. Those are measured again in float64, dimension after dimension, and the distance
is rounded to float32: the same figures, ties and order on every machine.

Bound: u·D·|x||q| for a product of D terms in any order, with u = 2^-24 (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd edition, section 3.1); the few roundings around it are in the
constant.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float32]
Rows = NDArray[np.intp]

_UNIT = 2.0**-24
_TINIEST = 1e-37  # below it float32 products vanish
_BLOCK = 256
_CHUNK = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One query against N codes, scanned in float32.

    Attributes:
        query: [D].
        codes: [N, D].
        approximate: [N], |x|²/2 - x·q, infinite where blocked.
        slack: how far an approximate value may lie from the true one; see `slack_of`.
        blocked: [N], codes that do not take part; None: all do.
    """

    query: NDArray[np.float32]
    codes: NDArray[np.float32]
    approximate: NDArray[np.float32]
    slack: float
    blocked: NDArray[np.bool_] | None

    @property
    def taking_part(self) -> int:
        """How many codes are not blocked."""
        return len(self.codes) - (0 if self.blocked is None else int(self.blocked.sum()))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Codes by distance: row numbers and distances, ascending by distance only.

    Attributes:
        is_all: whether nothing was left out; else these are all up to the last distance, ties
            included.
    """

    rows: Rows
    distances: Distances
    is_all: bool


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


def rank(scan: Scan, *, wanted: int) -> Ranked:
    """Rank at least the `wanted` nearest codes, with everything that ties with the last of them."""
    if wanted >= scan.taking_part or not np.isfinite(scan.slack):
        rows = _all_rows(scan)
        distances = exact_distances(scan.codes[rows], scan.query)
        return _ordered(rows, distances, is_all=True)
    bound = float(_upper_bound(scan.approximate, wanted))
    rows = np.flatnonzero(scan.approximate <= np.float32(bound + 2 * scan.slack))
    distances = exact_distances(scan.codes[rows], scan.query)
    halves = (distances.astype(np.float64) ** 2 - _square(scan.query)) / 2
    certain = halves <= bound + scan.slack
    return _ordered(rows[certain], distances[certain], is_all=False)


def _all_rows(scan: Scan) -> Rows:
    return np.arange(len(scan.codes)) if scan.blocked is None else np.flatnonzero(~scan.blocked)


def _ordered(rows: Rows, distances: Distances, *, is_all: bool) -> Ranked:
    order = np.argsort(distances, kind="stable")
    return Ranked(rows[order], distances[order], is_all)


def slack_of(query: NDArray[np.float32], *, longest: float) -> float:
    """The most that an approximate value of `rank` may be wrong by.

    Args:
        query: [D].
        longest: the largest of the codes' `half_squares`.
    """
    dimension = len(query)
    scale = 2 * longest + _square(query)
    if scale > 1e30:
        return float("inf")  # float32 would overflow: everything is measured precisely instead
    return 2 * _UNIT * (dimension + 8) * scale + dimension * _TINIEST


def _square(query: NDArray[np.float32]) -> float:
    wide = query.astype(np.float64)
    return float(wide @ wide)


def _upper_bound(values: NDArray[np.float32], wanted: int) -> np.float32:
    """A value that at least `wanted` of the values do not exceed, close above the least such.

    The minima of blocks are values too, and far fewer: enough of them below a bound prove it.
    """
    blocks = len(values) // _BLOCK
    if blocks > 4 * wanted:
        minima = values[: blocks * _BLOCK].reshape(blocks, _BLOCK).min(axis=1)
        bound: np.float32 = np.partition(minima, wanted - 1)[wanted - 1]
        # Too many blocks may be blocked altogether; then the values themselves must say.
        if np.isfinite(bound):
            return bound
    return np.float32(np.partition(values, wanted - 1)[wanted - 1])
