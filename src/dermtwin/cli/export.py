"""`dermtwin export`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook, Where
from dermtwin.cli.printing import note, track


def command(
    folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    *,
    casebook: Casebook,
    where: Where = None,
) -> None:
    """Write cases as a dataset that `add` takes back: metadata.csv and the original image files.

    Example: dermtwin export melanomas --casebook cases --where diagnosis_1=Malignant
    """
    note(str(dermtwin.export(folder, casebook=casebook, where=where or (), track=track)))
