"""The page: everything that was measured, told to a person."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dermtwin.evaluation.groups import SMALLEST_GROUP
from dermtwin.evaluation.paper import PAPER_AVERAGE, PAPER_CHANCE, PAPER_TABLE_I
from dermtwin.evaluation.pictures.style import DARK, LIGHT, Picture
from dermtwin.evaluation.pictures.tiles import data_uri
from dermtwin.evaluation.protocols import BALANCED, GALLERY, LEAVE_ONE_OUT, PAPER
from dermtwin.evaluation.report.album import Album
from dermtwin.evaluation.report.contents import Contents, contents
from dermtwin.evaluation.scores import K
from dermtwin.evaluation.study import Study
from dermtwin.evaluation.subjects import Subjects
from dermtwin.evaluation.summary import MAP_MICRO
from dermtwin.vocabulary import DRAWN_NOTICE

PAGE = "report.html"

_PRECISION = f"precision@{K}"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evaluated:
    """What a report is made of.

    Attributes:
        record: as it stands in metrics.json.
        studies: by output.
        queries: the test images.
        albums: by protocol, the pictures of its gallery; those of leave-one-out are the queries'.
        codes: by output, the queries' codes in their own shape, float32 [N, …].
    """

    record: Mapping[str, Any]
    studies: Mapping[str, Study]
    queries: Subjects
    albums: Mapping[str, Album]
    codes: Mapping[str, NDArray[np.float32]]


def page_files(evaluated: Evaluated) -> dict[str, bytes]:
    """The report and its pictures, by file name."""
    shown = contents(
        {name: each for name, each in evaluated.studies.items() if not each.derived},
        albums=evaluated.albums,
        queries=evaluated.queries,
        codes=evaluated.codes,
        is_drawn=evaluated.record["drawn"],
    )
    files = {f"{name}.png": each.png for name, each in shown.plots.items()}
    files |= {f"{name}.png": png for name, png in shown.sheets.items()}
    return files | {PAGE: _render(evaluated, shown).encode()}


def comparison_page(record: Mapping[str, Any]) -> str:
    """The page of `dermtwin compare`; `record` is what stands in compare.json."""
    return (
        _environment()
        .get_template("compare.html.j2")
        .render(record=record, drawn_notice=DRAWN_NOTICE, light=LIGHT, dark=DARK)
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dermtwin.evaluation.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "thousands": "{:,}".format,
        "percent": percent,
        "uri": data_uri,
        "plot": _plot,
        "position": _position,
        "own_shares": _own_shares,
        "unit": lambda metric: "bits" if metric == "hamming" else "numbers",
    }
    return environment


def _render(evaluated: Evaluated, shown: Contents) -> str:
    environment = _environment()
    return environment.get_template("report.html.j2").render(
        record=evaluated.record,
        shown=shown,
        own_outputs=_own(evaluated.record),
        smallest_group=SMALLEST_GROUP,
        headlines=_headlines(evaluated.record),
        paper_row={"values": PAPER_TABLE_I, "average": PAPER_AVERAGE, "chance": PAPER_CHANCE},
        protocols=[name for name in (LEAVE_ONE_OUT, GALLERY) if name in evaluated.albums],
        drawn_notice=DRAWN_NOTICE,
        light=LIGHT,
        dark=DARK,
        k=K,
    )


def number(value: float | None, digits: int = 3) -> str:
    """A figure for reading; an en dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference for reading, always with its sign."""
    return "–" if value is None else f"{value:+.3f}"


def percent(share: float | None) -> str:
    """A share in per cent."""
    return "–" if share is None else f"{100 * share:.1f} %"


def _own(record: Mapping[str, Any]) -> dict[str, Any]:
    """The encoder's own outputs; what is derived from them stands in tables only."""
    return {name: each for name, each in record["outputs"].items() if not each["derived"]}


def _own_shares(neighbours: Mapping[str, Any]) -> str:
    """The diagonal of the matrix of neighbours, in words."""
    columns = neighbours["neighbour diagnoses"]
    return "; ".join(
        f"{name} {number(shares[columns.index(name)], 2)}"
        for name, shares in zip(neighbours["query diagnoses"], neighbours["shares"], strict=True)
    )


def _headlines(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures at the top: for each output the paper's, and the best known of each protocol."""
    found = []
    for name, output in _own(record).items():
        if output[PAPER]:
            found.append(_headline(name, "paper_map", PAPER, output[PAPER]["average paper_map"]))
        if output[BALANCED]:
            found.append(_headline(name, _PRECISION, BALANCED, output[BALANCED][_PRECISION]))
        for protocol in (LEAVE_ONE_OUT, GALLERY):
            if protocol in output:
                figures = output[protocol]["figures"]
                found.append(_headline(name, MAP_MICRO, protocol, figures[MAP_MICRO]))
    return found


def _headline(
    output: str, measure: str, protocol: str, figure: Mapping[str, Any]
) -> dict[str, Any]:
    return {"output": output, "measure": measure, "protocol": protocol, "figure": figure}


def _position(value: float | None) -> str:
    """Where a figure stands on a bar from 0 to 1, for a style."""
    return f"{100 * min(max(value or 0, 0), 1):.2f}%"


def _plot(picture: Picture, alt: str) -> Markup:
    """A drawing in the colours that the reader's screen asks for; on paper always light."""
    light, dark = (
        "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
        for svg in (picture.light, picture.dark)
    )
    return Markup(  # both addresses are base64, the text is escaped by format
        '<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{}">'
        '<img src="{}" alt="{}" loading="lazy"></picture>'
    ).format(dark, light, alt)
