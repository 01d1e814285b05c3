"""The record's database: what every kind of it can do, and how its errors are told."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dermtwin.casebook.location import Location
from dermtwin.casebook.postgres import PostgresDatabase
from dermtwin.casebook.sqlite import WAIT_S, SqliteDatabase, make_sqlite
from dermtwin.errors import CasebookError, SettingsError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_FULL = "cannot grow: the disk is full; make room and run the same again."
_READ_ONLY = "cannot be written: it is read-only; check its owner and permissions."
_NO_LOG = (
    "cannot be opened: this user may not write into its folder, where its log lies, and without it "
    "would not see what others change; give them that right, or a copy of their own."
)
_BUSY = f"is in use by another program for more than {WAIT_S} s; try again later."
_DAMAGED = "is damaged; take it from a backup."
_GONE = (
    "lost its server in the middle; what was acknowledged is kept: run the same again when the "
    "server is back."
)
_NO_SERVER = "cannot be reached: no server answers there; check host and port, or start it."
_NO_LOGIN = (
    "cannot be opened: the server refuses the user or its password; check both (the password may "
    "stand in ~/.pgpass or PGPASSWORD)."
)

# What SQLite says, and what a PostgreSQL server says before there is a connection.
_SAID = {
    "database or disk is full": _FULL,
    "locked": _BUSY,
    "readonly": _READ_ONLY,
    "malformed": _DAMAGED,
    "not a database": "is no casebook: its casebook.sqlite is another kind of file.",
    "unable to open": (
        "cannot be opened; check that it is there, and that this user may read it and write into "
        "its folder."
    ),
    "authentication failed": _NO_LOGIN,
    "no password supplied": _NO_LOGIN,
    "no pg_hba.conf entry": _NO_LOGIN,
    "role ": _NO_LOGIN,
    'database "': "cannot be opened: the server has no such database; make it with createdb.",
    "the database system is": "cannot be reached yet: its server is starting or stopping; wait.",
    "too many clients": "cannot be reached: its server has no connection left; try again later.",
    "remaining connection slots": (
        "cannot be reached: its server has no connection left; try again later."
    ),
    "server closed the connection": _GONE,
    "connection to server was lost": _GONE,
    "connection is lost": _GONE,
    "the connection is closed": _GONE,
    "terminating connection": _GONE,
    "connection failed": _NO_SERVER,
    "connection is bad": _NO_SERVER,
    "failed to resolve host": _NO_SERVER,
    "connection timeout": _NO_SERVER,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html; a class is its first two letters.
_STATES = {
    "53100": _FULL,
    "25006": _READ_ONLY,
    "42501": "cannot be used: its user lacks a right (docs/casebook.md lists them).",
    "55P03": _BUSY,
    "57P": _GONE,
    "08": _GONE,
    "XX": _DAMAGED,
}


class Database(Protocol):
    """An open database."""

    @property
    def where(self) -> Location:
        """The casebook's place, for people."""

    @property
    def reading(self) -> Engine:
        """Its transactions see one moment, however many statements they hold."""

    @property
    def writing(self) -> Engine:
        """Its transactions hold the only right to write, from their first statement.

        So numbers that are given in them come in the order of commits.
        """

    def close(self) -> None:
        """Close all connections."""

    def leave_no_traces(self) -> bool:
        """Drop every byte of deleted rows from the database and its log.

        Returns:
            Whether that was possible; it is not while another program reads an older moment.
        """


def open_database(where: Location) -> Database:
    """Open an existing database; nothing is read yet.

    Raises:
        MissingExtraError: PostgreSQL's driver is not installed.
    """
    return SqliteDatabase.open(where) if where.url is None else PostgresDatabase.open(where)


def make_database(where: Location) -> None:
    """Make an empty SQLite database unless there is one; PostgreSQL's is made by its owner."""
    if where.url is None:
        make_sqlite(where.file)


@contextmanager
def told(where: Location) -> Iterator[None]:
    """Turn the database's and the file system's errors into sentences.

    Raises:
        CasebookError: with the reason and what to do.
        SettingsError: a value can stand in no text or number of the database, such as a NUL.
    """
    try:
        yield
    except DataError as error:
        raise SettingsError(
            "a name or value holds a character that no text here can have, or a number beyond all "
            "bounds; type it anew."
        ) from error
    except (DBAPIError, sqlite3.Error, PoolTimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise CasebookError(f"the casebook {where} {_reason(cause, where=where)}") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise CasebookError(f"the casebook {where} {_FULL}") from error
        reason = (error.strerror or str(error)).lower()
        raise CasebookError(
            f"{error.filename or where.folder} cannot be read or written: {reason}; mend that."
        ) from error


def _reason(cause: BaseException | None, *, where: Location) -> str:
    if isinstance(cause, PoolTimeoutError):
        return _BUSY
    if getattr(cause, "sqlite_errorname", "") == "SQLITE_READONLY_DIRECTORY":
        return _NO_LOG
    state = getattr(cause, "sqlstate", None) or ""
    for length in (5, 3, 2):
        if sentence := _STATES.get(state[:length]):
            return sentence
    said = str(cause)
    for words, sentence in _SAID.items():
        if not state and words in said:
            return sentence
    first = said.partition("\n")[0]
    return f"cannot be used: {where.without_secrets(first).rstrip('.')}."
