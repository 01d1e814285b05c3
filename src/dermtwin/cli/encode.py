"""`dermtwin encode`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.printing import complain, note, out, print_json, track
from dermtwin.errors import DermtwinError
from dermtwin.vocabulary import BASE_ENCODER


def command(
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files, dataset folders or tables.", show_default=False),
    ],
    *,
    encoder: Annotated[Path, typer.Option(help="The encoder file.")] = Path(BASE_ENCODER),
    output: Annotated[str, typer.Option(help="Which code: code, map, …")] = "code",
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw the one image beside its colour-coded code into this PNG."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Turn pictures into codes.

    Example: dermtwin encode lesion.jpg --json

    Example: dermtwin encode lesion.jpg --encoder paper.onnx --picture code.png
    """
    failed = 0
    for encoded in dermtwin.encode(
        images, encoder=encoder, output=output, picture=picture, track=track
    ):
        if isinstance(encoded, DermtwinError):
            failed += 1
            complain(str(encoded))
        elif json:
            print_json(encoded.to_json())
        else:
            numbers = " ".join(f"{value:.4g}" for value in encoded.code)
            out.print(f"{encoded.isic_id or encoded.image}: {numbers}", soft_wrap=True)
    if picture is not None and not failed:
        note(f"{picture} shows {images[0]} beside its code.")
    if failed:
        raise typer.Exit(1)
