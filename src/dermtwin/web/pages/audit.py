"""The audit log, for admins: filtered, as a table or CSV; a patient's extract by form only."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from dermtwin.casebook.extract import AuditEntry, AuditExtract, extract
from dermtwin.errors import DermtwinError
from dermtwin.verbs.audit import period
from dermtwin.web.api.audit import of_subject
from dermtwin.web.gate import Auditor, Person
from dermtwin.web.pages.shell import page
from dermtwin.web.service import Service, of

router = APIRouter(prefix="/admin/audit")

_SHOWN = 500
_COLUMNS = ("number", "when (UTC)", "who", "verb", "cases", "encoder", "version", "details")
Text = Annotated[str, Query()]


@router.get("")
def audit(  # noqa: PLR0913 - the filter's fields
    request: Request,
    person: Auditor,
    *,
    case: Text = "",
    user: Text = "",
    since: Text = "",
    until: Text = "",
    shape: Annotated[Literal["page", "csv"], Query(alias="as")] = "page",
) -> Response:
    """The entries that meet every condition, the latest first."""
    asked = {"case": case, "user": user, "since": since, "until": until}
    return _answer(request, person, asked, is_csv=shape == "csv")


@router.post("/patient")
def patient_extract(
    request: Request,
    person: Auditor,
    patient: Annotated[str, Form()] = "",
    shape: Annotated[Literal["page", "csv"], Form(alias="as")] = "page",
) -> Response:
    """Who looked at one patient: to hand over. By POST, so that no address names a patient."""
    return _answer(request, person, {"patient": patient}, is_csv=shape == "csv")


def _answer(request: Request, person: Person, asked: dict[str, str], *, is_csv: bool) -> Response:
    try:
        found = _read(of(request), person, asked)
    except DermtwinError as error:
        return page(request, "audit.html.j2", status=422, asked=asked, problem=error)
    if is_csv:
        return _csv(found)
    latest = list(islice(reversed(found.entries), _SHOWN))
    return page(
        request,
        "audit.html.j2",
        asked=asked,
        found=found,
        entries=[_row(entry) for entry in latest],
        has_cases="patient" in asked or bool(asked.get("case")),
    )


def _read(service: Service, person: Person, asked: dict[str, str]) -> AuditExtract:
    given = {name: value.strip() or None for name, value in asked.items()}
    if given.get("patient") or given.get("case"):
        subject = {"case": None, "patient": None} | given
        return of_subject(service, person, **subject)
    since, until = period(given.get("since"), given.get("until"))
    with service.casebook.reading() as connection:
        return extract(connection, user=given.get("user"), since=since, until=until)


def _row(entry: AuditEntry) -> dict[str, str]:
    when = entry.at[:19].replace("T", " ")
    values = (
        str(entry.seq),
        when,
        entry.who,
        entry.verb,
        ", ".join(entry.cases),
        (entry.encoder or "")[:12],
        str(entry.version),
        "; ".join(_told(entry)),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _told(entry: AuditEntry) -> Iterator[str]:
    for name, value in entry.details.items():
        if value not in ([], {}, None):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{name}: {shown}"


def _csv(found: AuditExtract) -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([_plain(value) for value in _row(entry).values()] for entry in found.entries)
    writer.writerow([])
    writer.writerow(["end of the log", str(found.head), *found.broken])
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _plain(value: str) -> str:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
