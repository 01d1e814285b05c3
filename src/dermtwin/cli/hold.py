"""`dermtwin hold`."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

import dermtwin
from dermtwin.cli.options import Casebook, Json
from dermtwin.cli.printing import note, out, print_json


def command(
    *,
    casebook: Casebook,
    patient: Annotated[
        str | None, typer.Option(help="Whose erasure is forbidden, or allowed again.")
    ] = None,
    why: Annotated[
        str | None, typer.Option(help="The reason; told to whoever wants to erase.")
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Allow the erasure again.")] = False,
    json: Json = False,
) -> None:
    """Forbid the erasure of a patient until the hold is lifted; alone, list all holds.

    Example: dermtwin hold --casebook cases --patient IP_0000001 --why "court order 12/34"
    """
    holds = dermtwin.hold(casebook=casebook, patient=patient, why=why, lift=lift)
    if json:
        print_json({"holds": [asdict(each) for each in holds]})
        return
    if not holds:
        note("no hold stands.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("patient", "why", "by", "since"):
        table.add_column(column, overflow="fold")
    for each in holds:
        table.add_row(each.patient_id, each.why, each.who, each.at)
    out.print(table)
