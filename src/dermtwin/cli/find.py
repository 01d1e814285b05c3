"""`dermtwin find`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import dermtwin
from dermtwin.cli.options import Casebook, Json
from dermtwin.cli.printing import note, out, print_json
from dermtwin.vocabulary import DRAWN_NOTICE, Case

if TYPE_CHECKING:
    from dermtwin.consultation import Answer


def command(
    image: Annotated[Path, typer.Argument(help="A picture of a lesion.", show_default=False)],
    *,
    casebook: Casebook,
    k: Annotated[int, typer.Option("-k", min=1, help="How many cases to show.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only cases with: sex=female, age_approx=40..60, diagnosis_1=Malignant, …",
            metavar="FIELD=VALUE",
        ),
    ] = None,
    every_image: Annotated[
        bool, typer.Option("--every-image", help="All images of a lesion, not its nearest alone.")
    ] = False,
    lesion: Annotated[
        str | None, typer.Option(help="The picture's lesion: never among the hits.")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="The picture's patient: never among the hits.")
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option(help="Refuse unless the casebook was made with this encoder.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the nearest cases of a picture; its own image, lesion and patient are left out.

    Example: dermtwin find lesion.jpg --casebook cases --where sex=female --where age_approx=40..60
    """
    answer = dermtwin.find(
        image,
        casebook=casebook,
        k=k,
        where=where or (),
        every_image=every_image,
        encoder=encoder,
        lesion_id=lesion,
        patient_id=patient,
    )
    if json:
        print_json(answer.to_json())
    else:
        _show(answer)


def _show(answer: "Answer") -> None:
    title = f"nearest cases of {answer.query}"
    if any(found.case.is_drawn for found in answer.hits):
        title += f" ({DRAWN_NOTICE})"
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for heading in ("", "distance", "diagnosis", "confirmed by", "site", "age", "sex", "case"):
        table.add_column(heading, justify="right" if heading in ("", "distance", "age") else "left")
    for found in answer.hits:
        hit = found.hit
        table.add_row(str(hit.rank), f"{hit.distance:.4f}", *_record(found.case), hit.isic_id)
    out.print(table)
    for line in answer.summary():
        note(line)


def _record(case: Case) -> tuple[str, ...]:
    style = {True: "magenta", False: "yellow"}.get(case.is_malignant)  # type: ignore[arg-type]
    diagnosis = case.diagnosis or "unknown"
    if case.diagnosis != case.diagnosis_1:
        diagnosis = f"{diagnosis} ({(case.diagnosis_1 or 'unknown').lower()})"
    return (
        f"[{style}]{diagnosis}[/]" if style else diagnosis,
        case.diagnosis_confirm_type or "–",
        case.anatom_site_general or "–",
        "–" if case.age_approx is None else str(case.age_approx),
        case.sex or "–",
    )
