"""Bytes to checked pixels: the one door through which every picture enters.

Only JPEG, PNG, TIFF, BMP and WebP are ever decoded, the header's size is checked before the pixels
are, and what comes out is upright 8-bit RGB, whoever asks. A DICOM file is taken for the picture
in it, and its header is left behind where the file is read.

What happens to the unusual, on purpose:

    EXIF orientation     turned upright
    CMYK, palette, grey  converted to RGB
    transparency         laid over white
    16-bit grey          the upper eight bits; of a TIFF refused where white is 0
    12-bit grey          refused (Pillow does not stretch it)
    32-bit channels      refused (no agreed black and white)
    several pages        refused; of a phone's multi-picture JPEG the first is the photo
    colour profiles      passed over: encoders learnt and were measured without them
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from dermtwin.errors import ImageError
from dermtwin.images.dicom import is_dicom, picture_in

Rgb = NDArray[np.uint8]
"""A picture: uint8 [height, width, 3], red-green-blue, upright."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm")
MAX_BYTES = 256 * 2**20
MAX_PIXELS = 80_000_000
# Pillow warns a little above our limit; its own documentation makes the warning an error this way.
warnings.simplefilter("error", Image.DecompressionBombWarning)

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
# Pillow's name for a JPEG that carries further pictures (depth, preview), as phones write it.
_MULTI_PICTURE_JPEG = "MPO"
_READABLE = "JPEG, PNG, TIFF, BMP or WebP"
_DEEP_GREY_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture's first bytes say: format and size before any turning, in pixels."""

    format: str
    width: int
    height: int


def digest(data: bytes) -> str:
    """The SHA-256 of an image file, in hexadecimal: its name wherever it is kept."""
    return hashlib.sha256(data).hexdigest()


def read_file(path: Path) -> bytes:
    """Read an image file whole; of a DICOM file, the picture in it (`images.dicom`).

    Raises:
        ImageError: it is missing, unreadable, larger than `MAX_BYTES`, or a DICOM file without a
            picture that dermtwin accepts.
        MissingExtraError: it is a DICOM file, and the extra `dicom` is not installed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path} cannot be read: {reason}; check the path.") from error
    if len(data) > MAX_BYTES:
        limit = MAX_BYTES // 2**20
        raise ImageError(f"{path} is larger than {limit} MiB; export a smaller copy.")
    return picture_in(data, name=str(path), most_pixels=MAX_PIXELS) if is_dicom(data) else data


def read_header(data: bytes, *, name: str) -> Header:
    """Check format, size and page count from the header alone; no pixel is decoded.

    Args:
        data: the file's bytes.
        name: what to call it in errors.

    Raises:
        ImageError: not one of the five formats, too large, or several pages.
    """
    with _open(data, name=name) as picture:
        return Header(_format_of(picture), picture.width, picture.height)


def decode(data: bytes, *, name: str, at_least: int | None = None) -> Rgb:
    """Decode a picture to upright 8-bit RGB.

    Args:
        data: the file's bytes.
        name: what to call it in errors.
        at_least: pixels that the shorter side must keep. A larger JPEG is then decoded at a half, a
            quarter or an eighth of its size, which costs a fraction of the time.

    Raises:
        ImageError: the bytes are no such picture, are damaged, or are too large.
    """
    with _open(data, name=name) as picture:
        if at_least is not None:
            picture.draft(None, (at_least, at_least))
        try:
            upright = ImageOps.exif_transpose(picture)
            return np.ascontiguousarray(_as_rgb(upright, name=name))
        except ImageError:
            raise
        except Exception as error:  # Pillow's decoders raise whatever a damaged stream leads to
            reason = f"{name} is damaged ({_reason(error)}); fetch or export it again."
            raise ImageError(reason) from error


def load(path: Path, *, at_least: int | None = None) -> Rgb:
    """Read and decode an image file; see `read_file` and `decode`."""
    return decode(read_file(path), name=str(path), at_least=at_least)


def _open(data: bytes, *, name: str) -> Image.Image:
    """Parse the header and refuse what must not be decoded."""
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        pages = getattr(picture, "n_frames", 1)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except Exception as error:  # a foreign file makes Pillow's parsers raise almost anything
        raise ImageError(
            f"{name} is not a picture dermtwin reads, or is cut short; export it as {_READABLE}."
        ) from error
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(name, size=f" of {picture.width}x{picture.height} pixels")
    if pages > 1 and picture.format != _MULTI_PICTURE_JPEG:
        raise ImageError(f"{name} holds {pages} pictures; export the one you mean by itself.")
    if picture.mode in _DEEP_GREY_MODES and isinstance(picture, TiffImageFile):
        _refuse_odd_greys(picture, name=name)
    return picture


def _refuse_odd_greys(picture: TiffImageFile, *, name: str) -> None:
    """Raise ImageError where a TIFF's deep greys do not run from 0, black, to 65535, white.

    Pillow gives them as they stand in the file; 8-bit ones it stretches and turns round.
    """
    if (bits := picture.tag_v2[BITSPERSAMPLE][0]) != 16:
        raise ImageError(f"{name} has greys of {bits} bits; export it with 8 or 16 bits.")
    if picture.tag_v2.get(PHOTOMETRIC_INTERPRETATION, 0) == 0:
        raise ImageError(f"{name} has 16-bit greys with white as 0; export it with black as 0.")


def _too_large(name: str, *, size: str = "") -> ImageError:
    limit = MAX_PIXELS // 10**6
    return ImageError(f"{name} has a header{size} beyond {limit} megapixels; export it smaller.")


def _format_of(picture: Image.Image) -> str:
    return "JPEG" if picture.format == _MULTI_PICTURE_JPEG else str(picture.format)


def _as_rgb(picture: Image.Image, *, name: str) -> Rgb:
    if picture.mode in _DEEP_GREY_MODES:
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.mode in ("I", "F"):
        raise ImageError(f"{name} has 32 bits a channel; export it with 8 bits.")
    if picture.has_transparency_data:
        picture = _over_white(picture.convert("RGBA"))
    return np.asarray(picture.convert("RGB"))


def _over_white(picture: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
