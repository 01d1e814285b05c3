"""`/audit`: who did what, for admins; of one patient by a form, never in an address."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import JSONResponse, Response

from dermtwin.casebook import auditing, extract
from dermtwin.casebook.extract import Asked
from dermtwin.web.api.records import stamped
from dermtwin.web.gate import Auditor
from dermtwin.web.logs import as_lines, asked_for
from dermtwin.web.service import Served, Service

router = APIRouter(prefix="/audit", tags=["audit"])

_MOST = 2**63 - 1  # what a database takes as a number
_BEFORE = "Entries with a lower number: the `next` of the page before."
_CHECK = "Follow the whole log, and say in `broken` what is wrong with it; takes its time."
_AS = "A page, or all entries as JSON Lines, the oldest first, with the check as the last line."
Shape = Literal["page", "lines"]


async def _named(
    request: Request, patient: Annotated[str | None, Form(max_length=200)] = None
) -> str | None:
    """The patient that the form names; "" where it is sent empty, which FastAPI calls absent."""
    return "" if (await request.form()).get("patient") == "" else patient


@router.get("", summary="The audit log, the newest first.")
def get_audit(  # noqa: PLR0913 - all that one can ask for
    service: Served,
    person: Auditor,
    *,
    case: Annotated[str | None, Query(max_length=200)] = None,
    user: Annotated[str | None, Query(max_length=100)] = None,
    verb: Annotated[str | None, Query(max_length=100, examples=["look"])] = None,
    since: Annotated[
        str | None, Query(description="ISO 8601, UTC.", examples=["2026-01-31"])
    ] = None,
    until: Annotated[str | None, Query(description="To the end of this date.")] = None,
    before: Annotated[int | None, Query(ge=1, le=_MOST, description=_BEFORE)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    check: Annotated[bool, Query(description=_CHECK)] = False,
    shape: Annotated[Shape, Query(alias="as", description=_AS)] = "page",
) -> Response:
    """Who looked at or changed what; `next` is null after the oldest."""
    given = {"case": case, "user": user, "verb": verb, "since": since, "until": until}
    wanted = asked_for(service, person, given)
    if shape == "lines":
        return as_lines(service, wanted)
    return _page(service, wanted, before=before, limit=limit, check=check)


@router.post("", summary="The extract of one case or patient.")
def post_audit(  # noqa: PLR0913 - the form's fields
    service: Served,
    person: Auditor,
    *,
    case: Annotated[str | None, Form(max_length=200)] = None,
    patient: Annotated[str | None, Depends(_named)],
    user: Annotated[str | None, Form(max_length=100)] = None,
    verb: Annotated[str | None, Form(max_length=100)] = None,
    since: Annotated[str | None, Form(examples=["2026-01-31"])] = None,
    until: Annotated[str | None, Form()] = None,
    before: Annotated[int | None, Form(ge=1, le=_MOST, description=_BEFORE)] = None,
    limit: Annotated[int, Form(ge=1, le=1000)] = 100,
    check: Annotated[bool, Form(description=_CHECK)] = False,
    shape: Annotated[Shape, Form(alias="as", description=_AS)] = "page",
) -> Response:
    """The entries that name a case, or a patient or a case of theirs; fit to hand over."""
    given = {"case": case, "patient": patient, "user": user, "verb": verb}
    wanted = asked_for(service, person, given | {"since": since, "until": until})
    if shape == "lines":
        return as_lines(service, wanted)
    return _page(service, wanted, before=before, limit=limit, check=check)


def _page(
    service: Service, wanted: Asked, *, before: int | None, limit: int, check: bool
) -> Response:
    with service.casebook.reading() as connection:
        entries = extract.newest(connection, wanted, before=before, limit=limit + 1)
        content: dict[str, Any] = {
            "entries": [asdict(each) for each in entries[:limit]],
            "count": extract.count(connection, wanted),
            "next": entries[limit - 1].seq if len(entries) > limit else None,
            "head": asdict(auditing.head(connection)),
            "broken": list(auditing.broken(connection)) if check else None,
        }
    return JSONResponse(stamped(service, content))
