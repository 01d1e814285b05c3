"""`dermtwin audit`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import dermtwin
from dermtwin.cli.options import Casebook, Json
from dermtwin.cli.printing import complain, note, out, print_json

if TYPE_CHECKING:
    from dermtwin.casebook.extract import AuditEntry, AuditExtract


def command(
    *,
    casebook: Casebook,
    case: Annotated[str | None, typer.Option(help="Entries that name this case.")] = None,
    patient: Annotated[
        str | None, typer.Option(help="Entries that name this patient or a case of theirs.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Entries of this user.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From this date or time on (UTC).", metavar="DATE")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Up to the end of this date, or this time.", metavar="DATE")
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(help="Where the log once ended; fails if it was cut.", metavar="N:CHAIN"),
    ] = None,
    json: Json = False,
) -> None:
    """Show who looked at or changed which cases, when, and by which verb.

    With --patient it is the extract to hand over to that patient: of others it tells nothing.
    Exit code 1: the log was altered.

    Example: dermtwin audit --casebook cases --patient IP_0000001 --since 2026-01-01
    """
    found = dermtwin.audit(
        casebook=casebook,
        case=case,
        patient=patient,
        user=user,
        since=since,
        until=until,
        expect=expect,
    )
    if json:
        print_json(found.to_json())
    else:
        _show(found, of=case is not None or patient is not None)
    if found.broken:
        raise typer.Exit(1)


def _show(found: "AuditExtract", *, of: bool) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "who", "verb", *(("cases",) if of else ()), "details"):
        table.add_column(column, overflow="fold")
    for entry in found.entries:
        cases = (", ".join(entry.cases) or "–",) if of else ()
        when = entry.at[:19].replace("T", " ")
        table.add_row(when, entry.who, entry.verb, *cases, _details(entry))
    out.print(table)
    for problem in found.broken:
        complain(problem)
    note(
        f"{len(found.entries):,} of {found.head.entries:,} entries"
        f"{'' if found.broken else '; every entry is as it was written'}.\n"
        f"The log ends with {found.head}"
    )


def _details(entry: "AuditEntry") -> str:
    told = [
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in entry.details.items()
        if value != []
    ]
    if entry.encoder:
        told.append(f"encoder: {entry.encoder[:12]}")
    return "; ".join([*told, f"version: {entry.version}"])
