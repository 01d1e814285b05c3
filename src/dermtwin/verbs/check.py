"""`dermtwin check`: does everything hold in a casebook?"""

from dataclasses import replace
from pathlib import Path

from dermtwin.casebook import Casebook, CheckReport, check_casebook
from dermtwin.casebook.coding import Encode
from dermtwin.casebook.repairing import repair_casebook
from dermtwin.encoders import Encoder
from dermtwin.errors import CasebookError, EncoderError
from dermtwin.running import Track, untracked
from dermtwin.verbs.reencode import encode_by


def check(*, casebook: str | Path, repair: bool = False, track: Track = untracked) -> CheckReport:
    """Look after every invariant of a casebook; each of its files is read whole.

    Every code has its image and its encoder, every case its row and file, every file its row, and
    every hash matches. What an interrupted `add` or `forget` left is settled first.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        repair: first put right what can be: files of dermtwin's own making and rows that nothing
            uses are removed, missing thumbnails and codes made anew. The report says what was done,
            and its problems are what is left.
        track: looks on while files are read.

    Raises:
        CasebookError: there is no casebook, its database cannot be read at all, or cannot be
            written to repair it.
    """
    with Casebook.open(casebook) as opened:
        repaired: tuple[str, ...] = ()
        if repair:
            repaired = repair_casebook(opened, encode=_encode(opened), track=track)
        return replace(check_casebook(opened, track=track), repaired=repaired)


def _encode(casebook: Casebook) -> Encode | None:
    """How the casebook's encoder is asked; None where there is none that can be used."""
    try:
        record, data = casebook.encoder_data()
        return encode_by(Encoder(data, name=f"the encoder {record.label} of {casebook.path}"))
    except (CasebookError, EncoderError):
        # `check` tells what is wrong with it.
        return None
