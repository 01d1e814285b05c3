"""`dermtwin reencode`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import note, track


def command(
    *,
    casebook: Casebook,
    encoder: Annotated[Path, typer.Option(help="The new encoder file.", show_default=False)],
) -> None:
    """Give a casebook another encoder; the old one answers until all new codes are there.

    Example: dermtwin reencode --casebook cases --encoder new.onnx
    """
    note(str(dermtwin.reencode(casebook=casebook, encoder=encoder, track=track)))
