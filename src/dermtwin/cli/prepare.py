"""`dermtwin prepare`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import dermtwin
from dermtwin.cli.options import PseudonymKey
from dermtwin.cli.printing import note, track
from dermtwin.datasets import describe_faults


def command(
    dataset: Annotated[Path, typer.Argument(help="A folder of images.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    *,
    masks: Annotated[
        bool, typer.Option("--masks", help="Write the lesion masks too, one a picture.")
    ] = False,
    shape: Annotated[Literal["square", "rectangle"], typer.Option(help="Of the crops.")] = "square",
    margin: Annotated[
        float, typer.Option(min=0.1, max=2, help="Skin around the lesion, in its longer sides.")
    ] = 0.2,
    pseudonym_key: PseudonymKey = None,
) -> None:
    """Crop pictures so that they keep the lesion and drop what lies in the way.

    Writes OUT: the crops, pixel for pixel the originals', a table of what was found, a contact
    sheet and a report. A run that was cut short goes on where it stopped.

    Example: dermtwin prepare lesions crops --masks
    """
    report = dermtwin.prepare(
        dataset,
        out=out,
        masks=masks,
        shape=shape,
        margin=margin,
        pseudonym_key=pseudonym_key,
        track=track,
    )
    for warning in report.warnings:
        note(warning)
    if report.faults:
        note(describe_faults(report.faults))
    if report.resumed:
        note(f"{report.resumed:,} of them had been prepared before")
    note(str(report))
