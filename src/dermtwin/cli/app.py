"""The program: its verbs, and the one place where an error becomes a sentence and an exit code."""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from dermtwin import __version__
from dermtwin.cli import (
    add,
    audit,
    backup,
    check,
    compare,
    draw,
    encode,
    encoder,
    evaluate,
    evaluate_preparation,
    export,
    find,
    forget,
    hold,
    map,  # noqa: A004 - a verb's name
    prepare,
    reencode,
    restore,
    serve,
    split,
    stats,
    token,
    train,
    user,
)
from dermtwin.cli.printing import complain
from dermtwin.errors import DermtwinError

app = typer.Typer(
    name="dermtwin",
    help=(
        "Find, for a picture of a skin lesion, the most similar diagnosed cases. "
        "For research and teaching; it never states a diagnosis."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for verb in (
    draw,
    prepare,
    split,
    train,
    encode,
    add,
    find,
    serve,
    forget,
    hold,
    audit,
    check,
    stats,
    map,
    backup,
    restore,
    export,
    reencode,
    evaluate,
    compare,
    evaluate_preparation,
):
    app.command(verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.command)
for group in (encoder.group, user.group, token.group):
    app.add_typer(group)


@app.callback(invoke_without_command=True)
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"dermtwin {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: exit code 0 done, 1 bad input, 2 bad usage, 143 told to end."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except DermtwinError as error:
        complain(str(error))
        sys.exit(1)


def _end(number: int, _frame: FrameType | None) -> None:
    """End as by Ctrl-C, so that what is half written goes; told again, end at once."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)
