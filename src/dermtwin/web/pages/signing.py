"""Signing in, and the page that says what went wrong."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from dermtwin.casebook.accounts import LOCKED, WRONG_TRIES
from dermtwin.web.pages.shell import page, sentence
from dermtwin.web.problems import Problem
from dermtwin.web.service import of
from dermtwin.web.sessions import safe_next

router = APIRouter()

_WRONG = (
    "Name and password do not open anything here. After "
    f"{WRONG_TRIES} wrong passwords in a row a name is locked for "
    f"{round(LOCKED.total_seconds() / 60)} minutes."
)
_ENDED = (
    "You are not signed in, or your session ended; nothing was changed. Sign in, then do it again."
)


@router.get("/login")
def login(
    request: Request,
    next: Annotated[str, Query()] = "/",  # noqa: A002 - the form's field
    failed: Annotated[str, Query()] = "",
) -> Response:
    """The form that signs in; a wrong name, a wrong password and a lock read the same."""
    return login_page(request, wanted=next, problem=_WRONG if failed else None)


def login_page(
    request: Request, *, wanted: str = "/", problem: str | None = None, status: int = 200
) -> Response:
    """Ways to sign in, and why the last one did not lead in."""
    openid = of(request).settings.openid
    shown = {"next": safe_next(wanted), "problem": problem, "openid": openid}
    return page(request, "login.html.j2", status=status, **shown)


def error_page(request: Request, problem: Problem) -> Response:
    """A problem for a person."""
    heading = {
        HTTPStatus.UNAUTHORIZED: "Nobody is signed in",
        HTTPStatus.FORBIDDEN: "Not allowed",
        HTTPStatus.NOT_FOUND: "Nothing here",
        HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    }.get(HTTPStatus(problem.status), "This did not work")
    is_unknown = problem.status == HTTPStatus.UNAUTHORIZED
    said = _ENDED if is_unknown else sentence(problem.detail)
    shown = {"heading": heading, "problem": said, "signs_in": is_unknown}
    return page(request, "problem.html.j2", status=problem.status, **shown)
