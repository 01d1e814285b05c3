"""Signing in through another server, a real one on this machine, true and false."""

import base64
import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

pytest.importorskip("joserfc", reason="needs the extra 'oidc'")

from fastapi.responses import JSONResponse, Response
from identity import CLIENT, SECRET, Identity
from joserfc.jwk import RSAKey
from served import FREE, HERE, Clinic, client_of, running, serving

import dermtwin
from dermtwin.casebook import accounts
from dermtwin.casebook.accounts import Role
from dermtwin.errors import CasebookError, MissingExtraError, SettingsError
from dermtwin.web.application import create_app
from dermtwin.web.settings import OpenIDSettings

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def running_identity() -> Iterator[Identity]:
    identity = Identity()
    with running(identity.app) as address:
        # Another site than 127.0.0.1 to a browser, as a provider always is.
        identity.issuer = address.replace("127.0.0.1", "localhost")
        yield identity


@pytest.fixture
def identity(running_identity) -> Identity:
    running_identity.says.clear()
    running_identity.answers.clear()
    running_identity.makes_token = running_identity.ways = None
    return running_identity


def settings_of(identity: Identity, **changes) -> OpenIDSettings:
    given = {"issuer": identity.issuer, "client": CLIENT, "secret": SECRET, "name": "the hospital"}
    return OpenIDSettings(**given | changes)


@pytest.fixture
def linked(staffed, identity) -> Iterator[Clinic]:
    """A casebook whose viewer the other server knows."""
    accounts.set_openid(staffed.casebook, "a.viewer", openid="subject-1")
    clinic = Clinic(staffed.book, replace(FREE, openid=settings_of(identity)))
    yield clinic
    clinic.app.state.service.close()


def gone(client, *, wanted="/map") -> str:
    """Where the other server sends a browser back to."""
    away = client.get("/login/openid", params={"next": wanted})
    assert away.status_code == 303, away.text
    return httpx.post(away.headers["location"]).headers["location"]


def is_in(client) -> bool:
    return client.get("/api/v1/encoders").is_success


def assert_refused(client, answer, *, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert 'role="alert"' in answer.text
    assert "<form" in answer.text  # the sign-in page itself
    assert set(client.cookies) <= {"dermtwin-openid"}
    assert not is_in(client)


def test_a_known_person_comes_in_and_goes_out(linked) -> None:
    client = linked.client()
    page = client.get("/login?next=/map").text
    assert 'href="/login/openid?next=/map"' in page
    assert "Sign in with the hospital" in page
    assert "<b>" not in client.get("/login", params={"next": '/"><b>'}).text
    back = gone(client)
    assert back.startswith(f"{HERE}/login/openid/back?")
    entered = client.get(back)
    assert (entered.status_code, entered.headers["location"]) == (303, "/map")
    assert set(client.cookies) == {"dermtwin"}
    assert is_in(client)
    assert client.get("/api/v1/audit").status_code == 403, "a viewer, whatever the provider says"
    accounts.set_role(linked.casebook, "a.viewer", role=Role.ADMIN)
    entries = client.get("/api/v1/audit", params={"user": "a.viewer"}).json()["entries"]
    assert ("a.viewer", "sign in") in {(each["who"], each["verb"]) for each in entries}
    assert client.post("/logout").headers["location"] == "/login"
    assert not is_in(client)
    assert client.get(gone(client, wanted="//evil.example")).headers["location"] == "/"
    assert is_in(client)
    accounts.set_openid(linked.casebook, "a.viewer", openid=None)
    assert not is_in(client)


def test_whom_the_provider_alone_knows_stays_out(linked, identity) -> None:
    for word in ("subject-2", "a.admin", "SUBJECT-1", "<script>x</script>"):
        identity.says["sub"] = word
        client = linked.client()
        shown = word.replace("<", "&lt;").replace(">", "&gt;")
        assert_refused(client, client.get(gone(client)), status=403, said=f"as {shown}, which is")


def forged(header: dict, claims: dict, key: bytes | None) -> str:
    """A token signed by HMAC, or by nobody."""

    def part(raw: bytes) -> bytes:
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    text = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims).encode())
    mark = b"" if key is None else part(hmac.digest(key, text, hashlib.sha256))
    return (text + b"." + mark).decode()


