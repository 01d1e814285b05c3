"""`dermtwin forget`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.casebook import ForgetPlan, ForgetReport
from dermtwin.cli.options import Casebook, Json
from dermtwin.cli.printing import note, print_json
from dermtwin.verbs.forget import UnwrittenReceiptError


def command(
    *,
    casebook: Casebook,
    patient: Annotated[str | None, typer.Option(help="Forget all of this patient.")] = None,
    lesion: Annotated[str | None, typer.Option(help="Forget all images of this lesion.")] = None,
    case: Annotated[str | None, typer.Option(help="Forget this one case (isic_id).")] = None,
    image: Annotated[
        str | None,
        typer.Option(
            help="Forget all cases that show this image: its file, or its SHA-256.",
            metavar="FILE|SHA256",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would go, by name.")
    ] = False,
    receipt: Annotated[
        Path | None, typer.Option(help="Write the receipt here too, as JSON; it names nobody.")
    ] = None,
    json: Json = False,
) -> None:
    """Forget a patient, a lesion, a case or an image; then look whether all is gone.

    Rows, codes, files, thumbnails and every later answer. The receipt says what was looked for
    and found gone, and which copies may still hold it. Exit code 1: something is left, could not
    be read, or the receipt not be written.

    Example: dermtwin forget --casebook cases --patient IP_0000001 --dry-run
    """
    if sum(each is not None for each in (patient, lesion, case, image)) != 1:
        raise typer.BadParameter("give one of --patient, --lesion, --case and --image.")
    try:
        done = dermtwin.forget(
            casebook=casebook,
            patient=patient,
            lesion=lesion,
            case=case,
            image=image,
            dry_run=dry_run,
            receipt=receipt,
        )
    except UnwrittenReceiptError as error:
        _show(error.report, json=json)
        raise
    _show(done, json=json)
    if isinstance(done, ForgetReport) and not done.is_gone:
        raise typer.Exit(1)


def _show(done: ForgetReport | ForgetPlan, *, json: bool) -> None:
    if json:
        print_json(done.to_json())
    else:
        note(str(done))
