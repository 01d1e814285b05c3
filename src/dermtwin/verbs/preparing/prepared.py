"""A prepared dataset, as its contact sheet and its report see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dermtwin.datasets import Row
from dermtwin.preparation import Preparation
from dermtwin.verbs.preparing.columns import REMARKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was prepared, row by row.

    Attributes:
        name: the dataset's.
        preparation: what it was prepared with.
        rows: the originals.
        crops: the new pictures' files.
        cells: what was found, by column, as it stands in the table.
        left_out: how many rows could not be prepared.
        is_drawn: whether the pictures are drawn, not real.
    """

    name: str
    preparation: Preparation
    rows: tuple[Row, ...]
    crops: tuple[Path, ...]
    cells: tuple[Mapping[str, str], ...]
    left_out: int
    is_drawn: bool

    def for_the_eye(self) -> list[int]:
        """Rows that a person should look at, the most doubtful first."""
        return sorted(
            (index for index, cells in enumerate(self.cells) if cells[REMARKS]), key=self._trust
        )

    def sample(self, count: int) -> list[int]:
        """Up to `count` rows: first those for the eye, at most a half; the others evenly spread."""
        first = self.for_the_eye()[: count // 2]
        others = [index for index in range(len(self.rows)) if index not in set(first)]
        left = min(count - len(first), len(others))
        return [*first, *(others[place * len(others) // left] for place in range(left))]

    def _trust(self, index: int) -> tuple[float, int, int]:
        # No lesion found comes first; equally doubtful ones keep the table's order.
        cells = self.cells[index]
        return float(cells["lesion_confidence"] or -1), -len(cells[REMARKS]), index