CLAIMS = {
    "another audience": {"aud": "another client"},
    "no audience": {"aud": None},
    "another's token, for us too": {"aud": [CLIENT, "other"], "azp": "other"},
    "another audience, asked for by us": {"aud": "other", "azp": CLIENT},
    "two audiences, asked for by nobody": {"aud": [CLIENT, "other"]},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": int(time.time()) - 3600},
    "never expires": {"exp": None},
    "expires at a word": {"exp": "tomorrow"},
    "made tomorrow": {"iat": int(time.time()) + 86400},
    "another nonce": {"nonce": "x" * 43},
    "no nonce": {"nonce": None},
    "nobody": {"sub": None},
    "an empty name": {"sub": ""},
    "a number": {"sub": 1},
    "a name that no database takes": {"sub": "subject-1\0"},
    "half a character": {"sub": "\ud800"},
    "another access token": {"at_hash": "AAAA"},
}
TOKENS = {
    "signed by nobody": lambda _, claims: forged({"alg": "none"}, claims, None),
    "signed by nobody, in capitals": lambda _, claims: forged({"alg": "NONE"}, claims, None),
    "signed with our secret": lambda _, claims: forged({"alg": "HS256"}, claims, SECRET.encode()),
    "signed with the public key as a secret": lambda identity, claims: forged(
        {"alg": "HS256", "kid": "one"}, claims, identity.key.as_pem(private=False)
    ),
    "signed with another key of that name": lambda identity, claims: identity.signed(
        claims, key=RSAKey.generate_key(2048)
    ),
    "signed with its own key": lambda _, claims: Identity(
        key=(key := RSAKey.generate_key(2048))
    ).signed(claims, key=key, kid="two"),
    "changed": lambda identity, claims: identity.signed(claims)[:-8] + "AAAAAAAA",
    "no token": lambda *_: "a.b.c",
    "a list": lambda *_: [1],
    "null": lambda *_: None,
}


def test_a_token_that_does_not_hold_lets_nobody_in(linked, identity, caplog) -> None:
    client = linked.client()
    caplog.set_level(logging.INFO)
    for fault in (*CLAIMS, *TOKENS):
        identity.says = CLAIMS.get(fault, {})
        identity.makes_token = partial(TOKENS[fault], identity) if fault in TOKENS else None
        answer = client.get(gone(client))
        assert answer.status_code == 403, fault
        assert_refused(client, answer, status=403, said="the hospital did not confirm who you are")
    # The test's own client names addresses, with their codes.
    ours = [each.getMessage() for each in caplog.records if not each.name.startswith("http")]
    failed = [each for each in ours if "OpenID Connect failed" in each]
    assert len(failed) == len(CLAIMS) + len(TOKENS)
    assert len(identity.given) > len(failed)
    assert not [secret for secret in identity.given for each in ours if secret in each]


ODD = [
    Response("<h1>Down for maintenance</h1>", media_type="text/html"),
    Response(b"\xff\xfe", media_type="application/json"),
    JSONResponse([1, 2]),
    JSONResponse({}),
    JSONResponse({"keys": "no", "id_token": {}}),
    JSONResponse({"keys": [1], "id_token": 1}),
    JSONResponse({"keys": [{"kty": "RSA", "n": "%", "e": 3}], "id_token": "x"}),
    JSONResponse({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}], "id_token": ".."}),
    Response("", 302, {"location": "/elsewhere"}),
    JSONResponse({"error": "server_error"}, 500),
]


