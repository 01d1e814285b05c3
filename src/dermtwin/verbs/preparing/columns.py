"""What was found in a picture, as the columns of a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from dermtwin.preparation import Findings, Quality
from dermtwin.vocabulary import Artefact

CROP = ("crop_left", "crop_top", "crop_right", "crop_bottom")
LESION = ("lesion_fraction", "lesion_confidence")
REMARKS = "remarks"
ARTEFACTS: Mapping[Artefact, str] = {
    Artefact.HAIR: "hair_fraction",
    Artefact.INK: "ink_fraction",
    Artefact.DARK_CORNER: "dark_corner_fraction",
    Artefact.GEL_BORDER: "gel_border_fraction",
    Artefact.RULER: "ruler_fraction",
    Artefact.GEL_BUBBLE: "bubble_fraction",
    Artefact.PATCHES: "patch_fraction",
}
QUALITY: Mapping[str, str] = {each.name: f"quality_{each.name}" for each in fields(Quality)}
COLUMNS = (*CROP, *LESION, *ARTEFACTS.values(), *QUALITY.values(), REMARKS)
"""The columns that preparation adds, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A column of numbers and what it says, for a person."""

    column: str
    title: str
    meaning: str


QUANTITIES = tuple(
    Quantity(column=column, title=title, meaning=meaning)
    for column, title, meaning in (
        ("lesion_fraction", "lesion", "share of the picture"),
        ("lesion_confidence", "trust in the outline", "expected Jaccard index, 0 to 1"),
        ("hair_fraction", "hair", "share of the picture"),
        ("ink_fraction", "ink", "share of the picture"),
        ("dark_corner_fraction", "dark corners", "share of the picture"),
        ("gel_border_fraction", "gel border", "share of the picture"),
        ("ruler_fraction", "ruler", "share of the picture"),
        ("bubble_fraction", "bubbles", "share of the picture"),
        ("patch_fraction", "coloured patches", "share of the picture"),
        ("quality_sharpness", "sharpness", "about 1 is blurred, 2 is sharp"),
        ("quality_brightness", "brightness", "mean grey level, 0 to 1"),
        ("quality_clipped", "plain white or black", "share of the pixels"),
        ("quality_colourfulness", "colour", "0 is black and white"),
        ("quality_lesion_pixels", "diameter of the lesion", "pixels of the original"),
        ("quality_border_share", "outline on the border", "share of the lesion outline"),
        ("quality_skin", "colours of skin", "0 to 1"),
    )
)
"""Every quantity that the report shows the distribution of."""


def cells_of(findings: Findings) -> dict[str, str]:
    """The row's new cells, by column; what is not defined is empty."""
    crop, lesion = findings.crop, findings.lesion
    sides = (crop.left, crop.top, crop.right, crop.bottom)
    found = (lesion.fraction, lesion.confidence) if lesion else (math.nan, math.nan)
    return {
        **{name: str(side) for name, side in zip(CROP, sides, strict=True)},
        **{name: _told(value) for name, value in zip(LESION, found, strict=True)},
        **{
            name: _told(findings.artefacts[kind].fraction) if kind in findings.artefacts else ""
            for kind, name in ARTEFACTS.items()
        },
        **{name: _told(getattr(findings.quality, own)) for own, name in QUALITY.items()},
        REMARKS: " ".join(findings.remarks),
    }


def _told(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
