"""Bytes to checked pixels: what pictures are accepted, and how each becomes upright RGB."""

from dermtwin.images.bare import bare
from dermtwin.images.dicom import DERMOSCOPIC, read_dicom_header
from dermtwin.images.pictures import (
    MAX_BYTES,
    MAX_PIXELS,
    SUFFIXES,
    Header,
    Rgb,
    decode,
    digest,
    load,
    read_file,
    read_header,
)
from dermtwin.images.thumbnails import THUMBNAIL_SIDE, make_thumbnail

__all__ = [
    "DERMOSCOPIC",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "THUMBNAIL_SIDE",
    "Header",
    "Rgb",
    "bare",
    "decode",
    "digest",
    "load",
    "make_thumbnail",
    "read_dicom_header",
    "read_file",
    "read_header",
]
