"""`dermtwin compare`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import dermtwin
from dermtwin.cli.options import Seed, Views
from dermtwin.cli.printing import note, track
from dermtwin.cli.printing import out as results
from dermtwin.vocabulary import DRAWN_NOTICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dermtwin.evaluation.comparison import Beside


def command(
    encoders: Annotated[
        list[Path],
        typer.Argument(help="Two encoder files or more; the first is the measure of the others."),
    ],
    *,
    queries: Annotated[
        Path, typer.Option(help="The test images; each is a query.", show_default=False)
    ],
    gallery: Annotated[
        Path | None, typer.Option(help="Cases to retrieve from, beside the test images.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for the comparison.", show_default=False)],
    views: Views = 1,
    seed: Seed = 0,
) -> None:
    """Measure encoders side by side on the same queries, with paired intervals.

    Example: dermtwin compare paper.onnx other.onnx --queries parts/test --out comparison
    """
    done = dermtwin.compare(
        encoders, queries=queries, gallery=gallery, out=out, views=views, seed=seed, track=track
    )
    notice = f" ({DRAWN_NOTICE})" if done.drawn else ""
    for protocol, measures in done.figures.items():
        _show(measures, title=f"{protocol}{notice}")
    note("In brackets 95 % intervals; differences are paired, * marks those that leave 0 out.")
    note(f"comparison: {done.page}{notice}")


def _show(measures: "Mapping[str, Mapping[str, Beside]]", *, title: str) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("measure", "encoder"):
        table.add_column(name)
    for name in ("value", "difference to the first"):
        table.add_column(name, justify="right", no_wrap=True)
    for measure, by_encoder in measures.items():
        for place, (name, each) in enumerate(by_encoder.items()):
            value = f"{_number(each.value)} ({_number(each.low)} – {_number(each.high)})"
            table.add_row(measure if place == 0 else "", name, value, _difference(each))
    results.print(table)


def _difference(each: "Beside") -> str:
    if each.difference is None or each.difference_low is None or each.difference_high is None:
        return ""
    bounds = f"({_signed(each.difference_low)} – {_signed(each.difference_high)})"
    return f"{_signed(each.difference)} {bounds}{'*' if each.differs else ' '}"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:+.3f}"
