"""`/audit`: who did what, for admins; of one case or patient by a form, never in an address."""

from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import JSONResponse

from dermtwin.casebook import auditing
from dermtwin.casebook.extract import AuditExtract, extract
from dermtwin.errors import CasebookError
from dermtwin.verbs.audit import period
from dermtwin.web.api.records import stamped
from dermtwin.web.gate import Auditor, Person
from dermtwin.web.problems import missing
from dermtwin.web.service import Served, Service

router = APIRouter(prefix="/audit", tags=["audit"])

Time = Annotated[str | None, Query(description="ISO 8601, UTC.", examples=["2026-01-31"])]


@router.get("", summary="The audit log.")
def get_audit(
    service: Served,
    _person: Auditor,
    *,
    user: Annotated[str | None, Query(max_length=100)] = None,
    since: Time = None,
    until: Time = None,
) -> JSONResponse:
    """Who looked at or changed what, and whether the log is as it was written."""
    start, end = period(since, until)
    with service.casebook.reading() as connection:
        found = extract(connection, user=user or None, since=start, until=end)
    return JSONResponse(stamped(service, found.to_json()))


@router.post("", summary="The extract of one case or patient.")
def post_audit(  # noqa: PLR0913 - the form's fields
    service: Served,
    person: Auditor,
    *,
    case: Annotated[str | None, Form(max_length=200)] = None,
    patient: Annotated[str | None, Form(max_length=200)] = None,
    user: Annotated[str | None, Form(max_length=100)] = None,
    since: Annotated[str | None, Form(examples=["2026-01-31"])] = None,
    until: Annotated[str | None, Form()] = None,
) -> JSONResponse:
    """The entries that name a case, or a patient or a case of theirs; fit to hand over."""
    found = of_subject(
        service, person, case=case, patient=patient, user=user, since=since, until=until
    )
    return JSONResponse(stamped(service, found.to_json()))


def of_subject(  # noqa: PLR0913 - all that one can ask for
    service: Service,
    person: Person,
    *,
    case: str | None,
    patient: str | None,
    user: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> AuditExtract:
    """The extract of a case or patient; that it was asked for is entered too.

    Raises:
        SettingsError: a time that cannot be read.
        ProblemError: no such case or patient (404).
    """
    start, end = period(since, until)
    with service.casebook.reading() as connection:
        try:
            found = extract(
                connection,
                case=case or None,
                patient=patient or None,
                user=user or None,
                since=start,
                until=end,
            )
        except CasebookError as error:
            raise missing(str(error)) from error
    with service.casebook.writing() as connection:
        auditing.note(
            connection, verb="audit", who=person.name, details={"entries": len(found.entries)}
        )
    return found
