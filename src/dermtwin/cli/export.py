"""`dermtwin export`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import note, track


def command(
    folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    *,
    casebook: Casebook,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only cases with: sex=female, age_approx=40..60, diagnosis_1=Malignant, …",
            metavar="FIELD=VALUE",
        ),
    ] = None,
) -> None:
    """Write cases as a dataset that `add` takes back: metadata.csv and the original image files.

    Example: dermtwin export melanomas --casebook cases --where diagnosis_1=Malignant
    """
    note(str(dermtwin.export(folder, casebook=casebook, where=where or (), track=track)))
