"""Image files that come in: bounded before they are read, and before they are decoded."""

from pathlib import PurePosixPath

from fastapi import UploadFile

from dermtwin.errors import ImageError
from dermtwin.images import read_header
from dermtwin.web.settings import ServerSettings

_LONGEST_NAME = 100


def name_of(image: UploadFile | None) -> str:
    """What to call an upload: its file's name as text, never a path."""
    given = "" if image is None else (image.filename or "")
    name = PurePosixPath(given.replace("\\", "/")).name
    name = "".join(each for each in name if each.isprintable())[-_LONGEST_NAME:]
    return name or "the image"


def read_upload(image: UploadFile, *, settings: ServerSettings) -> bytes:
    """An upload's bytes, once its header says that it may be decoded.

    Raises:
        ImageError: too many bytes or pixels, or none of the five formats.
    """
    data = image.file.read(settings.upload_bytes + 1)
    name = name_of(image)
    if len(data) > settings.upload_bytes:
        limit = settings.upload_bytes // 2**20
        raise ImageError(f"{name} is larger than {limit} MiB; export a smaller copy.")
    header = read_header(data, name=name)
    if header.width * header.height > settings.upload_pixels:
        raise ImageError(
            f"{name} has {header.width}x{header.height} pixels, more than the "
            f"{settings.upload_pixels // 10**6} megapixels taken here; export it smaller."
        )
    return data
