"""The contact sheet: pictures and their crops side by side, as in the paper's Figure 6."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dermtwin.images import Rgb, load
from dermtwin.preparation import Box, Findings, Mask, Preparation
from dermtwin.running import Track, in_order
from dermtwin.verbs.preparing.columns import CROP
from dermtwin.verbs.preparing.prepared import Prepared
from dermtwin.vocabulary import DRAWN_NOTICE, Artefact

CASES = 40

_RAW, _CROP = (288, 216), (216, 216)
_GAP, _APART, _EDGE = 8, 36, 40
_CAPTION, _HEAD, _COLUMNS = 26, 96, 4
_PAPER, _INK, _MUTED = "#ffffff", "#211d2b", "#6d687a"
_LESION, _BOX = "#17c964", "#ffffff"
_COLOURS: Mapping[Artefact, str] = {
    Artefact.HAIR: "#ffd60a",
    Artefact.RULER: "#00d5ff",
    Artefact.INK: "#ff2fd0",
    Artefact.GEL_BUBBLE: "#c3a6ff",
    Artefact.GEL_BORDER: "#ff8a1f",
    Artefact.DARK_CORNER: "#ff3b30",
    Artefact.PATCHES: "#4d7dff",
}
# Of a small pixel, how much must be an artefact: hair is thinner than a pixel here.
_COVERED = 64


@dataclass(frozen=True, slots=True)
class _Pair:
    """A case on the sheet: the picture with its outlines, and its crop."""

    name: str
    raw: Image.Image
    crop: Image.Image


def contact_sheet(prepared: Prepared, *, track: Track) -> Image.Image:
    """Up to 40 cases: the picture with masks and crop as thin outlines, beside it the crop.

    Args:
        prepared: the new dataset; the originals are examined once more for their masks.
        track: watches the pictures go by.
    """
    shown = prepared.sample(CASES)
    made = in_order(partial(_pair, prepared), shown)
    pairs = list(track(made, label="contact sheet", total=len(shown)))
    step = (_RAW[0] + _GAP + _CROP[0] + _APART, _RAW[1] + _CAPTION + _APART // 2)
    across = min(_COLUMNS, len(pairs))
    down = -(-len(pairs) // across)
    # The legend needs two columns.
    width = max(across, 2) * step[0] - _APART + 2 * _EDGE
    sheet = Image.new("RGB", (width, down * step[1] + _HEAD + _EDGE // 2), _PAPER)
    _write_head(sheet, is_drawn=prepared.is_drawn)
    for place, pair in enumerate(pairs):
        left, top = _EDGE + place % across * step[0], _HEAD + place // across * step[1]
        _paste(sheet, pair, left=left, top=top)
    return sheet


def _pair(prepared: Prepared, index: int) -> _Pair:
    row, cells = prepared.rows[index], prepared.cells[index]
    pixels = load(row.image)
    box = Box(*(int(cells[name]) for name in CROP))
    crop = _fitted(pixels[box.slices], _CROP)
    raw = outlined(prepared.preparation, pixels, box=box)
    return _Pair(row.case.isic_id, raw, Image.fromarray(crop))


def outlined(preparation: Preparation, pixels: Rgb, *, box: Box) -> Image.Image:
    """A small picture with what was found in it as thin outlines, and the crop as a rectangle."""
    small = _fitted(pixels, _RAW)
    findings = preparation.examine(pixels)
    for mask, colour in _masks(findings):
        small[_outline(mask, like=small)] = _channels(colour)
    picture = Image.fromarray(small)
    _draw_box(picture, box, scale=small.shape[1] / pixels.shape[1])
    return picture


def _masks(findings: Findings) -> Sequence[tuple[Mask, str]]:
    """The lesion comes last, so that its outline lies over the others."""
    found = [(findings.artefact_mask(kind), colour) for kind, colour in _COLOURS.items()]
    return [*found, (findings.lesion.mask, _LESION)] if findings.lesion else found


def _outline(mask: Mask, *, like: Rgb) -> Mask:
    size = (like.shape[1], like.shape[0])
    small = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > _COVERED
    inside = small.astype(np.uint8)
    # What ends at the picture's edge is closed there.
    core = cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT)
    outline: Mask = small & (core == 0)
    return outline


def _draw_box(picture: Image.Image, box: Box, *, scale: float) -> None:
    """White within black, to be seen on any skin."""
    pen = ImageDraw.Draw(picture)
    left, top = round(box.left * scale), round(box.top * scale)
    right, bottom = round(box.right * scale) - 1, round(box.bottom * scale) - 1
    pen.rectangle((left, top, right, bottom), outline="#000000")
    pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=_BOX, width=2)


def _fitted(pixels: Rgb, size: tuple[int, int]) -> Rgb:
    """The whole picture, as large as it fits: a new array."""
    height, width = pixels.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    small = Image.fromarray(pixels).resize(
        (max(4, round(width * scale)), max(4, round(height * scale))),
        Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC,
        reducing_gap=2.0,
    )
    return np.array(small)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _paste(sheet: Image.Image, pair: _Pair, *, left: int, top: int) -> None:
    crop_left = left + _RAW[0] + _GAP
    for picture, start, size in ((pair.raw, left, _RAW), (pair.crop, crop_left, _CROP)):
        spare = (size[0] - picture.width) // 2, (size[1] - picture.height) // 2
        sheet.paste(picture, (start + spare[0], top + spare[1]))
    font = ImageFont.load_default(14)
    ImageDraw.Draw(sheet).text((left, top + _RAW[1] + 5), pair.name, _MUTED, font)


def _write_head(sheet: Image.Image, *, is_drawn: bool) -> None:
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    notice = f" ({DRAWN_NOTICE})" if is_drawn else ""
    title = f"Pictures as they came, and the crops of them{notice}"
    pen.text((_EDGE, 22), title, _INK, ImageFont.load_default(20))
    left = float(_EDGE)
    keys = {"crop": _BOX, "lesion": _LESION} | {
        kind.value.replace("_", " "): colour for kind, colour in _COLOURS.items()
    }
    for name, colour in keys.items():
        pen.rectangle((left, 60, left + 16, 76), outline="#000000", width=1, fill=colour)
        pen.text((left + 24, 59), name, _INK, font)
        left += 24 + font.getlength(name) + 24
