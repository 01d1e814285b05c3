"""What went wrong, as RFC 9457 problem documents for programs and as a page for people.

A problem's `detail` is the error's own sentence. Nothing else of an error ever leaves the server.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from dermtwin.casebook import HeldError, NoSuchCaseError
from dermtwin.casebook.accounts import AccountError
from dermtwin.errors import (
    CasebookError,
    DermtwinError,
    EncoderError,
    GalleryError,
    ImageError,
    MissingExtraError,
    SettingsError,
)

if TYPE_CHECKING:
    from dermtwin.casebook.location import Location

logger = logging.getLogger("dermtwin.web")

MEDIA_TYPE = "application/problem+json"

# The first that an error is an instance of.
_STATUS: Mapping[type[DermtwinError], HTTPStatus] = {
    ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    SettingsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    EncoderError: HTTPStatus.UNPROCESSABLE_ENTITY,  # it lacks what was asked for
    AccountError: HTTPStatus.CONFLICT,
    HeldError: HTTPStatus.CONFLICT,
    NoSuchCaseError: HTTPStatus.NOT_FOUND,
    CasebookError: HTTPStatus.SERVICE_UNAVAILABLE,
    GalleryError: HTTPStatus.SERVICE_UNAVAILABLE,
    MissingExtraError: HTTPStatus.NOT_IMPLEMENTED,
    DermtwinError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_UNKNOWN = "something went wrong in the server; its log tells more to whoever runs it."


class ProblemError(DermtwinError):
    """A sentence that is answered with a status of its own."""

    def __init__(
        self, detail: str, *, status: HTTPStatus, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def missing(detail: str) -> ProblemError:
    """That there is no such thing (404)."""
    return ProblemError(detail, status=HTTPStatus.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document; see RFC 9457."""

    status: int
    title: str
    detail: str

    @classmethod
    def of(cls, status: int, detail: str) -> "Problem":
        """A problem whose kind is told by its status alone."""
        return cls(status, HTTPStatus(status).phrase, detail)

    def to_json(self) -> dict[str, Any]:
        """As the document; `about:blank` says that the status is the whole type."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


def is_api(path: str) -> bool:
    """Whether programs ask there, not people."""
    return path.startswith(("/api/", "/healthz", "/readyz", "/metrics"))


def answer(
    request: Request, problem: Problem, *, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem for whoever asks: a document for a program, a page for a person."""
    wants_page = "text/html" in request.headers.get("accept", "")
    if is_api(request.url.path) or not wants_page:
        response: Response = JSONResponse(problem.to_json(), problem.status, media_type=MEDIA_TYPE)
    else:
        # The pages stand above the gate, and the gate above this.
        from dermtwin.web.pages import error_page  # noqa: PLC0415

        response = error_page(request, problem)
    response.headers.update(headers or {})
    return response


def install(app: FastAPI) -> None:
    """Turn every error into a problem, in one place."""
    app.add_exception_handler(DermtwinError, told)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def told(request: Request, error: Exception) -> Response:
    """The problem that an error of ours is."""
    assert isinstance(error, DermtwinError)
    if isinstance(error, ProblemError):
        return answer(request, Problem.of(error.status, str(error)), headers=error.headers)
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    said = str(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s", _without_name(said, request))
    said = _without_place(said, where=request.app.state.service.casebook.database.where)
    return answer(request, Problem.of(status, said))


def _without_name(said: str, request: Request) -> str:
    """Which case it is about is for whoever asks, not for the server's log."""
    name = unquote(request.path_params.get("isic_id", ""))
    return said.replace(f"case {name}", "case CASE") if name else said


def _without_place(said: str, *, where: "Location") -> str:
    """Where a casebook lies is for the server's log, not for whoever asks."""
    for place in (str(where), str(where.folder)):
        if place.startswith(("/", "postgresql:")):
            said = said.replace(f"the casebook {place}", "the casebook")
            said = said.replace(place, "CASEBOOK")
    return said


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = Problem.of(error.status_code, _SENTENCES.get(error.status_code, str(error.detail)))
    return answer(request, problem, headers=error.headers)


_SENTENCES: Mapping[int, str] = {
    404: "there is nothing at this address; check it.",
    405: "this address does not take that method; its Allow header names those that it takes.",
}


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The input itself is not repeated: it may be a name, or an image.
    places = "; ".join(
        f"{'.'.join(str(place) for place in each['loc'][1:]) or each['loc'][0]}: "
        f"{each['msg'][:1].lower()}{each['msg'][1:]}"
        for each in error.errors()[:5]
    )
    return answer(request, Problem.of(422, f"the request cannot be used ({places}); mend it."))


def _unexpected(request: Request, error: Exception) -> Response:
    del error
    return answer(request, Problem.of(500, _UNKNOWN))
