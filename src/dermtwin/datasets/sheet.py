"""A CSV file as it comes from anywhere: its bytes to text, its text to records with line numbers.

Every record is either read right or becomes one fault that names its line.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermtwin.datasets.table import Fault, FaultKind
from dermtwin.errors import DatasetError

_DELIMITERS = ",;\t|"
# The archive's snapshots put a tab before what a spreadsheet would run as a formula.
_ESCAPED = ("\t", "=", "+", "-", "@")
_MAX_FIELD = 2**20
# Bytes that a header is looked for in.
_HEADER = 2**16

_Line = tuple[int, list[str] | csv.Error]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a sheet: where it starts (1-based line) and its non-empty values by column."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A CSV file, parsed; the faults are its broken records."""

    path: Path
    columns: tuple[str, ...]
    records: tuple[Record, ...]
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


def read_sheet(path: Path) -> Sheet:
    """Parse a CSV file: UTF-8 (with or without BOM), UTF-16 or Latin-1; `,` `;` tab or `|`.

    Raises:
        DatasetError: it cannot be read, has no header, or names a column twice.
    """
    text, warnings = _decode(_read(path), path=path)
    lines = _parse(text)
    line, header = _first(lines)
    if isinstance(header, csv.Error):
        raise DatasetError(f"{path}:{line}: the header cannot be read ({header}); mend its quotes.")
    columns = _name_columns(header, path=path)
    records, faults = _sort_records(lines, columns=columns, path=path)
    return Sheet(
        path=path, columns=columns, records=records, faults=faults, warnings=tuple(warnings)
    )


def read_columns(path: Path) -> tuple[str, ...]:
    """The columns that the header of a CSV file names, written in any way that `read_sheet` reads.

    Raises:
        DatasetError: it cannot be read.
    """
    text, _ = _decode(_read(path, size=_HEADER), path=path)
    _, header = _first(_parse(text))
    return () if isinstance(header, csv.Error) else tuple(map(_name, header))


def escape(value: str) -> str:
    """Put a tab before a value that a spreadsheet would run, as the archive's snapshots do."""
    return f"\t{value}" if value.startswith(_ESCAPED) else value


def _unescape(value: str) -> str:
    return value.removeprefix("\t")


def _name(cell: str) -> str:
    """What a cell of the header calls its column."""
    return _unescape(cell).strip()


def _read(path: Path, *, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DatasetError(f"{path} cannot be read: {reason}; check the path.") from error


def _decode(data: bytes, *, path: Path) -> tuple[str, list[str]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), []
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        note = f"{path}:{line}: not UTF-8; the table was read as Latin-1."
        return _decode_latin(data), [note]


def _decode_latin(data: bytes) -> str:
    # Windows calls its own superset Latin-1; five of its codes mean nothing.
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _find_delimiter(text: str) -> str:
    """Take the delimiter that parts the first line into most columns."""
    first = next((line for line in text.splitlines() if line.strip()), "")[:_HEADER]
    counts = {each: len(next(csv.reader([first], delimiter=each), [])) for each in _DELIMITERS}
    return max(counts, key=lambda each: counts[each])


def _parse(text: str) -> Iterator[_Line]:
    """Yield each record with the line that it starts on; a broken one as its error."""
    csv.field_size_limit(_MAX_FIELD)
    delimiter = _find_delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error


def _first(lines: Iterator[_Line]) -> _Line:
    """The header: the first line that has cells."""
    return next(((line, cells) for line, cells in lines if cells), (1, []))


def _name_columns(header: Sequence[str], *, path: Path) -> tuple[str, ...]:
    if not any(cell.strip() for cell in header):
        raise DatasetError(f"{path} is empty; a dataset's table starts with a header line.")
    columns = tuple(_name(cell) or f"column_{place}" for place, cell in enumerate(header, start=1))
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DatasetError(f"{path}:1: the header names {', '.join(repeated)} more than once.")
    return columns


def _sort_records(
    lines: Iterator[_Line], *, columns: tuple[str, ...], path: Path
) -> tuple[tuple[Record, ...], tuple[Fault, ...]]:
    records, faults = [], []
    for line, cells in lines:
        problem = _find_problem(cells, columns=columns)
        if problem:
            faults.append(Fault(FaultKind.BROKEN, path, line, problem))
        elif not isinstance(cells, csv.Error) and any(cell.strip() for cell in cells):
            values = zip(columns, map(_unescape, cells), strict=False)
            records.append(Record(line, {name: value for name, value in values if value}))
    return tuple(records), tuple(faults)


def _find_problem(cells: list[str] | csv.Error, *, columns: tuple[str, ...]) -> str | None:
    if isinstance(cells, csv.Error):
        if "end of data" in str(cells):
            return "a quote opened here is never closed."
        return f"it cannot be parsed ({cells}); mend its quotes."
    beyond = cells[len(columns) :]
    is_blank = not any(cell.strip() for cell in cells)
    if not is_blank and (len(cells) < len(columns) or any(cell.strip() for cell in beyond)):
        return f"it has {len(cells)} cells where the header has {len(columns)}."
    return None