def test_nonsense_is_one_sentence(linked, identity) -> None:
    client = linked.client()
    for path in ("/token", "/keys"):
        for odd in ODD:
            back = gone(client)
            identity.answers = {path: odd}
            answer = client.get(back)
            identity.answers = {}
            assert_refused(client, answer, status=403, said="did not confirm who you are")
    good = identity.discovery().body.decode()
    others = [good.replace(identity.issuer, "https://evil.example", 1)]
    others += [good.replace(f'{identity.issuer}/token"', f'{each}"') for each in ("javascript:x",)]
    others += [good.replace('"jwks_uri"', '"jwks"')]
    for odd in (*ODD, *(Response(each) for each in others)):
        identity.answers = {DISCOVERY: odd}
        linked.app.state.openid._known = None
        answer = client.get("/login/openid")
        assert_refused(client, answer, status=503, said="cannot be asked now who you are")
    identity.answers = {}
    client.get(gone(client))
    assert is_in(client), "and works again by itself"


def test_a_provider_that_is_down(staffed, identity) -> None:
    clinic = Clinic(
        staffed.book, replace(FREE, openid=settings_of(identity, issuer="http://localhost:1"))
    )
    client = clinic.client()
    assert_refused(client, client.get("/login/openid"), status=503, said="cannot be asked now")
    clinic.app.state.service.close()


def test_only_who_went_comes_back_and_only_once(linked) -> None:
    client, other = linked.client(), linked.client()
    back = gone(client)
    state = parse_qs(urlsplit(back).query)["state"][0]
    cookie = client.cookies["dermtwin-openid"]
    said = "not begun in this browser"
    assert_refused(other, other.get(back), status=400, said=said)
    gone(other)
    assert_refused(other, other.get(back), status=400, said=said)
    for wrong in ("", f"?state={state[:-1]}&code=x", "?code=x", "?state=%ff%00é&code=x"):
        tried = linked.client()
        tried.cookies.set("dermtwin-openid", cookie)
        assert_refused(tried, tried.get(f"/login/openid/back{wrong}"), status=400, said=said)
    for planted in ("dermtwin", "dermtwin-openid"):
        forger = linked.client()
        forger.cookies.set(planted, cookie if planted == "dermtwin" else cookie[:-2] + "AA")
        assert not is_in(forger), "what was sent along is no session"
        assert forger.get(back).status_code == 400
    client.cookies.set("dermtwin-openid", cookie)
    denied = client.get(f"/login/openid/back?error=access_denied&state={state}")
    assert_refused(client, denied, status=403, said="did not confirm")
    client.cookies.set("dermtwin-openid", cookie)
    assert client.get(back).status_code == 303
    again = linked.client()
    again.cookies.set("dermtwin-openid", cookie)
    assert_refused(again, again.get(back), status=403, said="did not confirm")


