"""DICOM files with one photograph: its picture comes in, its header never does.

What comes out is a picture file that tells nobody's name: the JPEG frame as it was compressed, or a
PNG where the pixels were not compressed or without loss. Taken are VL Photographic and Dermoscopic
Photography images of one frame with 8 bits a sample; other classes are refused by their name.

A JPEG frame says by a JFIF or Adobe segment whether it holds RGB or YCbCr. Where it does not, the
header decides (Photometric Interpretation), and an Adobe segment that says so is put in
(ISO/IEC 10918-6:2013, 6.5.3). All other segments for applications and comments are left out: they
may hold names and dates of their own.
"""

import io
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from dermtwin.errors import ImageError, MissingExtraError

if TYPE_CHECKING:
    from pydicom import Dataset

DERMOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.7"
"""UID of the class Dermoscopic Photography Image."""

_CLASSES = ("1.2.840.10008.5.1.4.1.1.77.1.4", DERMOSCOPIC)
_PREAMBLE = 128
_MAGIC = b"DICM"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BASELINE, _EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_INTERPRETATIONS = ("MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422")

_START, _SCAN, _COMMENT = 0xD8, 0xDA, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
_COLOUR_SEGMENTS = (b"JFIF\0", b"Adobe")
_END = b"\xff\xd9"


def is_dicom(data: bytes) -> bool:
    """Whether a file's first bytes are those of a DICOM file."""
    return data[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC


def read_dicom_header(path: Path) -> "Dataset":
    """The header of a DICOM file that holds one photograph; its pixels are not read.

    Raises:
        ImageError: it cannot be read, is damaged, of another class, or holds several frames.
        MissingExtraError: the extra `dicom` is not installed.
    """
    try:
        with path.open("rb") as file:
            return _parse(file, name=str(path), stop_before_pixels=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path} cannot be read: {reason}; check the path.") from error


def picture_in(data: bytes, *, name: str, most_pixels: int) -> bytes:
    """The picture of a DICOM file as a JPEG or PNG file without anything of its header.

    Args:
        data: the file's bytes.
        name: what to call it in errors.
        most_pixels: a larger picture is refused before it is decoded.

    Raises:
        ImageError: it is damaged, of another class, of several frames, without pixels, or with
            pixels that are not read.
        MissingExtraError: the extra `dicom` is not installed.
    """
    header = _parse(io.BytesIO(data), name=name)
    _refuse_pixels(header, name=name, most_pixels=most_pixels)
    syntax = header.file_meta.get("TransferSyntaxUID")
    try:
        if syntax in (_BASELINE, _EXTENDED):
            return _bare_jpeg(_frame(header), is_rgb=header.PhotometricInterpretation == "RGB")
        if syntax in _LOSSLESS:
            return _as_png(_lossless(header))
        if not syntax.is_compressed:
            return _as_png(_uncompressed(header))
    except Exception as error:  # as in `_parse`
        raise ImageError(f"{name} is damaged ({_reason(error)}); export it again.") from error
    raise ImageError(
        f"{name} is compressed as {syntax.name}, which is not read; export it as JPEG Baseline."
    )


def _parse(file: BinaryIO, *, name: str, stop_before_pixels: bool = False) -> "Dataset":
    if find_spec("pydicom") is None:
        raise MissingExtraError("Reading DICOM files", extra="dicom")
    import pydicom  # noqa: PLC0415 - an extra

    # Odd values in fields that nobody asks for are no reason to refuse, or to warn of, a picture.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module="pydicom")
    try:
        _refuse_deflated(file, name=name)
        header: Dataset = pydicom.dcmread(file, stop_before_pixels=stop_before_pixels)
        kind, frames = header.get("SOPClassUID"), int(header.get("NumberOfFrames") or 1)
    except ImageError:
        raise
    except Exception as error:  # a damaged file makes parsers raise almost anything
        raise ImageError(f"{name} is damaged ({_reason(error)}); export it again.") from error
    if kind not in _CLASSES:
        called = "of no class" if kind is None else getattr(kind, "name", kind)
        raise ImageError(
            f"{name} is a DICOM file ({called}); only VL Photographic and Dermoscopic Photography "
            "images are taken."
        )
    if frames != 1:
        raise ImageError(f"{name} holds {frames} frames; export the one you mean by itself.")
    return header


def _refuse_deflated(file: BinaryIO, *, name: str) -> None:
    """Raise ImageError for a file that pydicom would inflate whole, to a thousand times its size.

    The file is at its beginning before and after.
    """
    from pydicom.filereader import read_dataset, read_preamble  # noqa: PLC0415 - an extra

    read_preamble(file, force=False)
    # As pydicom reads the file's first group, which is never deflated itself.
    first = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != 2,
    )
    file.seek(0)
    if first.get("TransferSyntaxUID") == _DEFLATED:
        raise ImageError(
            f"{name} is deflated, which is not read; export it uncompressed or as JPEG."
        )


