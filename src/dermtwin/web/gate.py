"""Who asks, and what they may do: the one gate that every page, API route and token goes through.

    cookie     a session, signed, that names a user and the user's epoch (`casebook.accounts`)
    bearer     a token; its role is never above its user's, and it never manages users
    neither    whoever is at this machine, while the casebook has no user at all

The gate stands before the request's body is read. Each route declares by `needs` what it asks for;
a route that declares nothing, and is not listed in `OPEN`, stops the server from starting.

A request that changes something must come from this server's own pages (or from no browser at all):
the browser says so in `Sec-Fetch-Site`, or in `Origin`. Cookies are `SameSite=Lax` besides.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import SplitResult, quote, urlsplit

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from dermtwin.casebook import accounts, auditing
from dermtwin.casebook.accounts import Role
from dermtwin.errors import DermtwinError
from dermtwin.web.problems import ProblemError, is_api, told

if TYPE_CHECKING:
    from dermtwin.web.service import Service

__all__ = ["OPEN", "Gate", "Permission", "Person", "Role", "declared", "needs", "refuse_undeclared"]

OPEN = frozenset(
    {"/login", "/logout", "/static", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"}
)
"""Addresses (and what lies below) that ask for nobody; `/metrics` looks for itself."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SIGN_INS = frozenset({("POST", "/login"), ("GET", "/login/openid/back")})
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class Permission(StrEnum):
    """What a route may ask for."""

    SEARCH = "search"
    LOOK = "look"
    ADD = "add"
    FORGET = "forget"
    AUDIT = "audit"
    USERS = "users"


_DOES: Mapping[Permission, str] = {
    Permission.SEARCH: "search",
    Permission.LOOK: "look at cases",
    Permission.ADD: "add cases",
    Permission.FORGET: "forget cases",
    Permission.AUDIT: "see the audit log",
    Permission.USERS: "see or change users",
}
_VIEWER = frozenset({Permission.SEARCH, Permission.LOOK})
_RIGHTS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.CONTRIBUTOR: _VIEWER | {Permission.ADD},
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks.

    Attributes:
        name: as the audit log writes it.
        role: what they are trusted with.
        is_local: whoever is at this machine, where there is no user.
        token: the public part of the token that speaks for them; None: they are here themselves.
    """

    name: str
    role: Role
    is_local: bool = False
    token: str | None = None

    def may(self, permission: Permission) -> bool:
        """Whether they may do it; a token never manages users, and so never its own rights."""
        if self.token is not None and permission is Permission.USERS:
            return False
        return permission in _RIGHTS[self.role]


@dataclass(frozen=True, slots=True)
class _Needs:
    """A dependency that gives the person who asks, if they may."""

    permission: Permission

    async def __call__(self, request: Request) -> Person:
        person: Person | None = request.scope["state"].get("person")
        if person is None:
            raise _nobody()
        if not person.may(self.permission):
            raise ProblemError(
                f"{'a token' if person.token else 'a user'} with the role {person.role} may not "
                f"{_DOES[self.permission]} here; ask an admin of this casebook.",
                status=HTTPStatus.FORBIDDEN,
            )
        return person


def needs(permission: Permission) -> Any:  # noqa: ANN401 - as `Depends` itself
    """Declare what a route asks for; as a parameter's default it gives the `Person`."""
    return Depends(_Needs(permission))


Searcher = Annotated[Person, needs(Permission.SEARCH)]
Looker = Annotated[Person, needs(Permission.LOOK)]
Adder = Annotated[Person, needs(Permission.ADD)]
Forgetter = Annotated[Person, needs(Permission.FORGET)]
Auditor = Annotated[Person, needs(Permission.AUDIT)]
Manager = Annotated[Person, needs(Permission.USERS)]


# --- at start-up


def declared(route: APIRoute) -> frozenset[Permission]:
    """What a route asks for."""
    return frozenset(
        each.call.permission
        for each in route.dependant.dependencies
        if isinstance(each.call, _Needs)
    )


def routes_of(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if isinstance(inner, APIRouter):
            yield from routes_of(inner.routes)
        else:
            yield route


def refuse_undeclared(app: FastAPI) -> None:
    """See to it that every route declares what it asks for.

    Raises:
        DermtwinError: one does not, and is not in `OPEN`.
    """
    for route in routes_of(app.routes):
        path = str(getattr(route, "path", ""))
        if is_open(path) or (isinstance(route, APIRoute) and declared(route)):
            continue
        kind = "folder" if isinstance(route, Mount) else "route"
        raise DermtwinError(
            f"the {kind} {path} declares nobody who may use it; give it `needs(Permission.…)`."
        )


def is_open(path: str) -> bool:
    """Whether an address asks for nobody."""
    return any(path == each or path.startswith(f"{each}/") for each in OPEN)


# --- at each request


@dataclass(slots=True)
class Buckets:
    """Token buckets: so many requests at once, so many a second after that, for each key.

    Attributes:
        per_second: how fast a bucket fills.
        at_once: how much it holds.
    """

    per_second: float
    at_once: float
    _lock: Lock = field(default_factory=Lock)
    _filled: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, key: str) -> bool:
        """Take one from a bucket; tells whether there was one."""
        now = monotonic()
        with self._lock:
            if len(self._filled) > _MANY_BUCKETS:
                self._forget_full(now)
            left, at = self._filled.get(key, (float(self.at_once), now))
            left = min(self.at_once, left + (now - at) * self.per_second)
            self._filled[key] = (left - 1 if left >= 1 else left, now)
            return left >= 1

    def _forget_full(self, now: float) -> None:
        needed = self.at_once / self.per_second
        self._filled = {key: each for key, each in self._filled.items() if now - each[1] < needed}


