"""Small pictures: thumbnails of cases, colour-coded codes, strips of a query and its hits."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dermtwin.evaluation.pictures.style import LIGHT
from dermtwin.images import Rgb, load
from dermtwin.vocabulary import DRAWN_NOTICE

THUMBNAIL = 120
"""Pixels on each side."""

_QUALITY = 84
_GAP, _FRAME, _LINE = 10, 6, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A case in a strip.

    Attributes:
        image: uint8 [THUMBNAIL, THUMBNAIL, 3].
        class_number: gives the frame its colour.
        lines: what stands below.
    """

    image: Rgb
    class_number: int
    lines: tuple[str, ...]


def thumbnail(path: Path) -> Rgb:
    """The centre of a picture: uint8 [THUMBNAIL, THUMBNAIL, 3]."""
    return crop(load(path, at_least=THUMBNAIL))


def crop(image: Rgb, *, side: int = THUMBNAIL) -> Rgb:
    """The largest centred square, scaled to `side`."""
    height, width = image.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = Image.fromarray(image[top : top + short, left : left + short])
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))


def colour_coded(code: NDArray[np.float32], *, side: int = 2 * THUMBNAIL) -> Rgb:
    """A code of two dimensions, values 0 to 1, in the colours of viridis: uint8 [side, side, 3]."""
    coloured = (colormaps["viridis"](np.clip(code, 0, 1))[..., :3] * 255).round().astype(np.uint8)
    enlarged = Image.fromarray(coloured).resize((side, side), Image.Resampling.NEAREST)
    return np.asarray(enlarged)


def data_uri(image: Rgb, *, kind: str = "JPEG") -> str:
    """A picture as an address that holds it."""
    encoded = base64.b64encode(_file(image, kind=kind)).decode()
    return f"data:image/{kind.lower()};base64,{encoded}"


def strips(rows: Sequence[Sequence[Tile]], *, is_drawn: bool) -> bytes:
    """Rows of a query and its hits as one PNG, frames in the colours of the classes."""
    lines = max(len(tile.lines) for row in rows for tile in row)
    cell = THUMBNAIL + 2 * _FRAME
    width = max(map(len, rows)) * (cell + _GAP) + 3 * _GAP
    height = len(rows) * (cell + lines * _LINE + 2 * _GAP) + 3 * _GAP
    sheet = Image.new("RGB", (width, height), LIGHT.paper)
    for number, row in enumerate(rows):
        top = _GAP + number * (cell + lines * _LINE + 2 * _GAP)
        for place, tile in enumerate(row):
            # The query stands a little apart from its hits.
            left = _GAP + place * (cell + _GAP) + (_GAP if place else 0)
            _paste(sheet, tile, left=left, top=top)
    return _finished(sheet, is_drawn=is_drawn)


def code_sheet(pairs: Sequence[tuple[Tile, Rgb]], *, columns: int = 4, is_drawn: bool) -> bytes:
    """Images beside their colour-coded codes as one PNG (the paper's Figure 2)."""
    cell = THUMBNAIL + 2 * _FRAME
    lines = max(len(tile.lines) for tile, _ in pairs)
    step = (2 * cell + 3 * _GAP, cell + lines * _LINE + _GAP)
    down = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * step[0] + _GAP, down * step[1] + 3 * _GAP), LIGHT.paper)
    for place, (tile, code) in enumerate(pairs):
        left, top = _GAP + place % columns * step[0], _GAP + place // columns * step[1]
        _paste(sheet, tile, left=left, top=top)
        sheet.paste(Image.fromarray(code).resize((cell, cell), 0), (left + cell + _GAP // 2, top))
    return _finished(sheet, is_drawn=is_drawn)


def _paste(sheet: Image.Image, tile: Tile, *, left: int, top: int) -> None:
    cell = THUMBNAIL + 2 * _FRAME
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((left, top, left + cell - 1, top + cell - 1), LIGHT.of_class(tile.class_number))
    sheet.paste(Image.fromarray(tile.image), (left + _FRAME, top + _FRAME))
    font = ImageFont.load_default(12)
    for number, line in enumerate(tile.lines):
        text = _fitted(line, font, width=cell)
        pen.text((left, top + cell + 3 + number * _LINE), text, LIGHT.ink, font)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, *, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _finished(sheet: Image.Image, *, is_drawn: bool) -> bytes:
    if is_drawn:
        font = ImageFont.load_default(12)
        place = (sheet.width - font.getlength(DRAWN_NOTICE) - _GAP, sheet.height - 2 * _GAP)
        ImageDraw.Draw(sheet).text(place, DRAWN_NOTICE, LIGHT.muted, font)
    return _file(np.asarray(sheet), kind="PNG")


def _file(image: Rgb, *, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=_QUALITY)
    return buffer.getvalue()
