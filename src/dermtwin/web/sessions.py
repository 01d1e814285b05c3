"""Sign-in and sign-out: signed cookies that name a user and the user's epoch.

A session is made when somebody signs in and is never taken over from before, so that none can be
planted. Nothing of it is kept on the server but the epoch: a new one ends them all.
"""

from secrets import token_bytes
from threading import BoundedSemaphore
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from dermtwin.casebook import Casebook, KeyName, accounts, keep_key, kept_key
from dermtwin.casebook.accounts import Account

router = APIRouter(include_in_schema=False)

_SEE_OTHER = 303
_SALT = "dermtwin session"
# Argon2 takes 64 MiB for each password that is looked at.
_AT_ONCE = 2


class Sessions:
    """The sessions of one casebook; workers share its key."""

    def __init__(self, casebook: Casebook, *, hours: float) -> None:
        self._casebook = casebook
        self._seconds = round(hours * 3600)
        self._key: bytes | None = None
        self._looking = BoundedSemaphore(_AT_ONCE)

    def account(self, request: Request) -> Account | None:
        """The user whose session a request carries; None: none that holds."""
        text = request.cookies.get(cookie_name(request))
        if text is None:
            return None
        try:
            said = self.signer(_SALT).loads(text, max_age=self._seconds)
            name, epoch = said["name"], said["epoch"]
        except (BadSignature, KeyError, TypeError):
            return None
        found = accounts.account(self._casebook, name)
        return found if found is not None and found.epoch == epoch else None

    def sign_in(self, name: str, password: str) -> Account | None:
        """The user whom name and password open; see `accounts.sign_in`."""
        with self._looking:
            return accounts.sign_in(self._casebook, name, password=password)

    def begin(self, request: Request, response: Response, account: Account) -> None:
        """Give the browser a session."""
        response.set_cookie(
            cookie_name(request),
            self.signer(_SALT).dumps({"name": account.name, "epoch": account.epoch}),
            max_age=self._seconds,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="lax",
        )

    def end(self, request: Request, response: Response) -> None:
        """End all sessions of the user whose session a request carries."""
        if (account := self.account(request)) is not None:
            accounts.end_sessions(self._casebook, account.name)
        response.delete_cookie(
            cookie_name(request), secure=is_secure(request), httponly=True, samesite="lax"
        )

    def signer(self, salt: str) -> URLSafeTimedSerializer:
        """What signs cookies of one kind by the casebook's key; its salt names the kind."""
        if self._key is None:
            key = kept_key(self._casebook, KeyName.SESSIONS)
            self._key = key or keep_key(self._casebook, KeyName.SESSIONS, token_bytes(32))
        return URLSafeTimedSerializer(self._key, salt=salt)


def safe_next(text: str) -> str:
    """Where to go after signing in: an address of this server, or its first page."""
    # `//host` and `/\host` are other hosts to a browser, and so is what holds a line's end.
    is_own = text.startswith("/") and text[1:2] not in ("/", "\\") and text.isprintable()
    return text if is_own else "/"


@router.post("/login")
def sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 - the form's field
) -> Response:
    """Sign in by the page's form; back to `/login?failed=1` if that opens nothing."""
    sessions: Sessions = request.app.state.service.sessions
    wanted = safe_next(next)
    account = sessions.sign_in(name, password)
    if account is None:
        return RedirectResponse(f"/login?failed=1&next={quote(wanted, safe='')}", _SEE_OTHER)
    response = RedirectResponse(wanted, _SEE_OTHER)
    sessions.begin(request, response, account)
    return response


@router.post("/logout")
def sign_out(request: Request) -> Response:
    """Sign out, here and everywhere."""
    response = RedirectResponse("/login", _SEE_OTHER)
    request.app.state.service.sessions.end(request, response)
    return response


def is_secure(request: Request) -> bool:
    """Whether a request came over TLS."""
    return request.url.scheme == "https"


def cookie_name(request: Request, name: str = "dermtwin") -> str:
    """What a cookie is called to whoever asks."""
    # With this prefix a browser takes it over TLS from this very host alone.
    return f"__Host-{name}" if is_secure(request) else name
