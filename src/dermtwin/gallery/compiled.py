"""The loop of `popcount`, compiled by numba as this module is imported."""

from typing import Any

import numpy as np
from numba import carray, int64, njit, types, uint8, uint64
from numba.extending import intrinsic
from numpy.typing import NDArray

# The count of a word's bits: Warren, Hacker's Delight, 2nd edition, figure 5-2. LLVM knows it and
# takes the processor's own instruction.
_TWOS, _FOURS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_EIGHTS, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)
_1, _2, _4, _56 = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
_WORD, _MOST = np.uint64(8), np.uint64(64)

_SIGNATURE = int64(
    uint64[::1], int64[::1], int64[::1], uint64, int64, int64[::1], int64[::1], int64[::1],
    uint8[::1],
)  # fmt: skip


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_context: Any, _address: Any) -> Any:  # noqa: ANN401 - numba's own types
    def generated(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint64)(types.uint64), generated


def _scan(  # noqa: PLR0913, PLR0917 - a loop takes arrays
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    firsts: NDArray[np.int64],
    query: np.uint64,
    wanted: int,
    position: NDArray[np.int64],
    counts: NDArray[np.int64],
    rows: NDArray[np.int64],
    values: NDArray[np.uint8],
) -> int:
    """Write down rows that are as near as the `wanted` nearest so far.

    Args:
        addresses: of each block's bits, [B].
        lengths: how many rows each has, [B].
        firsts: the number of each one's first row, [B].
        query: its bits.
        wanted: at least 1.
        position: the block and the place in it to begin with; is brought to where it stopped,
            behind the last block or where there is no more room.
        counts: [65], how many rows were written down so far with each distance; is added to.
        rows: [M], is filled.
        values: [M], is filled with their Hamming distances.

    Returns:
        How many were written down.
    """
    # No row farther than `limit` is of use: `wanted` are not farther. `below` of them are nearer.
    limit, below = np.uint64(0), 0
    while limit < _MOST and below + counts[limit] < wanted:
        below += counts[limit]
        limit += _1
    found = 0
    block, start = position
    while block < len(addresses):
        # Counted from 0 on: LLVM cannot prove that another start is not negative, and then checks
        # each place.
        bits = carray(_pointer(addresses[block] + _WORD * np.uint64(start)), lengths[block] - start)
        for place in range(len(bits)):
            word = bits[place] ^ query
            word -= (word >> _1) & _TWOS
            word = (word & _FOURS) + ((word >> _2) & _FOURS)
            word = (word + (word >> _4)) & _EIGHTS
            differing = (word * _BYTES) >> _56
            if differing <= limit:
                rows[found], values[found] = firsts[block] + start + place, differing
                found += 1
                counts[differing] += 1
                if differing < limit:
                    below += 1
                    while below >= wanted:
                        limit -= _1
                        below -= counts[limit]
                if found == len(rows):
                    position[0], position[1] = block, start + place + 1
                    return found
        block, start = block + 1, 0
    position[0], position[1] = block, 0
    return found


def _compiled(function: Any) -> Any:  # noqa: ANN401
    try:
        return njit(_SIGNATURE, nogil=True, cache=True)(function)
    except (RuntimeError, OSError):  # there is no folder, or no room, to keep it in
        return njit(_SIGNATURE, nogil=True)(function)


scan = _compiled(_scan)
