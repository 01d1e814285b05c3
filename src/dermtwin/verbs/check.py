"""`dermtwin check`: does everything hold in a casebook?"""

from pathlib import Path

from dermtwin.casebook import Casebook, CheckReport, check_casebook
from dermtwin.running import Track, untracked


def check(*, casebook: str | Path, track: Track = untracked) -> CheckReport:
    """Look after every invariant of a casebook; each of its files is read whole.

    Every code has its image and its encoder, every case its row and file, every file its row, and
    every hash matches. What an interrupted `add` or `forget` left is settled first.

    Args:
        casebook: the casebook's folder.
        track: looks on while files are read.

    Raises:
        CasebookError: there is no casebook, or its database cannot be read at all.
    """
    with Casebook.open(casebook) as opened:
        return check_casebook(opened, track=track)
