"""Signing in through another server: OpenID Connect's code flow (Core 1.0, 3.1) with PKCE.

    /login/openid         there, with a state, a nonce and a code challenge; a cookie keeps them
    /login/openid/back    back with a code: code > ID token > its word > the user of that word

The other server says who somebody is, never whether they may come in: an admin made the user and
wrote down the word by which that server knows them. What they may do is their role here.
"""

import hmac
import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from threading import BoundedSemaphore
from time import monotonic
from typing import Annotated, Any

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response
from itsdangerous import BadSignature
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from dermtwin.casebook import accounts
from dermtwin.casebook.accounts import Account
from dermtwin.web.pages.signing import login_page
from dermtwin.web.problems import ProblemError
from dermtwin.web.service import of
from dermtwin.web.sessions import cookie_name, is_secure, safe_next
from dermtwin.web.settings import OpenIDSettings, is_trusted_address

logger = logging.getLogger("dermtwin.web")

router = APIRouter(prefix="/login/openid", include_in_schema=False)

# Signatures that only the issuer can make: none by the client's own secret, and never `none`.
_SIGNED_BY = [f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)]
_SIGNED_BY += ["EdDSA", "Ed25519"]
_CLOCKS_DIFFER_S = 60
_KNOWN_FOR_S = 3600
_ANSWERS_WITHIN_S = 10
_AT_ONCE = 8
_FLOW_S = 600
_SALT = "dermtwin openid"
# What an answer that is no OpenID Connect raises where it is read.
_NONSENSE = (
    httpx.HTTPError,
    httpx.InvalidURL,
    JoseError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

_NOT_BEGUN = "This sign-in was not begun in this browser, or too long ago; begin again."


class _OddAnswerError(ValueError):
    """An answer that is not as it should be; its text holds nothing that was answered."""


class Provider:
    """The other server; threads share it."""

    def __init__(self, settings: OpenIDSettings) -> None:
        self.settings = settings
        self._trusted = httpx.create_ssl_context()  # takes long to make
        self._asking = BoundedSemaphore(_AT_ONCE)
        self._known: tuple[float, Mapping[str, Any]] | None = None

    def begin(self, *, back: str) -> tuple[str, dict[str, str]]:
        """Where to send a browser, and what it must bring along when it is back.

        Raises:
            ProblemError: the provider cannot be asked.
        """
        flow = {each: secrets.token_urlsafe(32) for each in ("state", "nonce", "verifier")}
        asked = {
            "response_type": "code",
            "client_id": self.settings.client,
            "redirect_uri": back,
            "scope": "openid" if self.settings.claim == "sub" else "openid email profile",
            "state": flow["state"],
            "nonce": flow["nonce"],
            "code_challenge": create_s256_code_challenge(flow["verifier"]),
            "code_challenge_method": "S256",
        }
        with self._asked(HTTPStatus.SERVICE_UNAVAILABLE) as client:
            address = self._metadata(client)["authorization_endpoint"]
            return str(httpx.URL(address).copy_merge_params(asked)), flow

    def word(self, code: str, *, flow: Mapping[str, str], back: str) -> str:
        """By which word the provider knows whoever brought a code.

        Raises:
            ProblemError: the provider cannot be asked, does not take the code, or its ID token does
                not hold.
        """
        with self._asked(HTTPStatus.SERVICE_UNAVAILABLE) as client:
            metadata = self._metadata(client)
        with self._asked(HTTPStatus.FORBIDDEN) as client:
            token = self._token(client, metadata, code=code, flow=flow, back=back)
            keys: Any = _json(client.get(metadata["jwks_uri"]))
            return self._word(token, KeySet.import_key_set(keys), nonce=flow["nonce"])

    @contextmanager
    def _asked(self, status: HTTPStatus) -> Iterator[httpx.Client]:
        """A client whose failures are a sentence for a person and a line for the log."""
        if not self._asking.acquire(blocking=False):
            raise self.problem(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            with httpx.Client(verify=self._trusted, timeout=_ANSWERS_WITHIN_S) as client:
                yield client
        except _NONSENSE as error:
            # Of others no more than the claim: a message may hold what a token holds.
            is_ours = isinstance(error, _OddAnswerError)
            told = str(error) if is_ours else getattr(error, "claim", "")
            logger.warning("OpenID Connect failed: %s %s", type(error).__name__, told)
            is_away = isinstance(error, httpx.TransportError)
            raise self.problem(HTTPStatus.SERVICE_UNAVAILABLE if is_away else status) from error
        finally:
            self._asking.release()

    def problem(self, status: HTTPStatus) -> ProblemError:
        """That it does not confirm anybody, or cannot be asked (503)."""
        name = self.settings.label
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            sentence = f"{name} cannot be asked now who you are; try again in a minute."
        else:
            sentence = f"{name} did not confirm who you are; sign in again."
        return ProblemError(sentence, status=status)

    def _metadata(self, client: httpx.Client) -> Mapping[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 1.0, 4)."""
        if self._known is not None and monotonic() - self._known[0] < _KNOWN_FOR_S:
            return self._known[1]
        issuer = self.settings.issuer
        found = _json(client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if found["issuer"] != issuer:
            raise _OddAnswerError(f"it does not call itself {issuer}")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_trusted_address(found[name]):
                raise _OddAnswerError(f"its {name} is no https:// address")
        self._known = monotonic(), found
        return found

    def _token(
        self,
        client: httpx.Client,
        metadata: Mapping[str, Any],
        *,
        code: str,
        flow: Mapping[str, str],
        back: str,
    ) -> dict[str, Any]:
        """What the provider gives for a code (OpenID Connect Core 1.0, 3.1.3)."""
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": flow["verifier"],
        }
        mine = (self.settings.client, self.settings.secret)
        ways = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in ways:
            answer = client.post(metadata["token_endpoint"], data=asked, auth=mine)
        else:
            asked |= dict(zip(("client_id", "client_secret"), mine, strict=True))
            answer = client.post(metadata["token_endpoint"], data=asked)
        return _json(answer)

    def _word(self, token: Mapping[str, Any], keys: KeySet, *, nonce: str) -> str:
        """The word of an ID token that holds (OpenID Connect Core 1.0, 3.1.3.7)."""
        settings = self.settings
        registry = JWSRegistry(algorithms=_SIGNED_BY, strict_check_header=False)
        read = jwt.decode(token["id_token"], keys, registry=registry)
        wanted = {"iss": {"value": settings.issuer}, "aud": {"value": settings.client}}
        said = {
            "nonce": nonce,
            "client_id": settings.client,
            "access_token": token.get("access_token"),
        }
        claims = CodeIDToken(read.claims, read.header, wanted, said)
        claims.validate(leeway=_CLOCKS_DIFFER_S)
        word = claims.get(settings.claim)
        if not isinstance(word, str) or not (word and word.isprintable()):
            raise _OddAnswerError(f"no claim {settings.claim} in the ID token")
        if settings.claim == "email" and claims.get("email_verified") is not True:
            raise _OddAnswerError("email_verified is not true in the ID token")
        return word


def install(app: FastAPI, settings: OpenIDSettings) -> None:
    """Let people sign in through another server."""
    app.state.openid = Provider(settings)
    app.include_router(router)


@router.get("")
def begin(
    request: Request,
    next: Annotated[str, Query()] = "/",  # noqa: A002 - as of `/login`
) -> Response:
    """Send a browser to the other server."""
    provider: Provider = request.app.state.openid
    try:
        address, flow = provider.begin(back=_back(request))
    except ProblemError as problem:
        return _refused(request, problem, wanted=next)
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        _cookie(request),
        of(request).sessions.signer(_SALT).dumps({**flow, "next": safe_next(next)}),
        max_age=_FLOW_S,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/back")
def back(
    request: Request,
    code: Annotated[str, Query()] = "",
    state: Annotated[str, Query()] = "",
) -> Response:
    """Sign in whoever comes back, if the other server confirms a user of this one."""
    flow = _flow(request)
    wanted = flow.get("next", "/")
    response: Response = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
    try:
        account = _confirmed(request, code=code, state=state, flow=flow)
    except ProblemError as problem:
        response = _refused(request, problem, wanted=wanted)
    else:
        of(request).sessions.begin(request, response, account)
    response.delete_cookie(
        _cookie(request), secure=is_secure(request), httponly=True, samesite="lax"
    )
    return response


def _confirmed(request: Request, *, code: str, state: str, flow: Mapping[str, str]) -> Account:
    """The user whom the other server confirms; raises ProblemError."""
    provider: Provider = request.app.state.openid
    if not flow or not hmac.compare_digest(flow["state"].encode(), state.encode()):
        raise ProblemError(_NOT_BEGUN, status=HTTPStatus.BAD_REQUEST)
    if not code:  # its `error` instead
        raise provider.problem(HTTPStatus.FORBIDDEN)
    word = provider.word(code, flow=flow, back=_back(request))
    account = accounts.sign_in_openid(of(request).casebook, word)
    if account is None:
        raise ProblemError(
            f"{provider.settings.label} knows you as {word}, which is no user here; ask an admin "
            "of this casebook to add you by that word.",
            status=HTTPStatus.FORBIDDEN,
        )
    return account


def _refused(request: Request, problem: ProblemError, *, wanted: str) -> Response:
    return login_page(request, wanted=wanted, problem=str(problem), status=problem.status)


def _flow(request: Request) -> dict[str, str]:
    """What this browser was sent away with; empty: it was not."""
    text = request.cookies.get(_cookie(request), "")
    try:
        found = of(request).sessions.signer(_SALT).loads(text, max_age=_FLOW_S)
    except BadSignature:
        return {}
    return dict(found)


def _cookie(request: Request) -> str:
    return cookie_name(request, "dermtwin-openid")


def _back(request: Request) -> str:
    """This server's address as the browser knows it; the other server lets no other be named."""
    return f"{request.base_url}login/openid/back"


def _json(answer: httpx.Response) -> dict[str, Any]:
    found = answer.json() if answer.is_success else None
    if not isinstance(found, dict):
        raise _OddAnswerError(f"{answer.url} answered {answer.status_code} or no JSON object")
    return found
