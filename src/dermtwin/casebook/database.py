"""The record's database: how it is opened, how transactions begin, how its errors are told."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from dermtwin.errors import CasebookError

_WAIT_S = 60
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# synchronous=FULL: what was acknowledged survives a power cut. secure_delete: what was deleted is
# overwritten with zeros. temp_store: what a rewrite needs meanwhile lies on no other disk.
_SETTINGS = (
    f"PRAGMA busy_timeout = {_WAIT_S * 1000}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
)


@dataclass(frozen=True, slots=True)
class Database:
    """An open database.

    Attributes:
        reading: its transactions see one moment, however many statements they hold.
        writing: its transactions hold the only right to write, from their first statement.
    """

    file: Path
    reading: Engine
    writing: Engine

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


def open_database(file: Path) -> Database:
    """Open an existing SQLite database; nothing is read yet."""
    url = URL.create("sqlite", database=_uri(file), query={"uri": "true"})
    engine = create_engine(url, connect_args={"isolation_level": None})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return Database(file, engine, engine.execution_options(writes=True))


def make_database(file: Path) -> None:
    """Make an empty database that keeps a write-ahead log, unless there is one."""
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turn the database's and the file system's errors into sentences.

    Raises:
        CasebookError: with the reason and what to do.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise CasebookError(f"the casebook {file.parent} {_reason(str(cause))}") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise CasebookError(f"the casebook {file.parent} {_reason('full')}") from error
        reason = (error.strerror or str(error)).lower()
        raise CasebookError(
            f"{error.filename or file.parent} cannot be read or written: {reason}; what the "
            "casebook held before is unchanged."
        ) from error


def _reason(cause: str) -> str:
    known = {
        "full": "cannot grow: the disk is full; make room and run the same again.",
        "locked": f"is in use by another program for more than {_WAIT_S} s; try again later.",
        "readonly": "cannot be written: it is read-only; check its owner and permissions.",
        "malformed": "is damaged; take it from a backup.",
        "not a database": "is no casebook: its casebook.sqlite is another kind of file.",
        "unable to open": "cannot be opened; check that it is there and may be read.",
    }
    for word, sentence in known.items():
        if word in cause:
            return sentence
    return f"cannot be used: {cause}."


def _uri(file: Path) -> str:
    """The file as a URI that never makes it, and that opens one on a read-only disk."""
    path = quote(str(file.absolute()))
    log = file.with_name(f"{file.name}-wal")
    if os.access(file.parent, os.W_OK) or log.exists():
        return f"file:{path}?mode=rw"
    # Without a place for the log's index SQLite opens only what it is told nobody changes.
    return f"file:{path}?mode=ro&immutable=1"


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    for setting in _SETTINGS:
        connection.execute(setting)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
