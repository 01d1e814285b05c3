"""`dermtwin evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Seed, Views
from dermtwin.cli.printing import note, track


def command(
    encoder: Annotated[Path, typer.Argument(help="The encoder file.", show_default=False)],
    *,
    queries: Annotated[
        Path, typer.Option(help="The test images; each is a query.", show_default=False)
    ],
    gallery: Annotated[
        Path | None, typer.Option(help="Cases to retrieve from, beside the test images.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for the report.", show_default=False)],
    views: Views = 1,
    seed: Seed = 0,
) -> None:
    """Measure how well an encoder retrieves, and write metrics.json and report.html.

    Example: dermtwin evaluate paper.onnx --queries parts/test --gallery parts/train --out report
    """
    note(
        str(
            dermtwin.evaluate(
                encoder,
                queries=queries,
                gallery=gallery,
                out=out,
                views=views,
                seed=seed,
                track=track,
            )
        )
    )
