"""Names of rows, packed: no Python object a row, found by a hash and proven by their text."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

MOST = 2**16
"""How many rows may be packed together: their places take 16 bits."""

_UNKNOWN = b"\xff"  # never a byte of UTF-8
_FEW = 16
_MARKED = 4  # every 16th name's start is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """N names, at most `MOST`, some unknown.

    Attributes:
        text: uint8, the names in UTF-8 one behind the other, and a last byte that is none's.
        lengths: unsigned [N], their bytes, in as few bytes as hold the longest.
        marks: uint32, where every 16th begins.
        hashes: uint16 [N], ascending; of this process only.
        order: uint16 [N], whose hash each is.
    """

    text: NDArray[np.uint8]
    lengths: NDArray[np.unsignedinteger]
    marks: NDArray[np.uint32]
    hashes: NDArray[np.uint16]
    order: NDArray[np.uint16]

    @classmethod
    def of(cls, names: Sequence[str | None]) -> "Names":
        """Pack names; None: unknown."""
        hashes = np.fromiter(map(hash, names), np.int64, len(names)).astype(np.uint16)
        texts: Sequence[str | bytes]
        if None not in names and (joined := "".join(names)).isascii():  # type: ignore[arg-type]
            texts, data = names, joined.encode()  # type: ignore[assignment]
        else:
            texts = [_UNKNOWN if name is None else _bytes_of(name) for name in names]
            data = b"".join(texts)  # type: ignore[arg-type]
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        return cls._indexed(np.frombuffer(data + b"\0", np.uint8), lengths, hashes)

    @classmethod
    def _indexed(
        cls,
        text: NDArray[np.uint8],
        lengths: NDArray[np.integer],
        hashes: NDArray[np.uint16],
    ) -> "Names":
        order = np.argsort(hashes, kind="stable")  # by radix, as these are 16 bits
        return cls(
            text=text,
            lengths=narrowed(lengths),
            marks=_starts(lengths)[:: 1 << _MARKED].astype(np.uint32),
            hashes=hashes[order],
            order=order.astype(np.uint16),
        )

    def __len__(self) -> int:
        return len(self.order)

    def at(self, row: int) -> str | None:
        """The name of a row."""
        text = self._bytes_at(row)
        return None if text == _UNKNOWN else text.decode("utf-8", "surrogatepass")

    def all(self) -> list[str | None]:
        """The names of all rows."""
        return [self.at(row) for row in range(len(self))]

    def known(self) -> Mask:
        """Which rows have a name: bool [N]."""
        first = self.text[_starts(self.lengths)[:-1]]
        unknown: Mask = (self.lengths == len(_UNKNOWN)) & (first == _UNKNOWN[0])
        return ~unknown

    def rows_of(self, names: Collection[str]) -> Places:
        """The rows that have one of these names: int [M], ascending."""
        found: list[int] = []
        for name in names:
            wanted, text = np.uint16(hash(name) & 0xFFFF), _bytes_of(name)
            low, high = self.hashes.searchsorted(wanted), self.hashes.searchsorted(wanted, "right")
            rows = self.order[low:high]
            if len(rows) > _FEW:
                found += rows[self._equal(rows, text)].tolist()
            else:
                found += [row for row in rows.tolist() if self._bytes_at(row) == text]
        return np.array(sorted(found), np.intp)

    def taken(self, stays: Mask) -> "Names":
        """The names of the rows that stay, and nothing of the others."""
        text = self.text[np.append(np.repeat(stays, self.lengths), True)]
        return self._indexed(text, self.lengths[stays], self.hashes_by_row()[stays])

    def joined(self, other: "Names") -> "Names":
        """These names and then those of another."""
        return self._indexed(
            np.concatenate([self.text[:-1], other.text]),
            np.concatenate([self.lengths, other.lengths]),
            np.concatenate([self.hashes_by_row(), other.hashes_by_row()]),
        )

    def hashes_by_row(self) -> NDArray[np.uint16]:
        """Each row's hash: [N]."""
        hashes = np.empty_like(self.hashes)
        hashes[self.order] = self.hashes
        return hashes

    def _bytes_at(self, row: int) -> bytes:
        mark = row >> _MARKED
        start = int(self.marks[mark]) + sum(self.lengths[mark << _MARKED : row].tolist())
        return self.text[start : start + int(self.lengths[row])].tobytes()

    def _equal(self, rows: NDArray[np.uint16], text: bytes) -> Mask:
        """Which of the rows have this very text: bool [M]."""
        same: Mask = self.lengths[rows] == len(text)
        read = _starts(self.lengths)[rows[same], None] + np.arange(len(text))
        same[same] = (self.text[read] == np.frombuffer(text, np.uint8)).all(axis=1)
        return same


def narrowed(numbers: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """Numbers from 0 on in as few bytes as hold the largest; a copy."""
    kind: np.dtype[np.unsignedinteger] = np.min_scalar_type(int(numbers.max(initial=0)))
    return numbers.astype(kind)


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each name begins, and where the last ends: [N + 1]."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
