"""`dermtwin encode`: pictures in, codes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets import names_cases, read_dataset
from dermtwin.encoders import Encoder, look_at
from dermtwin.errors import DatasetError, ImageError, MissingExtraError, SettingsError
from dermtwin.files import write_bytes
from dermtwin.images import SUFFIXES, read_file
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import BASE_ENCODER

MAP = "map"
"""The output that is a picture: the paper's image code."""

_SHOWN_PIXELS = 400

_Picture = tuple[Path, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A picture's code.

    Attributes:
        image: the file, as it was named.
        isic_id: the case's name; None for a picture that came by itself.
        encoder: the encoder's id.
        output: which of the encoder's outputs `code` is.
        code: float32 [D].
        bits: the bit code in hexadecimal; None where the encoder has none.
    """

    image: Path
    isic_id: str | None
    encoder: str
    output: str
    code: NDArray[np.float32]
    bits: str | None

    def to_json(self) -> dict[str, Any]:
        """One object: `image`, `isic_id`, `encoder`, `code`, and `bits` where there are some."""
        named = {"image": str(self.image), "isic_id": self.isic_id, "encoder": self.encoder}
        # A float32 read back from its shortest text is the same float32.
        values = {"code": [float(str(number)) for number in self.code]}
        return named | values | ({} if self.bits is None else {"bits": self.bits})


def encode(
    images: Sequence[str | Path],
    *,
    encoder: str | Path = BASE_ENCODER,
    output: str = "code",
    picture: str | Path | None = None,
    track: Track = untracked,
) -> Iterator[Encoded | ImageError | DatasetError]:
    """Encode pictures and whole datasets, in their order.

    Args:
        images: image files, dataset folders or tables.
        encoder: the encoder file, or the name of the encoder that comes with dermtwin.
        output: `code`, `map`, or another of the encoder's outputs.
        picture: a PNG to write: the one image beside its colour-coded `map`.
        track: looks on while pictures go by.

    Yields:
        A code a picture; or, for a picture that cannot be read or a row that cannot be used, the
        error that says why.

    Raises:
        EncoderError: the encoder file is none, or has no such output.
        DatasetError: a folder is no dataset.
        SettingsError: a picture is asked for of several images.
        MissingExtraError: a picture is asked for without the extra `evaluate`.
    """
    opened = Encoder.open(encoder)
    opened.check_output(output)
    pictures = [each for path in images for each in _pictures(Path(path))]
    if picture is not None:
        _draw_code(opened, pictures, out=Path(picture))
    work = partial(_encode_one, opened, output=output)
    yield from in_order(work, track(pictures, label="encode", total=len(pictures)))


def _draw_code(encoder: Encoder, pictures: Sequence[_Picture | DatasetError], *, out: Path) -> None:
    if find_spec("matplotlib") is None:
        raise MissingExtraError("a picture of a code", extra="evaluate")
    from dermtwin.evaluation.pictures.beside import beside_code  # noqa: PLC0415 - needs the extra

    found = [each for each in pictures if not isinstance(each, DatasetError)]
    if len(found) != 1:
        raise SettingsError(f"a picture shows one image beside its code, got {len(found)}.")
    encoder.check_output(MAP)
    path = found[0][0]
    data, spec = read_file(path), replace(encoder.card.input, size=_SHOWN_PIXELS)
    seen = look_at(data, spec, name=str(path), preparation=encoder.preparation).view
    code = encoder.encode(data, name=str(path)).by_output[MAP][0]
    drawn = encoder.card.training.get("data", {}).get("drawn", False)
    png = beside_code(seen, code, title=path.name, encoder=encoder.label, is_drawn=drawn)
    write_bytes(out, png)


def _pictures(path: Path) -> list[_Picture | DatasetError]:
    """A picture by itself; or those of a dataset, and what is wrong with its other rows."""
    suffix = path.suffix.lower()
    is_table = suffix == ".csv" or (suffix not in SUFFIXES and names_cases(path))
    if not is_table and not path.is_dir():
        return [(path, None)]
    read = read_dataset(path)
    faults = [DatasetError(str(fault)) for fault in read.faults]
    return [*((row.image, row.case.isic_id) for row in read), *faults]


def _encode_one(
    encoder: Encoder, picture: _Picture | DatasetError, *, output: str
) -> Encoded | ImageError | DatasetError:
    if isinstance(picture, DatasetError):
        return picture
    path, isic_id = picture
    try:
        codes = encoder.encode(read_file(path), name=str(path))
    except ImageError as error:
        return error
    bits = codes.bits()
    return Encoded(
        image=path,
        isic_id=isic_id,
        encoder=encoder.id,
        output=output,
        code=codes.vectors(output)[0],
        bits=None if bits is None else bits[0],
    )
