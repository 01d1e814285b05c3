"""`dermtwin add`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook, PseudonymKey
from dermtwin.cli.printing import complain, note, track
from dermtwin.verbs.adding import OnDuplicate


def command(
    dataset: Annotated[Path, typer.Argument(help="A folder of images.", show_default=False)],
    *,
    casebook: Casebook,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="The encoder file, which the casebook remembers; for a new casebook, unless "
            "given, dermtwin-base.",
            show_default=False,
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Take over changed values of cases already there.")
    ] = False,
    on_duplicate: Annotated[
        OnDuplicate,
        typer.Option(
            help="An image that shows the photograph of another lesion's case: add and tell it, "
            "leave it out, or call its row a bad one."
        ),
    ] = OnDuplicate.REPORT,
    pseudonym_key: PseudonymKey = None,
) -> None:
    """Add cases to a casebook. Adding twice changes nothing; a bad row is told and left out.

    Example: dermtwin add parts/train --casebook cases

    Example: dermtwin add dicom --casebook cases --on-duplicate skip
    """
    report = dermtwin.add(
        dataset,
        casebook=casebook,
        encoder=encoder,
        update=update,
        on_duplicate=on_duplicate,
        pseudonym_key=pseudonym_key,
        track=track,
    )
    for warning in report.warnings:
        note(warning)
    if report.differing:
        note("With --update cases take over the values that differ.")
    for fault in report.faults:
        complain(str(fault))
    note(str(report))
    if report.faults:
        raise typer.Exit(1)
