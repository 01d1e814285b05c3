"""`dermtwin draw`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Seed
from dermtwin.cli.printing import note, track
from dermtwin.vocabulary import DRAWN_NOTICE


def command(
    out: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    *,
    lesions_per_class: Annotated[
        int, typer.Option(min=1, help="Lesions of each class; each is photographed up to thrice.")
    ] = 510,
    seed: Seed = 0,
) -> None:
    """Draw sample lesions (drawn, not real): benign and malignant, with hair, rulers, ink and all.

    Example: dermtwin draw lesions
    """
    drawn = dermtwin.draw(out, lesions_per_class=lesions_per_class, seed=seed, track=track)
    note(
        f"{drawn.folder}: {drawn.images:,} pictures of {drawn.lesions:,} lesions, "
        f"{drawn.malignant:,} of them malignant; {DRAWN_NOTICE}."
    )
