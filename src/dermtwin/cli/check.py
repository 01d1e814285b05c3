"""`dermtwin check`."""

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import complain, note


def command(*, casebook: Casebook) -> None:
    """Check a casebook: every code, file and row has what it needs, every image is unaltered.

    Example: dermtwin check --casebook cases
    """
    report = dermtwin.check(casebook=casebook)
    for problem in report.problems:
        complain(problem)
    note(str(report))
    if report.problems:
        raise typer.Exit(1)
