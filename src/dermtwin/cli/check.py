"""`dermtwin check`."""

from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import complain, note, track


def command(
    *,
    casebook: Casebook,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Remove what nothing uses, make missing thumbnails and codes anew.",
        ),
    ] = False,
) -> None:
    """Check a casebook: every code, file and row has what it needs, every image is unaltered.

    Example: dermtwin check --casebook cases
    """
    report = dermtwin.check(casebook=casebook, repair=repair, track=track)
    for done in report.repaired:
        note(f"repaired: {done}")
    for problem in report.problems:
        complain(problem)
    note(str(report))
    if report.problems:
        raise typer.Exit(1)
