"""Whether the server lives, is ready, and how it fares; for whoever watches it."""

from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dermtwin.web import metrics
from dermtwin.web.gate import Permission, Person, is_from_here
from dermtwin.web.problems import ProblemError
from dermtwin.web.service import Served

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
def healthz() -> JSONResponse:
    """That the process answers at all."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
def readyz(service: Served) -> JSONResponse:
    """That the casebook can be asked; the first call opens it."""
    snapshot = service.consultation.refresh()
    service.metrics.holds(len(snapshot))
    return JSONResponse({"status": "ready", "gallery_version": snapshot.version})


@router.get("/metrics")
def metrics_text(request: Request, service: Served) -> Response:
    """Counters for Prometheus: from this machine, or with an admin's token."""
    person: Person | None = request.scope["state"].get("person")
    may = person is not None and person.may(Permission.AUDIT)
    if not may and not is_from_here(request, service):
        raise ProblemError(
            "metrics are told to this machine, or to an admin's token; send one.",
            status=HTTPStatus.UNAUTHORIZED if person is None else HTTPStatus.FORBIDDEN,
        )
    return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)
