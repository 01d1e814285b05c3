"""`dermtwin evaluate-preparation`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import dermtwin
from dermtwin.cli.printing import note, track
from dermtwin.cli.printing import out as results
from dermtwin.vocabulary import DRAWN_NOTICE

if TYPE_CHECKING:
    from dermtwin.evaluation.preparation import Measured


def command(
    dataset: Annotated[
        Path, typer.Argument(help="A folder of images with masks/ beside.", show_default=False)
    ],
    *,
    out: Annotated[Path, typer.Option(help="The JSON file to write.", show_default=False)],
    every_case: Annotated[
        bool, typer.Option("--all", help="All cases, not only the third that is held out.")
    ] = False,
) -> None:
    """Measure preparation against lesion masks and artefact labels, with 95 % intervals.

    Example: dermtwin evaluate-preparation lesions --out preparation.json
    """
    done = dermtwin.evaluate_preparation(dataset, out=out, every_case=every_case, track=track)
    for warning in done.warnings:
        note(warning)
    _show(done.figures, title=f"preparation ({DRAWN_NOTICE})" if done.drawn else "preparation")
    note("; ".join(f"{name}: {count:,}" for name, count in done.counts.items()))
    note(f"result: {done.out}")


def _show(figures: Sequence["Measured"], *, title: str) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("measure")
    for name in ("value", "95 % interval", "images", "with it"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in figures:
        table.add_row(
            each.told,
            _number(each.value),
            f"{_number(each.low)} – {_number(each.high)}",
            f"{each.n:,}",
            "" if each.positives is None else f"{each.positives:,}",
        )
    results.print(table)


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