def test_over_tls_it_keeps_to_this_host(linked, identity) -> None:
    identity.ways = ["client_secret_post"]
    client = client_of(linked.app, host="https://cases.example.org")
    away = client.get("/login/openid")
    cookie = away.headers["set-cookie"]
    assert cookie.startswith("__Host-dermtwin-openid=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    back = httpx.post(away.headers["location"]).headers["location"]
    assert back.startswith("https://cases.example.org/login/openid/back?")
    assert client.get(back).status_code == 303
    assert set(client.cookies) == {"__Host-dermtwin"}


def test_an_address_counts_only_where_it_is_verified(staffed, identity) -> None:
    accounts.set_openid(staffed.casebook, "a.viewer", openid="a.viewer@clinic.example")
    openid = settings_of(identity, claim="email")
    clinic = Clinic(staffed.book, replace(FREE, openid=openid))
    identity.says["email"] = "a.viewer@clinic.example"
    for verified, is_good in ((None, False), (False, False), ("true", False), (True, True)):
        identity.says["email_verified"] = verified
        client = clinic.client()
        client.get(gone(client))
        assert is_in(client) is is_good
    clinic.app.state.service.close()


def test_no_two_users_of_one_word(staffed) -> None:
    casebook = staffed.casebook
    made = accounts.add_account(casebook, "zoe", password=None, role=Role.VIEWER, openid="z")
    assert (made.openid, made.has_password) == ("z", False)
    assert accounts.sign_in(casebook, "zoe", password="") is None
    for refused in (
        lambda: accounts.add_account(casebook, "y", password=None, role=Role.VIEWER, openid="z"),
        lambda: accounts.set_openid(casebook, "a.viewer", openid="z"),
        lambda: accounts.set_openid(casebook, "nobody", openid="y"),
    ):
        with pytest.raises(CasebookError):
            refused()
    for odd in ("", " z", "z\n", "z" * 256):
        with pytest.raises(SettingsError, match="is no word"):
            accounts.set_openid(casebook, "zoe", openid=odd)
    accounts.set_openid(casebook, "zoe", openid="z")  # its own


def test_what_cannot_be_set_up_is_refused(monkeypatch, identity) -> None:
    for issuer in ("http://login.example.org", "login.example.org", "https://", "https://[", ""):
        with pytest.raises(SettingsError):
            settings_of(identity, issuer=issuer)
    for missing in ("client", "secret", "claim"):
        with pytest.raises(SettingsError, match=missing):
            settings_of(identity, **{missing: ""})
    assert SECRET not in repr(settings_of(identity))
    monkeypatch.setitem(sys.modules, "authlib", None)
    with pytest.raises(MissingExtraError, match=r"dermtwin\[oidc\]"):
        settings_of(identity)


def test_by_the_program(book, program, identity, tmp_path, monkeypatch) -> None:
    at = ("--casebook", book)
    program("user", "add", "root", "--role", "admin", "--openid", "subject-1", *at)
    told = program("user", "openid", "root", *at).stderr
    assert "root comes in by no other server's word" in told
    dermtwin.set_user_openid("root", casebook=book, openid="subject-1")
    here = ("--openid-issuer", identity.issuer, "--openid-client", CLIENT)
    assert "lacks the secret" in program("serve", *at, *here, code=1).stderr
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("DERMTWIN_OPENID_SECRET_FILE", str(tmp_path / "secret"))
    with serving(book, *here, "--openid-name", "the hospital") as client:
        assert "Sign in with the hospital" in client.get("/login").text
        entered = client.get(gone(client, wanted="/admin/users"), follow_redirects=True)
        assert "root" in entered.text
        assert entered.url.path == "/admin/users"
        assert not client.get("/api/v1/users").json()["users"][0]["has_password"]
    assert dermtwin.list_users(casebook=book)[0].openid == "subject-1"


def test_in_a_browser(linked, identity) -> None:
    looking = pytest.importorskip("looking", reason="no browser without playwright")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    if looking.CHROMIUM is None:
        pytest.skip("there is no Chromium to look with")
    app = create_app(linked.book, settings=linked.settings)
    with running(app) as address, looking.looking(address) as browser:
        page = browser.page(width=360)
        page.goto("/map?x=1")
        assert urlsplit(page.url).path == "/login"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert axe.Axe().run(page).violations_count == 0
        while page.evaluate("document.activeElement.innerText") != "Sign in with the hospital":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{identity.issuer}/**")
        page.click("text=It is me")
        page.wait_for_url("**/map?x=1")
        assert page.inner_text(".person") == "a.viewer"
        identity.says["sub"] = "somebody else"
        other = browser.page(theme="dark")
        other.goto("/login")
        other.click("text=Sign in with the hospital")
        other.click("text=It is me")
        assert "as somebody else, which is no user here" in other.inner_text("[role=alert]")
        page.click("text=Sign out")
        page.wait_for_url("**/login*")
        # Only what was asked for there was elsewhere.
        elsewhere = f"a request to another host: {identity.issuer}/authorize?"
        browser.complaints[:] = [
            each for each in browser.complaints if not each.startswith(elsewhere)
        ]
