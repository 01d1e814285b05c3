"""What is left of something forgotten: the look at every byte that comes before a receipt.

Marks are names, digests, the bytes of codes and of places on the map, and the audit log's keys.
They are looked for in the names of all files of the casebook and in the bytes of all but the
images, thumbnails and encoders: those are named by a digest of their bytes, and a digest is a mark.
In PostgreSQL the server's files are read too where they lie on this machine and may be read;
otherwise every column of every table and the planner's statistics are asked.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Text,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.exc import DBAPIError

from dermtwin.casebook.database import Database
from dermtwin.casebook.location import DATABASE
from dermtwin.casebook.records import chunks
from dermtwin.casebook.scanning import Scan, is_searchable
from dermtwin.casebook.schema import METADATA
from dermtwin.casebook.store import ENCODERS, IMAGES, THUMBNAILS, Store

# Files that are named by a digest of their bytes.
_NAMED_BY_DIGEST = frozenset({IMAGES, THUMBNAILS, ENCODERS})
_AT_ONCE = 20  # marks in one statement

_SERVER = """
SELECT setting, (SELECT oid FROM pg_database WHERE datname = current_database()),
    (SELECT system_identifier FROM pg_control_system())
FROM pg_settings WHERE name = 'data_directory'
"""
_STATISTICS = """
SELECT concat_ws(' ', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
FROM pg_stats WHERE schemaname = ANY (current_schemas(false))
"""


@dataclass(frozen=True, slots=True)
class Marks:
    """Bytes by which something forgotten can be looked for, by what they are."""

    by_kind: Mapping[str, frozenset[bytes]] = field(repr=False)

    @classmethod
    def of(
        cls,
        *,
        names: Iterable[str] = (),
        digests: Iterable[str] = (),
        codes: Iterable[bytes] = (),
        points: Iterable[bytes] = (),
        keys: Iterable[bytes] = (),
    ) -> Self:
        """Names and digests are text in UTF-8, codes, points and keys bytes."""
        return cls(
            {
                "names": frozenset(name.encode() for name in names),
                "digests": frozenset(name.encode() for name in digests),
                "codes": frozenset(codes),
                "points": frozenset(points),
                "keys": frozenset(keys),
            }
        )

    @property
    def all(self) -> frozenset[bytes]:
        """All that can be looked for."""
        return frozenset(
            mark for marks in self.by_kind.values() for mark in marks if is_searchable(mark)
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind; `too short` could not be looked for."""
        counts = {
            kind: sum(map(is_searchable, marks)) for kind, marks in self.by_kind.items() if marks
        }
        short = sum(len(marks) for marks in self.by_kind.values()) - sum(counts.values())
        return counts | ({"too short": short} if short else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was looked for, where, and what was found.

    Attributes:
        marks: how many marks of each kind.
        files: how many files' names were looked at.
        bytes: how many bytes were read.
        places: what was read.
        left: where marks are left that nothing explains.
        unread: files and folders that could not be read: marks may be left there.
        elsewhere: by table and column, how many rows that stay hold a mark as part of their own
            values, such as the same text in another case.
    """

    marks: Mapping[str, int]
    files: int
    bytes: int
    places: tuple[str, ...]
    left: tuple[str, ...]
    unread: tuple[str, ...]
    elsewhere: Mapping[str, int]

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left, anywhere."""
        return not (self.left or self.unread)

    def to_json(self) -> dict[str, Any]:
        """All of it; it names nothing that was looked for."""
        return asdict(self)

    def __str__(self) -> str:
        marks = ", ".join(f"{count:,} {kind}" for kind, count in self.marks.items())
        searched = (
            f"looked for: {marks}\nlooked through: the names of {self.files:,} files and "
            f"{self.bytes:,} bytes of {', '.join(self.places)}"
        )
        found = f"STILL THERE in {', '.join(self.left)}" if self.left else "nothing left"
        if self.unread:
            found += f"; NOT READ, look there by hand: {', '.join(self.unread)}"
        also = "".join(
            f"\n{count:,} rows that stay hold such text of their own in {place}"
            for place, count in self.elsewhere.items()
        )
        return f"{searched}\nfound: {found}{also}"


def look(database: Database, store: Store, marks: Marks) -> Looked:
    """Look for marks in every file of a casebook.

    Raises:
        DBAPIError: the database cannot be read.
    """
    scan = Scan(marks.all)
    names, found = _in_files(store.folder, scan)
    places = [f"the files in {store.folder}"]
    with database.reading.begin() as connection:
        server = None if database.where.url is None else _server_files(connection)
        if server is not None:
            found.update(_in_server(server, scan))
            places.append("the server's files")
        stand_in_rows = _marks_in_database(found)
        if database.where.url is not None and server is None:
            places.append("every table and the planner's statistics (not the server's files)")
            stand_in_rows = set(marks.all)
            found.update(_in_statistics(connection, scan))
        elsewhere, explained = _in_rows(connection, stand_in_rows)
    left = {
        place for place, seen in found.items() if seen - (explained if _is_record(place) else set())
    }
    return Looked(
        marks=marks.counts,
        files=names,
        bytes=scan.bytes,
        places=tuple(places),
        left=tuple(sorted(left)),
        unread=tuple(sorted(scan.unread)),
        elsewhere=elsewhere,
    )


def _is_record(place: str) -> bool:
    """Whether a place holds rows, in which a mark may stand by right."""
    return place.startswith((DATABASE, "server:"))


def _marks_in_database(found: Mapping[str, set[bytes]]) -> set[bytes]:
    return {mark for place, seen in found.items() if _is_record(place) for mark in seen}


def _in_files(folder: Path, scan: Scan) -> tuple[int, dict[str, set[bytes]]]:
    """How many files there are, and the marks in each, by path relative to the folder."""
    found: dict[str, set[bytes]] = {}
    count = 0
    for path in _walk(folder, scan):
        count += 1
        relative = path.relative_to(folder)
        seen = scan.data(os.fsencode(str(relative)))
        if relative.parts[0] not in _NAMED_BY_DIGEST:
            seen |= scan.file(path, keep_open=path.name.startswith(DATABASE))
        if seen:
            found[str(relative)] = seen
    return count, found


def _walk(folder: Path, scan: Scan) -> Iterator[Path]:
    """All files in a folder, as far as it can be read."""

    def pass_over(error: OSError) -> None:
        scan.pass_over(error.filename, error)

    for parent, _, names in os.walk(folder, onerror=pass_over):
        for name in names:
            path = Path(parent, name)
            try:
                is_file = path.is_file()
            except OSError as error:
                pass_over(error)
                continue
            if is_file:
                yield path


@dataclass(frozen=True, slots=True)
class _Server:
    folder: Path
    database: int


def _server_files(connection: Connection) -> _Server | None:
    """Where the server keeps this database, if its files can be read from here."""
    try:
        with connection.begin_nested():
            row = connection.exec_driver_sql(_SERVER).one_or_none()
        if row is None:
            return None
        folder = Path(row[0])
        # Another server's files may lie at the same path of this machine.
        control = (folder / "global/pg_control").read_bytes()[:8]
        is_readable = os.access(folder / "pg_wal", os.R_OK | os.X_OK)
    except (DBAPIError, OSError):
        return None
    identifiers = {int.from_bytes(control, order) for order in ("little", "big")}
    if not is_readable or row[2] % 2**64 not in identifiers:
        return None
    return _Server(folder, row[1])


def _in_server(server: _Server, scan: Scan) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for name in (f"base/{server.database}", "pg_wal"):
        for path in _walk(server.folder / name, scan):
            if seen := scan.file(path):
                found.setdefault(f"server:{name}", set()).update(seen)
    return found


def _in_statistics(connection: Connection, scan: Scan) -> dict[str, set[bytes]]:
    seen: set[bytes] = set()
    for text in connection.exec_driver_sql(_STATISTICS).scalars():
        seen |= scan.data(str(text).encode())
    return {"server:pg_stats": seen} if seen else {}


def _in_rows(connection: Connection, marks: Collection[bytes]) -> tuple[dict[str, int], set[bytes]]:
    """How many living rows hold a mark, by table and column; and which marks those are."""
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    if not marks:
        return {}, seen
    for table in METADATA.sorted_tables:
        for column in table.columns:
            if not isinstance(column.type, Text | LargeBinary):
                continue
            for part in chunks(sorted(marks), size=_AT_ONCE):
                for value in connection.scalars(
                    select(column).where(_holds(connection, column, part))
                ):
                    counts[f"{table.name}.{column.name}"] += 1
                    data = value.encode() if isinstance(value, str) else bytes(value)
                    seen.update(mark for mark in part if mark in data)
    return dict(counts), seen


def _holds(
    connection: Connection, column: Column[Any], marks: Iterable[bytes]
) -> ColumnElement[bool]:
    """Whether a column's value holds one of the marks; both databases compare bytes."""
    position = func.instr if connection.dialect.name == "sqlite" else func.pg_catalog.position
    if isinstance(column.type, LargeBinary):
        wanted = [literal(mark, LargeBinary) for mark in marks]
    else:
        wanted = [literal(text, Text) for mark in marks if (text := _text(mark)) is not None]
    return or_(false(), *(position(column, each) > 0 for each in wanted))


def _text(mark: bytes) -> str | None:
    try:
        text = mark.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
