"""Backups and exports that were made of a casebook: whoever forgets a patient must know of them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import delete, insert, select

from dermtwin.casebook import auditing
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.schema import COPIES
from dermtwin.errors import CasebookError


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was made: what kind, where it was written, when (ISO 8601, UTC)."""

    kind: str
    path: str
    at: str


@contextmanager
def known_copy(
    casebook: Casebook,
    *,
    kind: Literal["backup", "export"],
    path: Path,
    cases: Collection[int] | None = None,
) -> Iterator[None]:
    """Note a copy before it is made, so that none is ever made unknown; strike it out if it fails.

    The audit log keeps the attempt in any case.

    Args:
        casebook: an open casebook.
        kind: what is made.
        path: where.
        cases: keys of the cases in it, which the audit log then names; None: it is of all cases.

    Raises:
        CasebookError: the casebook cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    values = {"kind": kind, "path": str(path.absolute()), "at": now}
    details = {"cases": "all" if cases is None else len(cases)}
    with casebook.writing() as connection:
        auditing.note(
            connection,
            verb=kind,
            cases=cases or (),
            subjects=[auditing.EVERYONE] if cases is None else [],
            details=details,
        )
        key = connection.scalar(insert(COPIES).returning(COPIES.c.key), values)
    try:
        yield
    except BaseException:
        with suppress(CasebookError), casebook.writing() as connection:
            connection.execute(delete(COPIES).where(COPIES.c.key == key))
        raise


def copies(casebook: Casebook) -> list[Copy]:
    """All copies that are known, the oldest first."""
    with casebook.reading() as connection:
        rows = connection.execute(select(COPIES).order_by(COPIES.c.key))
        return [Copy(row.kind, row.path, row.at) for row in rows]
