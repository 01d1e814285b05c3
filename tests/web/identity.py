"""A small OpenID provider that can be told to answer falsely."""

import base64
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "dermtwin here", "a secret: with % and +"


@dataclass
class Identity:
    """The provider; `issuer` is set when it runs.

    Attributes:
        says: claims of the next ID tokens that differ; None leaves one out.
        answers: what an address answers instead.
        makes_token: makes an ID token of claims.
        given: all that must stay secret.
    """

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    says: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    makes_token: Any = None
    ways: list[str] | None = None
    given: list[str] = field(default_factory=lambda: [SECRET])
    asked: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = FastAPI()
        for path, route, methods in (
            ("/.well-known/openid-configuration", self.discovery, ["GET"]),
            ("/authorize", self.ask, ["GET"]),
            ("/authorize", self.allow, ["POST"]),
            ("/token", self.token, ["POST"]),
            ("/keys", self.keys, ["GET"]),
        ):
            self.app.add_api_route(path, route, methods=methods, response_model=None)
        self.app.middleware("http")(self._differently)

    async def _differently(self, request: Request, go_on) -> Response:
        found = self.answers.get(request.url.path)
        if found is None:
            return await go_on(request)
        return Response(found.body, found.status_code, media_type=found.media_type)

    def discovery(self) -> JSONResponse:
        paths = {
            "authorization_endpoint": "authorize?tenant=7",
            "token_endpoint": "token",
            "jwks_uri": "keys",
        }
        told: dict[str, Any] = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        if self.ways is not None:
            told["token_endpoint_auth_methods_supported"] = self.ways
        # Some do offer `none`; nobody should take it.
        told["id_token_signing_alg_values_supported"] = ["RS256", "HS256", "none"]
        return JSONResponse({"issuer": self.issuer, **told})

    def ask(self) -> HTMLResponse:
        return HTMLResponse(
            "<!doctype html><html lang=en><title>Who are you?</title>"
            "<form method=post><button>It is me</button></form>"
        )

    def allow(self, request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        assert asked["tenant"] == "7"
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
        code = f"code-{len(self.given)}-{time.monotonic_ns()}"
        self.given.append(code)
        self.asked[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 303)

    async def token(self, request: Request) -> JSONResponse:
        form = {name: each[0] for name, each in parse_qs((await request.body()).decode()).items()}
        asked = self.asked.pop(form.get("code", ""), None)  # a code opens once
        if self.ways is None:
            kind, _, text = request.headers["authorization"].partition(" ")
            client, _, secret = base64.b64decode(text).decode().partition(":")
            assert kind == "Basic"
        else:
            client, secret = form["client_id"], form["client_secret"]
        if (client, secret) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        if (
            asked is None
            or asked["code_challenge"] != base64.urlsafe_b64encode(challenge).decode().rstrip("=")
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = (self.makes_token or self.signed)(self._claims(asked))
        self.given += [token] if isinstance(token, str) else []
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": token})

    def _claims(self, asked: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "sub": "subject-1",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        return {name: each for name, each in (said | self.says).items() if each is not None}

    def signed(self, claims: dict[str, Any], *, alg="RS256", key=None, kid="one") -> str:
        return jwt.encode({"alg": alg, "kid": kid}, claims, key or self.key, algorithms=[alg])

    def keys(self) -> JSONResponse:
        odd = {"kty": "of another century", "kid": "zero"}
        return JSONResponse({"keys": [odd, self.key.as_dict(private=False)]})
