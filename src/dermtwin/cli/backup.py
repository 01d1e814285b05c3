"""`dermtwin backup`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import note, track


def command(
    file: Annotated[Path, typer.Argument(help="A new file.", show_default=False)],
    *,
    casebook: Casebook,
) -> None:
    """Back a casebook up into one file, while others use it; the file is read again to be sure.

    Example: dermtwin backup cases-monday.zip --casebook cases
    """
    note(str(dermtwin.backup(file, casebook=casebook, track=track)))
