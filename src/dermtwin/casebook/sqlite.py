"""The record in SQLite: one file in the casebook's folder, with a write-ahead log."""

import os
import sqlite3
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event

from dermtwin.casebook.location import Location

WAIT_S = 60
"""How long a statement waits for another program."""

# synchronous=FULL: what was acknowledged survives a power cut. secure_delete: what was deleted is
# overwritten with zeros. temp_store: what a rewrite needs meanwhile lies on no other disk.
# wal_autocheckpoint: pages that are written again and again, as an index's are, reach the database
# once for 64 MiB of log, not once for 4.
_SETTINGS = (
    f"PRAGMA busy_timeout = {WAIT_S * 1000}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 16384",
)

# With SQLite's 2 MiB a large transaction would write its pages and read them back meanwhile.
_WRITERS_CACHE = "PRAGMA cache_size = -65536"


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """See `database.Database`."""

    where: Location
    reading: Engine
    writing: Engine

    @classmethod
    def open(cls, where: Location) -> "SqliteDatabase":
        """Open an existing database; nothing is read yet."""
        file = where.file.absolute()
        # A connection that takes the file as unchangeable must not outlive its transaction.
        pool = NullPool if _is_on_read_only_disk(file) else QueuePool
        engine = create_engine("sqlite://", creator=partial(_connect, file), poolclass=pool)
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return cls(where, engine, engine.execution_options(writes=True))

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()

    def leave_no_traces(self) -> bool:
        """Rewrite the database from its rows, and cut the write-ahead log to nothing.

        `secure_delete` zeroes a deleted row where it stands, but SQLite leaves copies of rows in
        the unused parts of pages whenever it moves rows between pages; only a rewrite drops those.

        Returns:
            Whether the log could be cut; it cannot while another program reads.
        """
        with self.reading.connect() as connection:
            # Neither can run inside a transaction, so both go past SQLAlchemy's.
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.execute("VACUUM")
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def make_sqlite(file: Path) -> None:
    """Make an empty database that keeps a write-ahead log, unless there is one."""
    if file.is_file() and file.stat().st_size:
        return
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(_uri(file), uri=True, isolation_level=None, check_same_thread=False)


def _uri(file: Path) -> str:
    """The file as a URI that never makes it, and that opens one on a read-only disk."""
    path = quote(str(file))
    log = file.with_name(f"{file.name}-wal")
    if log.exists() or not _is_on_read_only_disk(file):
        return f"file:{path}?mode=rw"
    # Without a place for the log's index SQLite opens only what it is told nobody changes. A disk
    # that is read-only here may be written from elsewhere: whoever does that keeps a log meanwhile.
    return f"file:{path}?mode=ro&immutable=1"


def _is_on_read_only_disk(file: Path) -> bool:
    return bool(os.statvfs(file.parent).f_flag & os.ST_RDONLY)


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    for setting in _SETTINGS:
        connection.execute(setting)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    if writes:
        connection.exec_driver_sql(_WRITERS_CACHE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
