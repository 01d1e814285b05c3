"""The report of `dermtwin prepare`: every quantity's distribution, and what needs an eye."""

from dataclasses import dataclass

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.evaluation.pictures.style import DARK, LIGHT
from dermtwin.evaluation.pictures.tiles import data_uri
from dermtwin.images import load
from dermtwin.verbs.preparing.columns import QUANTITIES, REMARKS, Quantity
from dermtwin.verbs.preparing.prepared import Prepared
from dermtwin.vocabulary import DRAWN_NOTICE

SHOWN = 200
"""How many of the pictures for the eye the page shows; all stand in the table."""

_BINS = 30
_THUMBNAIL = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A quantity over all pictures.

    Attributes:
        quantity: which.
        known: pictures for which it is defined.
        low, median, high: the smallest, middle and largest value.
        bars: heights from 0 to 1, of equal steps from `low` to `high`.
    """

    quantity: Quantity
    known: int
    low: float
    median: float
    high: float
    bars: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """A picture for the eye: data addresses of it and of its crop, and what is said of it."""

    name: str
    raw: str
    crop: str
    remarks: str


def report_page(prepared: Prepared, *, sheet: Image.Image) -> str:
    """The page, with everything in it.

    Args:
        prepared: the new dataset.
        sheet: its contact sheet.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("dermtwin.verbs.preparing", "templates"),
                # The evaluation's page has the style.
                jinja2.PackageLoader("dermtwin.evaluation.report", "templates"),
            ]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["short"] = short
    doubtful = prepared.for_the_eye()
    return environment.get_template("prepare.html.j2").render(
        prepared=prepared,
        distributions=distributions(prepared),
        not_found=sum(not cells["lesion_confidence"] for cells in prepared.cells),
        for_the_eye=len(doubtful),
        shown=[_doubtful(prepared, index) for index in doubtful[:SHOWN]],
        sheet=data_uri(np.asarray(sheet)),
        drawn_notice=DRAWN_NOTICE,
        light=LIGHT,
        dark=DARK,
    )


def short(value: float) -> str:
    """A number for reading: three digits; what is next to nothing is 0."""
    return f"{value:.3g}" if abs(value) >= 5e-4 else "0"


def distributions(prepared: Prepared) -> list[Distribution]:
    """Every quantity that is known of any picture."""
    found = []
    for quantity in QUANTITIES:
        written = [cells[quantity.column] for cells in prepared.cells]
        values = np.array([float(value) for value in written if value])
        if len(values):
            found.append(_distribution(quantity, values))
    return found


def _distribution(quantity: Quantity, values: NDArray[np.float64]) -> Distribution:
    counts, _ = np.histogram(values, bins=_BINS, range=_span(values))
    return Distribution(
        quantity=quantity,
        known=len(values),
        low=float(values.min()),
        median=float(np.median(values)),
        high=float(values.max()),
        bars=tuple((counts / counts.max()).tolist()),
    )


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    """From the smallest to the largest; a single value gets a step of its own."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1)


def _doubtful(prepared: Prepared, index: int) -> Doubtful:
    row = prepared.rows[index]
    raw, crop = (
        data_uri(_small(load(path, at_least=_THUMBNAIL)))
        for path in (row.image, prepared.crops[index])
    )
    return Doubtful(
        name=row.case.isic_id, raw=raw, crop=crop, remarks=prepared.cells[index][REMARKS]
    )


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels)
    picture.thumbnail((2 * _THUMBNAIL, _THUMBNAIL))
    return np.asarray(picture)
