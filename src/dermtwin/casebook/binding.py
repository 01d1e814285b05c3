"""A database and a folder that belong together: each holds the casebook's identity.

The record in PostgreSQL and its files lie in two places, and a URL can name the wrong pair. A
casebook in a folder of its own needs none of this.
"""

from sqlalchemy import Connection, exists, select

from dermtwin.casebook.schema import ENCODERS, IDENTITY
from dermtwin.casebook.store import Store
from dermtwin.errors import CasebookError
from dermtwin.files import write_text

IDENTITY_FILE = "casebook.id"


def bind(connection: Connection, store: Store) -> None:
    """Write a new casebook's identity into its folder.

    Raises:
        CasebookError: see `refuse_foreign`.
    """
    path = store.path(IDENTITY_FILE)
    # The encoder is the first file of every casebook.
    has_files = connection.scalar(select(exists().select_from(ENCODERS)))
    if not has_files and not path.exists():
        write_text(path, f"{_identity(connection)}\n")
    refuse_foreign(connection, store)


def refuse_foreign(connection: Connection, store: Store) -> None:
    """See to it that database and folder belong together.

    Raises:
        CasebookError: they do not.
    """
    try:
        found = store.path(IDENTITY_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        found = ""
    if found == _identity(connection):
        return
    whose = "is another casebook's" if found else "holds no files of this casebook"
    raise CasebookError(
        f"the folder {store.folder} {whose}; name the one that belongs to the database, after "
        "images= in the casebook's URL."
    )


def _identity(connection: Connection) -> str:
    return str(connection.scalar(select(IDENTITY.c.id)))
