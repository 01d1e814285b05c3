"""Many marks looked for in many bytes: one pass, however many marks.

Every mark has an anchor, 8 of its bytes. Each position of the data is read as a number of 8 bytes
and looked up in a table by a hash of it; only where the table says so, the marks are compared
whole. So the time follows the bytes that are read (about 4 ns each), not the marks.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHORTEST = 8
"""Marks of fewer bytes come up by chance and cannot be looked for."""

_CHUNK = 4 << 20
_HASH_BITS = 18
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash, for 64 bits

# POSIX takes all of a process's locks on a file when the process closes any handle on it, SQLite's
# too. So a file that is looked through stays open, once, until the process ends.
_OPEN: dict[tuple[int, int], int] = {}


class Scan:
    """What some marks were found in; marks that cannot be looked for are left out.

    Attributes:
        found: the marks that were seen.
        bytes: how many bytes were read.
        unread: the files and folders that could not be read to their end.
    """

    def __init__(self, marks: Iterable[bytes]) -> None:
        self.found: set[bytes] = set()
        self.bytes = 0
        self.unread: set[str] = set()
        self._marks: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
        for mark in {mark for mark in marks if is_searchable(mark)}:
            at = max(range(len(mark) - 7), key=lambda each: len(set(mark[each : each + 8])))
            self._marks[int.from_bytes(mark[at : at + 8], "little")].append((mark, at))
        self._longest = max(
            (len(mark) for each in self._marks.values() for mark, _ in each), default=0
        )
        self._anchors = np.array(sorted(self._marks), dtype=np.uint64)
        self._table = np.zeros(1 << _HASH_BITS, dtype=np.bool_)
        self._table[_hash(self._anchors)] = True

    def file(self, path: Path, *, keep_open: bool = False) -> set[bytes]:
        """The marks that stand in a file, as far as it can be read; none where it is gone.

        Args:
            path: the file.
            keep_open: never close it again: SQLite may hold locks on it in this process.
        """
        found: set[bytes] = set()
        rest = b""
        try:
            for chunk in _chunks(path, keep_open=keep_open):
                self.bytes += len(chunk)
                data = rest + chunk
                found |= self.data(data)
                rest = data[-self._longest :] if self._longest else b""
        except OSError as error:
            self.pass_over(path, error)
        return found

    def pass_over(self, path: str | Path, error: OSError) -> None:
        """Note what cannot be read; nothing stands in what is gone meanwhile."""
        if not isinstance(error, FileNotFoundError):
            self.unread.add(str(path))

    def data(self, data: bytes) -> set[bytes]:
        """The marks that stand in some bytes."""
        found: set[bytes] = set()
        for offset in range(min(8, len(data) - 7)):
            words = np.frombuffer(data, dtype="<u8", count=(len(data) - offset) // 8, offset=offset)
            likely = np.flatnonzero(self._table[_hash(words)])
            if not likely.size:
                continue
            sure = likely[np.isin(words[likely], self._anchors)]
            for index in sure.tolist():
                found.update(self._at(data, offset + 8 * index, int(words[index])))
        self.found |= found
        return found

    def _at(self, data: bytes, position: int, anchor: int) -> Iterator[bytes]:
        for mark, at in self._marks[anchor]:
            if position >= at and data.startswith(mark, position - at):
                yield mark


def is_searchable(mark: bytes) -> bool:
    """Whether finding a mark says something: it is long enough, and not one byte repeated."""
    return len(mark) >= SHORTEST and len(set(mark)) > 1


def _hash(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (words * _FACTOR) >> np.uint64(64 - _HASH_BITS)


def _chunks(path: Path, *, keep_open: bool) -> Iterator[bytes]:
    handle = _kept(path) if keep_open else os.open(path, os.O_RDONLY)
    try:
        at = 0
        while chunk := os.pread(handle, _CHUNK, at):
            yield chunk
            at += len(chunk)
    finally:
        if not keep_open:
            os.close(handle)


def _kept(path: Path) -> int:
    """A handle that is never closed; see `_OPEN`."""
    known = path.stat()
    identity = (known.st_dev, known.st_ino)
    if identity not in _OPEN:
        _OPEN[identity] = os.open(path, os.O_RDONLY)
    return _OPEN[identity]
