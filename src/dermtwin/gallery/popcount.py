"""Nearest bits in one loop over many blocks, where numba is installed (the extra `fast`).

numpy goes through a block once for each step, and comes back to Python between them. The loop goes
through many blocks in one call, knows how near the best so far are, and writes down only what is as
near. What is found is the same.
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from importlib.util import find_spec
from itertools import count

import numpy as np
from numpy.typing import NDArray

from dermtwin.gallery.nearest import Rows
from dermtwin.running import in_background

Loop = Callable[..., int]  # takes what `compiled.scan` does

_LARGE = 2**18  # rows; below, numpy takes a millisecond or so
_ROOM = 2**14  # rows written down in one call
_large_searches = count()


def loop_for(rows: int) -> Loop | None:
    """The loop for a search among so many rows; None: do without it.

    It is loaded in the background from a process's second large search on: a second, two the first
    time on a machine. So no question waits for it, and one that is asked alone does not pay for it.
    """
    if rows < _LARGE or next(_large_searches) == 0:
        return None
    loading = _loading()
    return loading.result() if loading.done() else None


@cache
def _loading() -> Future[Loop | None]:
    return in_background(load)


def load() -> Loop | None:
    """Compile the loop, or fetch what was compiled before; None: numba is not there."""
    if find_spec("numba") is None:
        return None
    try:
        from dermtwin.gallery.compiled import scan  # noqa: PLC0415 - it imports an extra
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, numpy finds the same
        warnings.warn(f"numba cannot be used, so searches take longer: {error}", stacklevel=2)
        return None
    loop: Loop = scan
    return loop


def nearest_bits(
    loop: Loop,
    blocks: Sequence[NDArray[np.uint64]],
    firsts: Sequence[int],
    *,
    query: np.uint64,
    wanted: int,
) -> tuple[Rows, NDArray[np.uint8]]:
    """At least all rows that are among the `wanted` nearest of a query, with their ties.

    Args:
        loop: from `loop_for`.
        blocks: bits of each block, contiguous.
        firsts: the number of each block's first row.
        query: its bits.
        wanted: at least 1.

    Returns:
        The rows, in the blocks' order, and their Hamming distances.
    """
    # An array's own address, not a copy's: the blocks are kept by the caller.
    addresses = np.array([block.__array_interface__["data"][0] for block in blocks], np.uint64)
    lengths = np.array([len(block) for block in blocks], np.int64)
    numbers = np.array(firsts, np.int64)
    position, counts = np.zeros(2, np.int64), np.zeros(65, np.int64)
    found: list[tuple[Rows, NDArray[np.uint8]]] = []
    while position[0] < len(blocks):
        rows, values = np.empty(_ROOM, np.int64), np.empty(_ROOM, np.uint8)
        near = loop(addresses, lengths, numbers, query, wanted, position, counts, rows, values)
        found.append((rows[:near], values[:near]))
    rows, values = (np.concatenate(each) for each in zip(*found, strict=True))
    return rows, values
