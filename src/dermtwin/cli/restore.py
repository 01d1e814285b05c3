"""`dermtwin restore`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import complain, note, track


def command(
    file: Annotated[Path, typer.Argument(help="A backup.", show_default=False)],
    *,
    casebook: Casebook,
) -> None:
    """Make a casebook from a backup, in an empty place, and check it.

    Example: dermtwin restore cases-monday.zip --casebook cases-again
    """
    report = dermtwin.restore(file, casebook=casebook, track=track)
    for problem in report.check.problems:
        complain(problem)
    note(str(report))
    if report.check.problems:
        raise typer.Exit(1)
