"""`dermtwin restore`: a casebook back from a backup."""

from dataclasses import dataclass
from pathlib import Path

from dermtwin.casebook import Casebook, CheckReport, check_casebook
from dermtwin.casebook.backup import BackupReport, verify
from dermtwin.casebook.backup import restore as put_back
from dermtwin.running import Track, untracked


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What was restored, and what `check` says of it."""

    backup: BackupReport
    check: CheckReport

    def __str__(self) -> str:
        return f"restored {self.backup.path} of {self.backup.made_at}: {self.check}"


def restore(path: str | Path, *, casebook: str | Path, track: Track = untracked) -> RestoreReport:
    """Make a casebook from a backup, in an empty place, and check it.

    A backup of a folder may go into PostgreSQL, and the other way round.

    Args:
        path: the backup.
        casebook: a folder that is empty or not there yet, or the PostgreSQL URL of an empty
            database.
        track: looks on while files are read and written.

    Raises:
        CasebookError: the backup is damaged or made by a newer dermtwin; the place is not empty or
            cannot be written.
    """
    # A damaged backup leaves nothing behind, not even an empty casebook.
    found = verify(Path(path), track=track)
    with Casebook.open_or_make(casebook) as opened:
        put_back(found, opened, track=track)
        return RestoreReport(backup=found, check=check_casebook(opened, track=track))
