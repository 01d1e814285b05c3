"""A row's picture made ready for the casebook: read once, checked, encoded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.casebook import NewImage, Record
from dermtwin.consultation import BITS, OUTPUT
from dermtwin.datasets import Row, SmallGrey, perceptual_hashes, small_grey
from dermtwin.encoders import Encoder
from dermtwin.errors import ImageError
from dermtwin.images import (
    THUMBNAIL_SIDE,
    decode,
    digest,
    make_thumbnail,
    read_file,
    read_header,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A new picture, ready to go in.

    Attributes:
        image: what the casebook keeps of it.
        hashes: perceptual hashes of its eight ways, uint64 [8].
        grey: as pictures are compared.
        remarks: what is said of it, where its lesion was not found.
    """

    image: NewImage
    hashes: NDArray[np.uint64]
    grey: SmallGrey
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A row whose file was read.

    Attributes:
        sha256: the image's digest.
        known: the case of its name that is in the casebook.
        picture: what is to go in; None: the case is known, or the row cannot be used.
        error: why it cannot be used.
    """

    row: Row
    sha256: str = ""
    known: Record | None = None
    picture: Picture | None = None
    error: str = ""


def make_ready(row: Row, known: Record | None, *, encoder: Encoder) -> Ready:
    """Read a row's image; encode it unless its case is known."""
    try:
        return make_ready_of(row, read_file(row.image), known, encoder=encoder)
    except ImageError as error:
        return Ready(row, error=str(error))


def make_ready_of(row: Row, data: bytes, known: Record | None, *, encoder: Encoder) -> Ready:
    """Encode a row's image from its bytes unless its case is known; raises ImageError."""
    if known is not None:
        return Ready(row, digest(data), known)
    picture = _picture(data, name=str(row.image), encoder=encoder)
    return Ready(row, picture.image.sha256, picture=picture)


def _picture(data: bytes, *, name: str, encoder: Encoder) -> Picture:
    header = read_header(data, name=name)
    look = encoder.look(data, name=name)
    codes = encoder.encode_views(look.view[None])
    bits = codes.by_output.get(BITS)
    # A second time, but at a part of its size, which is a twentieth of the encoder's work.
    pixels = decode(data, name=name, at_least=THUMBNAIL_SIDE)
    grey = small_grey(pixels)
    hashes = perceptual_hashes(grey)
    image = NewImage(
        data=data,
        sha256=digest(data),
        header=header,
        thumbnail=make_thumbnail(pixels),
        vector=codes.vectors(OUTPUT)[0],
        bits=None if bits is None else np.packbits(bits[0] > 0).tobytes(),
        phash=int(hashes[0]),
    )
    is_lost = look.findings is not None and look.findings.lesion is None
    remarks = look.remarks if is_lost else ()
    return Picture(image=image, hashes=hashes, grey=grey, remarks=remarks)
