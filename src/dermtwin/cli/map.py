"""`dermtwin map`."""

from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook, Json, Seed
from dermtwin.cli.printing import note, print_json, track


def command(
    *,
    casebook: Casebook,
    anew: Annotated[bool, typer.Option("--anew", help="Draw all of it again.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Lay a casebook's codes out as a map (t-SNE), or place new cases into the one there is.

    Example: dermtwin map --casebook cases
    """
    report = dermtwin.map(casebook=casebook, anew=anew, seed=seed, track=track)
    if json:
        print_json(report.to_json())
    else:
        note(str(report))