_MANY_BUCKETS = 10_000


class Gate:
    """ASGI middleware: finds out who asks, and turns away who may not ask at all."""

    def __init__(self, app: ASGIApp, *, service: "Service") -> None:
        self._app = app
        self._service = service
        settings = service.settings
        self._requests = Buckets(settings.per_second, settings.at_once)
        self._sign_ins = Buckets(settings.sign_ins_a_minute / 60, settings.sign_ins_a_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, with `state.person`, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            person = await self._person(request)
            scope.setdefault("state", {})["person"] = person
            self._refuse_stranger(request, person)
            self._refuse_too_many(request, person)
        except DermtwinError as error:
            response = self._turned_away(request, error)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _person(self, request: Request) -> Person | None:
        path = request.url.path
        if path == "/static" or path.startswith("/static/") or path in ("/healthz", "/readyz"):
            return None
        return await run_in_threadpool(who_asks, request, self._service)

    def _refuse_stranger(self, request: Request, person: Person | None) -> None:
        if request.method not in _SAFE:
            _refuse_foreign_page(request, person)
        if person is None and not is_open(request.url.path):
            raise _nobody()

    def _refuse_too_many(self, request: Request, person: Person | None) -> None:
        address = request.client.host if request.client else ""
        name = "" if person is None else f"{person.name} {person.token or ''}"
        is_fine = self._requests.take(f"{name} {address}")
        if (request.method, request.url.path) in _SIGN_INS:
            is_fine = self._sign_ins.take(address) and is_fine
        if not is_fine:
            raise ProblemError(
                "too many requests came from here; wait some seconds and ask again.",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                headers={"Retry-After": "5"},
            )

    def _turned_away(self, request: Request, error: DermtwinError) -> Response:
        is_page = request.method == "GET" and not is_api(request.url.path)
        is_unknown = isinstance(error, ProblemError) and error.status == HTTPStatus.UNAUTHORIZED
        if is_page and is_unknown:
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(wanted, safe='')}", HTTPStatus.SEE_OTHER)
        return told(request, error)


def who_asks(request: Request, service: "Service") -> Person | None:
    """The person behind a request; None: nobody that is known.

    Raises:
        CasebookError: the casebook cannot be read.
    """
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        # Whoever shows a token is judged by it alone, never by a cookie beside it.
        found = accounts.bearer(service.casebook, text.strip())
        return found and Person(found[0].name, found[1].role, token=found[1].id)
    if (account := service.sessions.account(request)) is not None:
        return Person(account.name, account.role)
    if is_from_here(request, service) and not accounts.has_accounts(service.casebook):
        return Person(auditing.user(), Role.ADMIN, is_local=True)
    return None


def is_from_here(request: Request, service: "Service") -> bool:
    """Whether a request was made at this machine, for this machine by name.

    A page of another host that lets its own name lead here (DNS rebinding) names that host; a proxy
    on this machine says for whom it asks.
    """
    if not service.settings.stays_here or _is_forwarded(request):
        return False
    host = _parted(f"//{request.headers.get('host', '')}").hostname
    return host in _HERE and request.client is not None and is_loopback(request.client.host)


def _parted(address: str) -> SplitResult:
    """An address in its parts; what is no address has none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _is_forwarded(request: Request) -> bool:
    return any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip"))


def _refuse_foreign_page(request: Request, person: Person | None) -> None:
    """Refuse a change that a page of another site asks for in a person's name."""
    if person is not None and person.token is not None:
        return  # no browser adds a token by itself
    said = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if said is not None:
        is_own = said in ("same-origin", "none")
    elif origin is not None:
        is_own = _parted(origin).netloc == request.headers.get("host")
    else:
        # No browser. A cookie in other hands than a browser's must say where it comes from.
        is_own = person is None or person.is_local
    if not is_own:
        raise ProblemError(
            "this change was asked for by a page of another site, or does not say by which; "
            "do it on this server's own page, or with a token.",
            status=HTTPStatus.FORBIDDEN,
        )


def _nobody() -> ProblemError:
    return ProblemError(
        "nobody is signed in; sign in, or send a token (Authorization: Bearer …).",
        status=HTTPStatus.UNAUTHORIZED,
        headers={"WWW-Authenticate": "Bearer"},
    )
