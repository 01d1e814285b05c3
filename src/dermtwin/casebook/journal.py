"""Files and rows in step: which files may lie in the casebook without a row that names them.

A file and its row cannot be written in one step. So the journal, a table, names a file before it is
written, and the transaction that writes its row strikes the entry out. Erasing goes the other way
round: the transaction that deletes the row names the file, which is removed after. Whatever ends a
process in between, the entry is left, and who settles it looks whether a row names the file: if
none does, the file goes.

The entry `TRACES` stands for the database itself: rows were erased, but bytes of them may be left.
"""

from collections.abc import Iterable

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    select,
    true,
)

from dermtwin.casebook.database import Database
from dermtwin.casebook.location import DATABASE
from dermtwin.casebook.schema import ENCODERS, IMAGES, UNSETTLED
from dermtwin.casebook.store import ENCODERS as ENCODER_FOLDER
from dermtwin.casebook.store import Store
from dermtwin.errors import CasebookError

TRACES = DATABASE

_STRIKE_OUT = delete(UNSETTLED).where(
    UNSETTLED.c.path == bindparam("its_path"), UNSETTLED.c.owner == bindparam("its_owner")
)


def note(connection: Connection, paths: Iterable[str], *, owner: str) -> None:
    """Enter files that may come to lie, or stay, without a row."""
    noted = connection.scalars(select(UNSETTLED.c.path).where(UNSETTLED.c.owner == owner))
    rows = [{"path": path, "owner": owner} for path in sorted(set(paths) - set(noted))]
    if rows:
        connection.execute(insert(UNSETTLED), rows)


def strike_out(connection: Connection, path: str, *, owner: str) -> None:
    """Take one entry back: a row names the file now."""
    connection.execute(_STRIKE_OUT, {"its_path": path, "its_owner": owner})


def settle(database: Database, store: Store, *, owner: str | None) -> None:
    """Remove every file in the journal that no row names.

    Args:
        database: the record.
        store: its files.
        owner: whose entries; None: everybody's, which only the sole writer may settle.
    """
    mine = and_(_entries_of(owner), UNSETTLED.c.path != TRACES)
    if not _any(database, mine):
        return
    # Rows are written only within such a transaction too: none can come to name a file meanwhile.
    with database.writing.begin() as connection:
        for entry in connection.execute(select(UNSETTLED).where(mine)).all():
            store.remove_temporaries(entry.path, owner=entry.owner)
            if not _is_named(connection, entry.path):
                store.remove(entry.path)
        connection.execute(delete(UNSETTLED).where(mine))


def remove_traces(database: Database, *, owner: str | None) -> None:
    """Remove what is left of erased rows in the database and its log, where the journal asks so.

    Raises:
        CasebookError: the log cannot be emptied because another program keeps reading.
    """
    mine = and_(_entries_of(owner), UNSETTLED.c.path == TRACES)
    if not _any(database, mine):
        return
    if not database.leave_no_traces():
        raise CasebookError(
            f"the log of {database.where} cannot be emptied, because another program reads "
            "the casebook all the time; end that first."
        )
    with database.writing.begin() as connection:
        connection.execute(delete(UNSETTLED).where(mine))


def _entries_of(owner: str | None) -> ColumnElement[bool]:
    return true() if owner is None else UNSETTLED.c.owner == owner


def _any(database: Database, entries: ColumnElement[bool]) -> bool:
    with database.reading.begin() as connection:
        return bool(connection.scalar(select(exists().where(entries))))


def _is_named(connection: Connection, path: str) -> bool:
    name = path.rpartition("/")[2].partition(".")[0]
    is_encoder = path.startswith(f"{ENCODER_FOLDER}/")
    named = ENCODERS.c.id == name if is_encoder else IMAGES.c.sha256 == name
    return bool(connection.scalar(select(exists().where(named))))
