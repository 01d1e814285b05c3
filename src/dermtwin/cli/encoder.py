"""`dermtwin encoder adopt`, `dermtwin encoder quantise` and `dermtwin encoder show`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import dermtwin
from dermtwin.cli.encoder_card import number, print_card
from dermtwin.cli.options import Json, Seed
from dermtwin.cli.printing import note, out, print_json, track

group = typer.Typer(
    name="encoder",
    help="Make an encoder of a foreign network or an int8 version, or see what one says of itself.",
    no_args_is_help=True,
)


@group.command("adopt")
def adopt(
    model: Annotated[Path, typer.Argument(help="An ONNX file.", show_default=False)],
    *,
    file: Annotated[
        Path, typer.Option("--out", help="The encoder file to write.", show_default=False)
    ],
    input_size: Annotated[
        int, typer.Option(help="Pixels on each side of the network's input.", show_default=False)
    ],
    mean: Annotated[
        str,
        typer.Option(
            metavar="R,G,B",
            help="Per channel, of values from 0 to 1, as the network was trained.",
            show_default=False,
        ),
    ],
    std: Annotated[str, typer.Option(metavar="R,G,B", help="Likewise.", show_default=False)],
    licence: Annotated[str, typer.Option(help="Of the weights.", show_default=False)],
    resize: Annotated[
        Literal["centre-square", "stretch", "pad"] | None,
        typer.Option(
            help="How a picture becomes a square; unless given: pad for crops, else centre-square.",
            show_default=False,
        ),
    ] = None,
    crop: Annotated[
        Literal["none", "square", "rectangle"],
        typer.Option(help="Cut pictures to the lesion first."),
    ] = "none",
    output: Annotated[
        str | None,
        typer.Option(
            help="Which output is the code; unless given: the only one of [N, D].",
            show_default=False,
        ),
    ] = None,
    unit_length: Annotated[
        bool,
        typer.Option("--unit-length", help="Scale codes to length 1: nearest by cosine."),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(help="What to call it; unless given: as the file.", show_default=False),
    ] = None,
) -> None:
    """Make an encoder file of any ONNX network that turns a picture into a vector.

    Example: dermtwin encoder adopt model.onnx --out mine.onnx --input-size 224
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --licence Apache-2.0
    """
    encoder = dermtwin.adopt_encoder(
        model,
        out=file,
        input_size=input_size,
        mean=_channels(mean, option="--mean"),
        std=_channels(std, option="--std"),
        licence=licence,
        resize=resize,
        crop=crop,
        output=output,
        unit_length=unit_length,
        name=name,
    )
    (numbers,) = encoder.card.outputs["code"].shape
    origin = encoder.card.training["adopted_output"]
    note(f"{file}: {encoder.label}, {numbers:,} numbers a code, from output {origin!r}.")
    note("Nothing is known of how well it retrieves here: measure it with dermtwin evaluate.")


def _channels(text: str, *, option: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(each) for each in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not three numbers R,G,B.", param_hint=option
        ) from error
    return red, green, blue


@group.command("quantise")
def quantise(
    encoder: Annotated[
        Path, typer.Argument(help="An encoder file, or dermtwin-base.", show_default=False)
    ],
    *,
    calibration: Annotated[
        Path,
        typer.Option(
            help="A dataset: the encoder's training images, or such as they.", show_default=False
        ),
    ],
    file: Annotated[
        Path, typer.Option("--out", help="The encoder file to write.", show_default=False)
    ],
    images: Annotated[
        int, typer.Option(help="How many of them to find the ranges of values on.")
    ] = 300,
    seed: Seed = 0,
) -> None:
    """Make an encoder's int8 version: a third of the size, and faster on most processors.

    It is an encoder of its own, whose codes are not compared with the first one's.

    Example: dermtwin encoder quantise mine.onnx --calibration parts/train --out mine-int8.onnx
    """
    made = dermtwin.quantise_encoder(
        encoder, calibration=calibration, out=file, images=images, seed=seed, track=track
    )
    size, before = (each / 1e6 for each in (len(made.encoder.data), made.size_before))
    told = ", ".join(f"{name} {cosine:.4f}" for name, cosine in made.cosines.items())
    note(f"{file}: {made.encoder.label}, {size:,.3g} MB instead of {before:,.3g} MB.")
    note(f"Median cosine to the codes before, on {made.images:,} images: {told}.")
    note("What it costs is not known yet: measure it with dermtwin compare.")


@group.command("check")
def check(
    encoder: Annotated[
        Path, typer.Argument(help="An encoder file, or dermtwin-base.", show_default=False)
    ],
    *,
    queries: Annotated[
        Path, typer.Option(help="The images of the card's figures.", show_default=False)
    ],
    gallery: Annotated[
        Path | None,
        typer.Option(help="Those that they were asked of, such as its training images."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure the figures of an encoder's card again, and say whether they agree.

    Example: dermtwin encoder check dermtwin-base --queries parts/test --gallery parts/train
    """
    checked = dermtwin.check_encoder(encoder, queries=queries, gallery=gallery, track=track)
    if json:
        print_json(checked.to_json())
    else:
        for each in checked.figures:
            verdict = "" if each.agrees else "  differs"
            told, found = number(each.told), number(each.found)
            out.print(f"{each.name}: card {told}, now {found}{verdict}")
        agree = "agree with the card" if checked.agrees else "do not all agree with the card"
        note(f"{len(checked.figures)} figures of {checked.encoder} {agree}.")
    if not checked.agrees:
        raise typer.Exit(1)


@group.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="An encoder file.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Print what an encoder says of itself: its card.

    Intervals (95 %) stand beside the figures of the code; --json has those of all, and the settings
    of the training.

    Example: dermtwin encoder show paper.onnx
    """
    shown = dermtwin.show_encoder(file)
    if json:
        print_json(shown.to_json())
        return
    print_card(shown)