def _refuse_pixels(header: "Dataset", *, name: str, most_pixels: int) -> None:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if not header.get("PixelData") or syntax is None:
        raise ImageError(f"{name} is a DICOM file without pixels; export the picture itself.")
    rows, columns = (int(header.get(side) or 0) for side in ("Rows", "Columns"))
    if rows * columns > most_pixels:
        raise ImageError(
            f"{name} has a header of {columns}x{rows} pixels beyond {most_pixels // 10**6} "
            "megapixels; export it smaller."
        )
    interpretation = header.get("PhotometricInterpretation")
    if interpretation not in _INTERPRETATIONS:
        raise ImageError(
            f"{name} has colours of the kind {interpretation}; export it as RGB or YBR_FULL_422."
        )
    if (bits := header.get("BitsAllocated")) != 8:
        raise ImageError(f"{name} has {bits} bits a sample; export it with 8 bits.")


def _frame(header: "Dataset") -> bytes:
    from pydicom.encaps import get_frame  # noqa: PLC0415 - an extra

    return get_frame(header.PixelData, 0, number_of_frames=1)


def _bare_jpeg(frame: bytes, *, is_rgb: bool) -> bytes:
    """A JPEG without segments for applications and comments but those that tell its colours."""
    if frame[:2] != bytes([0xFF, _START]):
        raise ValueError("its frame is no JPEG")
    place, kept, tells = 2, [], False
    while (marker := frame[place + 1]) != _SCAN:
        length = 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
        segment = frame[place : place + length]
        tells_colours = segment[4:9] in _COLOUR_SEGMENTS
        if tells_colours or (marker not in _APPLICATIONS and marker != _COMMENT):
            kept.append(segment)
        tells |= tells_colours
        place += length
    scan = frame[place : frame.rindex(_END) + len(_END)]
    return b"".join([frame[:2], *([] if tells else [_adobe(is_rgb=is_rgb)]), *kept, scan])


def _adobe(*, is_rgb: bool) -> bytes:
    """The Adobe segment of version 100 without flags; its last byte is 0 for RGB, 1 for YCbCr."""
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([0 if is_rgb else 1])


def _lossless(header: "Dataset") -> Image.Image:
    # Pillow decodes them only whole, so they would not bear `draft` later: their pixels are kept.
    frame = _bare_jpeg(_frame(header), is_rgb=header.PhotometricInterpretation == "RGB")
    with Image.open(io.BytesIO(frame), formats=["JPEG"]) as picture:
        picture.load()
        return picture


def _uncompressed(header: "Dataset") -> Image.Image:
    from pydicom.pixels.utils import pixel_array  # noqa: PLC0415 - an extra

    # RGB, whatever the interpretation and the planes' order; grey stays one channel.
    pixels: Any = pixel_array(header)
    return Image.fromarray(pixels)


def _as_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    # Nothing of what Pillow read beside the pixels goes along.
    Image.frombytes(picture.mode, picture.size, picture.tobytes()).save(file, "PNG")
    return file.getvalue()


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0].strip().rstrip(".") or type(error).__name__
