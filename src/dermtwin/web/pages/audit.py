"""The audit log, for admins: filtered, page by page or as a file; a patient's extract by form."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from dermtwin.casebook import auditing, extract
from dermtwin.errors import DermtwinError
from dermtwin.web import logs
from dermtwin.web.gate import Auditor, Person
from dermtwin.web.pages.shell import page, sentence
from dermtwin.web.service import of

router = APIRouter(prefix="/admin/audit")

_AT_ONCE = 100
_SEE_OTHER = 303
Text = Annotated[str, Query()]
Shape = Literal["page", "csv", "lines"]


@router.get("")
def audit(  # noqa: PLR0913 - the filter's fields
    request: Request,
    person: Auditor,
    *,
    case: Text = "",
    user: Text = "",
    verb: Text = "",
    since: Text = "",
    until: Text = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    check: bool = False,
    shape: Annotated[Shape, Query(alias="as")] = "page",
) -> Response:
    """The entries that meet every condition, the newest first."""
    asked = {"case": case, "user": user, "verb": verb, "since": since, "until": until}
    return _answer(request, person, asked, before=before, check=check, shape=shape)


@router.get("/patient")
def to_the_log(person: Auditor) -> Response:
    """Back to the form, for whoever comes by the address of its answer."""
    del person
    return RedirectResponse("/admin/audit", _SEE_OTHER)


@router.post("/patient")
def patient_extract(
    request: Request,
    person: Auditor,
    patient: Annotated[str, Form()] = "",
    before: Annotated[int | None, Form(ge=1, le=2**63 - 1)] = None,
    shape: Annotated[Shape, Form(alias="as")] = "page",
) -> Response:
    """Who looked at one patient: to hand over. By POST, so that no address names a patient."""
    return _answer(request, person, {"patient": patient}, before=before, shape=shape)


def _answer(  # noqa: PLR0913 - a page's place and form
    request: Request,
    person: Person,
    asked: dict[str, str],
    *,
    before: int | None,
    check: bool = False,
    shape: Shape,
) -> Response:
    service = of(request)
    try:
        wanted = logs.asked_for(service, person, asked)
    except DermtwinError as error:
        return _draw(request, status=422, asked=asked, problem=sentence(error))
    if shape != "page":
        return (logs.as_csv if shape == "csv" else logs.as_lines)(service, wanted)
    with service.casebook.reading() as connection:
        entries = extract.newest(connection, wanted, before=before, limit=_AT_ONCE + 1)
        return _draw(
            request,
            asked=asked,
            entries=[logs.row_of(entry) for entry in entries[:_AT_ONCE]],
            count=extract.count(connection, wanted),
            older=entries[_AT_ONCE - 1].seq if len(entries) > _AT_ONCE else None,
            is_first=before is None,
            head=auditing.head(connection),
            broken=list(auditing.broken(connection)) if check else None,
            has_cases=wanted.naming is not None,
        )


def _draw(request: Request, **values: Any) -> Response:  # noqa: ANN401 - what a template takes
    return page(request, "audit.html.j2", verbs=logs.VERBS, **values)
