"""`dermtwin reencode`: another encoder for a casebook."""

from pathlib import Path

import numpy as np

from dermtwin.casebook import Casebook
from dermtwin.casebook.coding import Coded, Encode, NewEncoder, ReencodeReport
from dermtwin.casebook.coding import reencode as give_codes
from dermtwin.consultation import BITS, OUTPUT
from dermtwin.encoders import Encoder
from dermtwin.running import Track, untracked


def reencode(
    *, casebook: str | Path, encoder: str | Path, track: Track = untracked
) -> ReencodeReport:
    """Give every case a code by another encoder, and make that the casebook's.

    The present codes answer until all new ones are there; then one step switches. A run that was
    cut short is taken up where it stopped.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        encoder: the encoder file.
        track: looks on while pictures are encoded.

    Raises:
        EncoderError: the encoder cannot be opened, or has no codes to search.
        CasebookError: there is no case yet, an image cannot be read, the casebook cannot be
            written, or another process re-encodes it.
    """
    opened_encoder = Encoder.open(encoder)
    opened_encoder.check_output(OUTPUT)
    new = NewEncoder(
        id=opened_encoder.id,
        card=opened_encoder.card.to_json(),
        data=opened_encoder.data,
        encode=encode_by(opened_encoder),
    )
    with Casebook.open(casebook) as opened:
        return give_codes(opened, new, track=track)


def encode_by(encoder: Encoder) -> Encode:
    """How a casebook asks an encoder for a picture's code."""

    def encode(data: bytes, name: str) -> Coded:
        codes = encoder.encode(data, name=name)
        bits = codes.by_output.get(BITS)
        return Coded(
            vector=codes.vectors(OUTPUT)[0],
            bits=None if bits is None else np.packbits(bits[0] > 0).tobytes(),
        )

    return encode
