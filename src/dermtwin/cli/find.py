"""`dermtwin find`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

import dermtwin
from dermtwin.cli.options import Json, OptionalCasebook, Views, Where
from dermtwin.cli.printing import is_narrow, note, out, print_json
from dermtwin.vocabulary import DRAWN_NOTICE, Case, Malignancy, SearchBy

if TYPE_CHECKING:
    from dermtwin.consultation import Answer
    from dermtwin.verbs.asking import ServerAnswer

# The archive's words are sentences; a column has room for one word.
_CONFIRMED = {
    "histopathology": "histology",
    "serial imaging showing no change": "follow-up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
    "single contributor clinical assessment": "clinical",
}
_SEXES = {"female": "f", "male": "m"}


def command(
    image: Annotated[Path, typer.Argument(help="A picture of a lesion.", show_default=False)],
    *,
    casebook: OptionalCasebook = None,
    server: Annotated[
        str | None, typer.Option(help="A server to ask instead: https://HOST[:PORT].")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="DERMTWIN_TOKEN", help="By which the server knows who asks."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many cases to show.")] = 10,
    where: Where = None,
    every_image: Annotated[
        bool, typer.Option("--every-image", help="All images of a lesion, not its nearest alone.")
    ] = False,
    by: Annotated[
        SearchBy,
        typer.Option(
            help="Nearest by the distance of codes; or by how many of the encoder's 64 bits "
            "differ, then by the distance of codes."
        ),
    ] = SearchBy.CODE,
    views: Views = 1,
    lesion: Annotated[
        str | None, typer.Option(help="The picture's lesion: never among the hits.")
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(
            help="The picture's patient: never among the hits. A DICOM file names its own, but "
            "not to a server."
        ),
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option(help="Refuse unless the casebook was made with this encoder.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the nearest cases of a picture; its own image, lesion and patient are left out.

    Example: dermtwin find lesion.jpg --casebook cases --where sex=female --where age_approx=40..60

    Example: dermtwin find lesion.jpg --casebook cases --by bits

    Example: dermtwin find lesion.jpg --casebook cases --views 8

    Example: dermtwin find lesion.jpg --server https://cases.example.org
    """
    answer = dermtwin.find(
        image,
        # The variable DERMTWIN_CASEBOOK may stand all the time.
        casebook=casebook if server is None else None,
        server=server,
        token=token,
        k=k,
        where=where or (),
        every_image=every_image,
        by=by,
        views=views,
        encoder=encoder,
        lesion_id=lesion,
        patient_id=patient,
    )
    if json:
        print_json(answer.to_json())
    else:
        _show(answer)


def _show(answer: "Answer | ServerAnswer") -> None:
    title = f"nearest cases of {answer.query}"
    if answer.is_drawn:
        title += f" ({DRAWN_NOTICE})"
    table = Table(
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=is_narrow(),
    )
    table.add_column("", justify="right", no_wrap=True)
    is_by_bits = any(found.hit.hamming is not None for found in answer.hits)
    if is_by_bits:
        table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("distance", justify="right", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("diagnosis")
    table.add_column("confirmed", no_wrap=True)
    table.add_column("site")
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("sex", no_wrap=True)
    table.add_column("case", no_wrap=True)
    for found in answer.hits:
        hit = found.hit
        near = [str(hit.hamming)] if is_by_bits else []
        near.append(f"{hit.distance:.4f}")
        table.add_row(str(hit.rank), *near, *_record(found.case), hit.isic_id)
    out.print(table)
    for line in answer.summary():
        note(line)


def _record(case: Case) -> tuple[str | Text, ...]:
    return (
        _class(case),
        case.diagnosis or "–",
        _CONFIRMED.get(case.diagnosis_confirm_type or "", case.diagnosis_confirm_type or "–"),
        case.anatom_site_general or "–",
        "–" if case.age_approx is None else str(case.age_approx),
        _SEXES.get(case.sex or "", case.sex or "–"),
    )


def _class(case: Case) -> Text:
    styles = {Malignancy.MALIGNANT: "magenta", Malignancy.BENIGN: "yellow"}
    style = styles.get(case.diagnosis_1, "")  # type: ignore[call-overload]
    return Text((case.diagnosis_1 or "unknown").lower(), style=style)
