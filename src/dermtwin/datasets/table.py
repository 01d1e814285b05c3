"""What a dataset is, once read: rows that name a case and its image, and what was wrong with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path

from dermtwin.errors import DatasetError
from dermtwin.vocabulary import Case

_EXAMPLES = 5


class FaultKind(StrEnum):
    """What can be wrong with a row; the value is how it is told."""

    NO_FILE = "rows without an image file"
    DUPLICATE = "rows whose isic_id stands in an earlier row"
    BROKEN = "rows that cannot be read"
    PATIENTS = "rows whose lesion belongs to another patient in an earlier row"
    CONTRADICTS = "rows that contradict what is known already"
    REPEATS = "rows whose image repeats that of another case"


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be used: where it stands and what is wrong, as a sentence."""

    kind: FaultKind
    table: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.table}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Row:
    """A usable row.

    Attributes:
        case: what is known of the image.
        image: its file.
        line: of the table, 1-based; 0: no row of a table.
        has_pseudonym: whether the case's or its patient's name was made when the row was read.
    """

    case: Case
    image: Path
    line: int
    has_pseudonym: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of images with their table, read and checked.

    Attributes:
        table: the file that was read, or the folder where no table is needed.
        columns: the table's header as it stood.
        rows: the usable rows, in the table's order.
        faults: the rows left out.
        warnings: sentences on what was noticed and kept.
    """

    table: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def is_drawn(self) -> bool:
        """Whether any picture was generated; then everything shown says so."""
        return any(row.case.is_drawn for row in self.rows)

    def of_two_classes(self) -> tuple[Row, ...]:
        """The rows that are benign or malignant, by name: a table's order moves nothing.

        Raises:
            DatasetError: there is none.
        """
        found = [row for row in self.rows if row.case.is_malignant is not None]
        if not found:
            raise DatasetError(
                f"{self.table} has no image that is benign or malignant; fill in diagnosis_1."
            )
        return tuple(sorted(found, key=lambda row: row.case.isic_id))

    def refuse_faults(self) -> None:
        """Raise DatasetError that tells all faults at once, with counts and the first examples."""
        if self.faults:
            raise DatasetError(describe_faults(self.faults))


def describe_faults(faults: Sequence[Fault]) -> str:
    """All faults in words: a line a kind and table with its count, then its first examples."""
    lines = []
    tables = dict.fromkeys(fault.table for fault in faults)
    for kind, table in product(FaultKind, tables):
        found = [fault for fault in faults if fault.kind is kind and fault.table == table]
        if found:
            lines.append(f"{table}: {len(found)} {kind.value}")
            lines.extend(f"  {fault}" for fault in found[:_EXAMPLES])
            if len(found) > _EXAMPLES:
                lines.append(f"  … and {len(found) - _EXAMPLES} more")
    return "\n".join(lines)
