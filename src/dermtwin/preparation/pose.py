"""One way to hold a picture, whichever of its eight poses it comes in.

A dermatoscope has no up: the same skin may come mirrored or turned by a quarter. All masks and
crops are found in one canonical pose and carried back, so that turning or mirroring a picture turns
or mirrors what is found in it, exactly and at no cost.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dermtwin.images import Rgb

A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels: left and top inclusive, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array [height, width, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Pose:
    """How a picture is turned into its canonical pose: transposed first, then mirrored.

    Attributes:
        transposed: rows and columns change places.
        mirrored_x: left and right change places.
        mirrored_y: top and bottom change places.
    """

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def apply(self, array: NDArray[A]) -> NDArray[A]:
        """Bring an array [height, width, ...] into the canonical pose; a view, not a copy."""
        turned = array.swapaxes(0, 1) if self.transposed else array
        return turned[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]

    def undo(self, array: NDArray[A]) -> NDArray[A]:
        """Carry an array [height, width, ...] in the canonical pose back; a view."""
        turned = array[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]
        return turned.swapaxes(0, 1) if self.transposed else turned

    def undo_box(self, box: Box, *, width: int, height: int) -> Box:
        """Carry a box back.

        Args:
            box: in the canonical pose.
            width: of the canonical frame that it lies in.
            height: likewise.
        """
        left, right = box.left, box.right
        top, bottom = box.top, box.bottom
        if self.mirrored_x:
            left, right = width - right, width - left
        if self.mirrored_y:
            top, bottom = height - bottom, height - top
        return Box(top, left, bottom, right) if self.transposed else Box(left, top, right, bottom)


def canonical_pose(pixels: Rgb) -> Pose:
    """The pose in which a picture lies wide and its brightness leans to the right and down.

    All sums are of whole numbers, so that the eight poses of one picture agree to the last bit. A
    picture whose moments vanish has no lean; its pose is then the one it came in.

    Args:
        pixels: uint8 [height, width, 3].
    """
    green = pixels[:, :, 1]
    height, width = green.shape
    columns, rows = (
        _lean(green.sum(axis=0, dtype=np.int64)),
        _lean(green.sum(axis=1, dtype=np.int64)),
    )
    transposed = height > width
    if height == width:
        # Both leans are made positive below; the larger one then lies along the rows.
        transposed = max(abs(rows), abs(columns)) != abs(columns)
    across, down = (rows, columns) if transposed else (columns, rows)
    return Pose(transposed, mirrored_x=across < 0, mirrored_y=down < 0)


def _lean(sums: NDArray[np.int64]) -> int:
    """First moment about the middle, or the third where the first is 0."""
    places = 2 * np.arange(len(sums), dtype=np.int64) - (len(sums) - 1)
    return int(sums @ places) or int(sums.astype(object) @ places.astype(object) ** 3)
