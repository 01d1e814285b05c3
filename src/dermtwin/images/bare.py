"""Pictures without anything beside their pixels: no EXIF, no place, no date, no comment.

A JPEG keeps its compressed pixels, bit for bit, with the tables that decode them; of its other
segments stay what tells its colours (JFIF without its thumbnail, Adobe), and of EXIF nothing but
which way is up. What follows its end is cut off.
Any other picture becomes a PNG of the pixels as dermtwin sees them: upright, 8-bit RGB.
"""

import io

from PIL import Image

from dermtwin.images.pictures import decode, read_header

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_RESTARTS = range(0xD0, 0xD8)
# Frames and Huffman tables, scans, quantisation, lines, restart interval: all that decoding needs.
_NEEDED = frozenset({*range(0xC0, 0xD0), _SCAN, 0xDB, 0xDC, 0xDD}) - {0xC8}
# A JFIF segment to its thumbnail, and an Adobe segment, by marker; what may follow is cut off.
_COLOURS = {0xE0: (b"JFIF\0", 12, b"\0\0"), 0xEE: (b"Adobe", 12, b"")}
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_UPRIGHT = 1


def bare(data: bytes, *, name: str) -> bytes:
    """A picture file without anything beside its pixels.

    Args:
        data: a picture file's bytes.
        name: what to call it in errors.

    Raises:
        ImageError: the bytes are no picture that dermtwin accepts.
    """
    if read_header(data, name=name).format == "JPEG":
        try:
            return _bare_jpeg(data)
        except (IndexError, ValueError):
            pass  # built otherwise than the standard says; its pixels may be readable all the same
    file = io.BytesIO()
    Image.fromarray(decode(data, name=name)).save(file, "PNG")
    return file.getvalue()


def _bare_jpeg(data: bytes) -> bytes:
    """The first picture of a JPEG file, segment by segment (ITU-T T.81, B.1).

    Raises:
        ValueError, IndexError: it is not built as the standard says.
    """
    if data[:2] != bytes([0xFF, _START]):
        raise ValueError("no start")
    kept, place = [data[:2], _turning(data)], 2
    while True:
        place = _marker(data, place)
        marker = data[place + 1]
        if marker == _END:
            return b"".join([*kept, data[place : place + 2]])
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if end > len(data) or end < place + 4:
            raise ValueError("a segment of no length")
        if marker == _SCAN:
            end = _scan_end(data, end)
        if marker in _NEEDED:
            kept.append(data[place:end])
        elif marker in _COLOURS:
            kept.append(_colours(marker, data[place + 4 : end]))
        place = end


def _colours(marker: int, content: bytes) -> bytes:
    """The segment that tells a picture's colours, with nothing else; empty for another's."""
    begin, length, rest = _COLOURS[marker]
    if not content.startswith(begin) or len(content) < length:
        return b""
    told = content[:length] + rest
    return bytes([0xFF, marker]) + (len(told) + 2).to_bytes(2, "big") + told


def _marker(data: bytes, place: int) -> int:
    """Where the marker at a place begins, past its fill bytes."""
    if data[place] != 0xFF:
        raise ValueError("no marker")
    while data[place + 1] == 0xFF:
        place += 1
    return place


def _scan_end(data: bytes, place: int) -> int:
    """Where a scan's compressed data ends: at a marker that is no restart and no stuffed byte."""
    while True:
        place = data.index(b"\xff", place)
        following = data[place + 1]
        if following not in (0x00, 0xFF) and following not in _RESTARTS:
            return place
        place += 1 if following == 0xFF else 2


def _turning(data: bytes) -> bytes:
    """An EXIF segment that says which way is up and nothing else; empty for upright pictures."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "MPO"]) as picture:
            orientation = picture.getexif().get(_ORIENTATION, _UPRIGHT)
    except Exception as error:  # a damaged EXIF segment makes Pillow raise almost anything
        raise ValueError("no EXIF") from error
    if orientation not in range(2, 9):
        return b""
    exif = Image.Exif()
    exif[_ORIENTATION] = int(orientation)  # some write 6.0
    said = exif.tobytes()
    said = said if said.startswith(_EXIF) else _EXIF + said
    return b"\xff\xe1" + (len(said) + 2).to_bytes(2, "big") + said
