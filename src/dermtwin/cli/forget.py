"""`dermtwin forget`."""

from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import note


def command(
    *,
    casebook: Casebook,
    patient: Annotated[str | None, typer.Option(help="Forget all of this patient.")] = None,
    lesion: Annotated[str | None, typer.Option(help="Forget all images of this lesion.")] = None,
    image: Annotated[str | None, typer.Option(help="Forget this one image (isic_id).")] = None,
) -> None:
    """Forget a patient, a lesion or an image: rows, codes, files and every later answer.

    Example: dermtwin forget --casebook cases --patient IP_0000001
    """
    if sum(each is not None for each in (patient, lesion, image)) != 1:
        raise typer.BadParameter("give one of --patient, --lesion and --image.")
    note(str(dermtwin.forget(casebook=casebook, patient=patient, lesion=lesion, image=image)))
