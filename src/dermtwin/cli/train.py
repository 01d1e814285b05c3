"""`dermtwin train`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.printing import note, track


def command(
    config: Annotated[Path, typer.Argument(help="The settings, a TOML file.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(help="The training images.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="The encoder file to write.", show_default=False)],
    beside: Annotated[
        Path | None, typer.Option(help="A dataset to learn from as well (method metric).")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="A dataset to measure the encoder's quality on.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", help="An encoder to start from, such as dermtwin-base (method metric)."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting to change: --set loss.margin=1.5", metavar="KEY=VALUE"
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew instead of going on where it stopped.")
    ] = False,
) -> None:
    """Train a network and write it as an encoder file.

    The settings' method says which: siamese, the paper's, or metric, a backbone with ImageNet
    weights. Interrupted, it goes on from the last point of its curve when the same command is run
    again.

    Example: dermtwin train configs/paper.toml parts/train --out paper.onnx
    """
    report = dermtwin.train(
        config,
        dataset,
        out=out,
        beside=beside,
        validation=validation,
        start=start,
        overrides=overrides or (),
        restart=restart,
        track=track,
    )
    note(str(report))
