"""`dermtwin stats`."""

from typing import TYPE_CHECKING

from rich.table import Table

import dermtwin
from dermtwin.cli.options import Casebook, Json
from dermtwin.cli.printing import out, print_json

if TYPE_CHECKING:
    from dermtwin.casebook.statistics import Statistics

_SHOWN = 12  # values of one field


def command(*, casebook: Casebook, json: Json = False) -> None:
    """Count what a casebook holds: cases, patients, files, and the cases by their fields.

    Example: dermtwin stats --casebook cases
    """
    found = dermtwin.stats(casebook=casebook)
    if json:
        print_json(found.to_json())
    else:
        _show_whole(found)
        _show_fields(found)


def _show_whole(found: "Statistics") -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name in ("cases", "lesions", "patients", "images"):
        table.add_row(name, f"{getattr(found, name):,}")
    for kind, size in found.bytes.items():
        table.add_row(f"{kind} on the disk", f"{size / 1e6:,.1f} MB")
    encoder = found.encoder
    table.add_row("encoder", f"{encoder['name']} ({encoder['id'][:12]})" if encoder else "–")
    table.add_row("cases on the map", f"{found.placed:,}")
    table.add_row("last change", f"{found.version:,}")
    table.add_row("changed at", found.changed_at or "–")
    out.print(table)


def _show_fields(found: "Statistics") -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("field", no_wrap=True)
    table.add_column("value")
    table.add_column("cases", justify="right", no_wrap=True)
    for field, counts in found.fields.items():
        if set(counts) <= {None}:
            continue
        table.add_section()
        shown = list(counts.items())[:_SHOWN]
        for place, (value, count) in enumerate(shown):
            name = field if place == 0 else ""
            table.add_row(name, "unknown" if value is None else value, f"{count:,}")
        if more := len(counts) - len(shown):
            rest = sum(counts.values()) - sum(count for _, count in shown)
            table.add_row("", f"… and {more:,} more", f"{rest:,}")
    out.print()
    out.print(table)
