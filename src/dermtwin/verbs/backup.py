"""`dermtwin backup`: a casebook into one file."""

from pathlib import Path

from dermtwin.casebook import Casebook
from dermtwin.casebook.backup import BackupReport, back_up
from dermtwin.running import Track, untracked


def backup(path: str | Path, *, casebook: str | Path, track: Track = untracked) -> BackupReport:
    """Write one moment of a casebook to a file, while others may read and write it.

    Args:
        path: a file that is not there yet; it appears once it was read again and found whole.
        casebook: the casebook's folder or PostgreSQL URL.
        track: looks on while files are written and read again.

    Raises:
        CasebookError: the file is there already; the casebook misses a file or cannot note that
            this backup exists.
        DermtwinError: the file cannot be written.
    """
    with Casebook.open(casebook) as opened:
        return back_up(opened, Path(path), track=track)
