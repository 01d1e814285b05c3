"""A dataset's table, written so that `read_dataset` gives the same rows back."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from dermtwin import files
from dermtwin.datasets.sheet import escape
from dermtwin.datasets.table import Row
from dermtwin.vocabulary import FIELDS

_OWN = frozenset({*FIELDS, "image"})


def write_table(path: Path, rows: Iterable[Row], *, columns: Iterable[str] | None = None) -> None:
    """Write `metadata.csv`, whole or not at all; images are referred to where they are.

    The typed columns that occur come first, then `image` (relative to the table's folder), then all
    other columns. Values that a spreadsheet would run get a leading tab, as in the archive's
    snapshots; `read_dataset` takes it off again.

    Args:
        path: the table; missing folders are made.
        rows: what to write, in this order.
        columns: further columns to write even where no row has a value.
    """
    files.write_bytes(path, _table(rows, folder=path.parent, columns=columns))


def write_tables(
    tables: Mapping[Path, Iterable[Row]], *, columns: Iterable[str] | None = None
) -> None:
    """Write tables that belong together, each as by `write_table`.

    All are written before one is in its place, and those that stood there are taken away first: cut
    short at any moment, no new table stands beside an old one.

    Args:
        tables: their paths, and what to write in each.
        columns: further columns to write even where no row has a value.
    """
    columns = tuple(columns or ())
    with ExitStack() as stack:
        for path, rows in tables.items():
            temporary = stack.enter_context(files.replacing(path))
            temporary.write_bytes(_table(rows, folder=path.parent, columns=columns))
        for path in tables:
            path.unlink(missing_ok=True)


def _table(rows: Iterable[Row], *, folder: Path, columns: Iterable[str] | None) -> bytes:
    cells = [_cells(row, folder=folder) for row in rows]
    header = _order_columns(cells, also=tuple(columns or ()))
    text = io.StringIO(newline="")
    # CRLF, as the archive writes it: only then does the writer quote a lone carriage return.
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([escape(each.get(name, "")) for name in header] for each in cells)
    return text.getvalue().encode()


def _cells(row: Row, *, folder: Path) -> dict[str, str]:
    typed = {name: str(value) for name, value in row.case.known_fields()}
    return {**row.case.extra, **typed, "image": _relative(row.image, to=folder)}


def _relative(image: Path, *, to: Path) -> str:
    # Only the folders are resolved: the image may be a link with a telling name.
    resolved = os.path.join(os.path.realpath(image.parent), image.name)  # noqa: PTH118
    return os.path.relpath(resolved, os.path.realpath(to))


def _order_columns(
    cells: list[Mapping[str, str]] | list[dict[str, str]], *, also: tuple[str, ...]
) -> list[str]:
    used = dict.fromkeys(name for each in cells for name in each) | dict.fromkeys(also)
    typed = [name for name in FIELDS if name in used or name == "isic_id"]
    return [*typed, "image", *(name for name in used if name not in _OWN)]
