"""What every request meets first and every answer last: names, size limit, headers, log."""

import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dermtwin.web.problems import ProblemError, told

if TYPE_CHECKING:
    from dermtwin.web.service import Service

logger = logging.getLogger("dermtwin.web")

# A form's fields beside its image.
_FORM_BYTES = 256 * 2**10
# Of what is refused, so many times the largest image is read and dropped.
_HEARD = 4

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ONE_YEAR_TLS = "max-age=31536000"
_API = "/api/v1"


class WholeNames:
    """ASGI middleware: a slash in a case's name, sent as %2F, does not part the address.

    Servers decode an address before its route is looked up. Here slashes that were sent encoded
    stay so, and so do per cent signs, to be told from them; `api.documented.Name` decodes both.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its address decoded but for what belongs to a name."""
        if "raw_path" in scope:
            kept = re.sub("%(2f|25)", r"%25\1", scope["raw_path"].decode(), flags=re.IGNORECASE)
            scope = {**scope, "path": unquote(kept)}
        await self._app(scope, receive, send)


@dataclass(slots=True)
class _Body:
    """A request's body, as it comes in."""

    receive: Receive
    read: int = 0
    is_whole: bool = False

    async def next(self) -> Message:
        message = await self.receive()
        self.read += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        return message

    async def hear_out(self, *, most: int) -> None:
        """Drop what is still to come, up to so many bytes in all."""
        while not self.is_whole and self.read < most:
            await self.next()


class SizeLimit:
    """ASGI middleware: a body that is too large is refused before, or while, it is read.

    Whatever the answer, what is left of the body is heard out before it, within bounds: a browser
    or a proxy that still sends would see a broken connection instead of the answer.
    """

    def __init__(self, app: ASGIApp, *, upload_bytes: int) -> None:
        self._app = app
        self._most = upload_bytes + _FORM_BYTES
        self._most_heard = _HEARD * upload_bytes
        self._told = (
            f"the request is larger than the {upload_bytes // 2**20} MiB that an image may have; "
            "export a smaller copy."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through whose body is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, body = Request(scope).headers, _Body(receive)
        said = headers.get("content-length", "0")
        length = int(said[:20]) if said.isascii() and said.isdigit() else self._most_heard + 1
        # Who waits to be told to go on (RFC 9110, 10.1.1), or would send for long, is not heard.
        most_heard = 0 if "expect" in headers or length > self._most_heard else self._most_heard
        is_too_large = length > self._most

        async def counted() -> Message:
            nonlocal is_too_large
            message = await body.next()
            if body.read > self._most:
                is_too_large = True
                raise self._too_large()
            return message

        async def heard_out(message: Message) -> None:
            if is_too_large:
                return
            if message["type"] == "http.response.start":
                await body.hear_out(most=most_heard)
            await send(message)

        if not is_too_large:
            await self._app(scope, counted, heard_out)
        if is_too_large:
            await body.hear_out(most=most_heard)
            await told(Request(scope), self._too_large())(scope, receive, send)

    def _too_large(self) -> ProblemError:
        # What was not read would be taken for the next request.
        return ProblemError(
            self._told,
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            headers={"Connection": "close"},
        )


class Counted:
    """ASGI middleware: safe headers on every answer; a count and a line of the log for each.

    Neither names an address as it was asked for: that may name a case.
    """

    def __init__(self, app: ASGIApp, *, service: "Service") -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and look at its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                _add_headers(headers, scope)
                headers.update(self._service.stamp() if scope["path"].startswith(_API) else {})
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        finally:
            self._count(scope, status=status, seconds=perf_counter() - start)

    def _count(self, scope: Scope, *, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route(scope)
        self._service.metrics.answered(method=method, route=route, status=status, seconds=seconds)
        logger.info("%s %s %d %.0f ms", method, route, status, seconds * 1000)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _add_headers(headers: MutableHeaders, scope: Scope) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = _ONE_YEAR_TLS
    if not scope["path"].startswith("/static/"):
        # Nothing of a patient stays in a browser's cache, or in a proxy's.
        headers["Cache-Control"] = "no-store"


def _route(scope: Scope) -> str:
    """The route that answered, as it is declared; `other` where none did."""
    if scope["path"].startswith("/static/"):
        return "/static"
    route = str(getattr(scope.get("route"), "path", "other"))
    # A route of a router knows nothing of what stands before it.
    is_api = scope["path"].startswith(_API) and not route.startswith(_API)
    return f"{_API}{route}" if is_api and scope.get("route") else route
