"""Users, passwords, sessions, tokens: in both databases, in several processes at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from served import PASSWORD, client_of
from small_fixtures import place, postgres, postgres_url
from sqlalchemy import update

import dermtwin
from dermtwin.casebook import Casebook, KeyName, accounts, kept_key
from dermtwin.casebook.accounts import WRONG_TRIES, Role
from dermtwin.casebook.location import Location
from dermtwin.casebook.schema import TOKENS, USERS
from dermtwin.errors import CasebookError, SettingsError

__all__ = ["place", "postgres", "postgres_url"]


@pytest.fixture
def opened(place):
    with Casebook.open_or_make(place) as casebook:
        yield casebook


def later(casebook: Casebook, name: str) -> None:
    """Let the time of a lock pass."""
    past = accounts._now(-timedelta(seconds=1))
    with casebook.writing() as connection:
        connection.execute(update(USERS).where(USERS.c.name == name).values(locked_until=past))


def verbs_noted(casebook: Casebook) -> list[tuple[str, str]]:
    path = casebook.path if casebook.path.url is None else str(casebook.path)
    return [(each.who, each.verb) for each in dermtwin.audit(casebook=path).entries]


def test_users_from_the_first_to_the_last(opened) -> None:
    assert not accounts.has_accounts(opened)
    with pytest.raises(CasebookError, match="first user"):
        accounts.add_account(opened, "a", password=PASSWORD, role=Role.VIEWER)
    accounts.add_account(opened, "root", password=PASSWORD, role=Role.ADMIN, who="me")
    made = accounts.add_account(opened, "Zoë", password=PASSWORD, role=Role.VIEWER)
    assert accounts.accounts(opened) == (made, accounts.account(opened, "root"))
    for refused in (
        lambda: accounts.add_account(opened, "root", password=PASSWORD, role=Role.ADMIN),
        lambda: accounts.set_role(opened, "root", role=Role.VIEWER),
        lambda: accounts.remove_account(opened, "root"),
        lambda: accounts.set_role(opened, "nobody", role=Role.VIEWER),
        lambda: accounts.remove_token(opened, "0" * 12),
    ):
        with pytest.raises(CasebookError):
            refused()
    for name, password in (("", PASSWORD), ("a b", PASSWORD), ("x" * 65, PASSWORD), ("a", "short")):
        with pytest.raises(SettingsError):
            accounts.add_account(opened, name, password=password, role=Role.VIEWER)
    token, text = accounts.add_token(opened, user="Zoë", label=" report ", days=1)
    assert accounts.bearer(opened, text) == (made, token)
    assert accounts.tokens(opened)[0].last_used is not None
    with opened.writing() as connection:  # its last day passes
        connection.execute(update(TOKENS).values(expires_at=accounts._now()))
    assert accounts.bearer(opened, text) is None
    accounts.remove_account(opened, "Zoë")
    accounts.remove_account(opened, "root")
    assert not accounts.has_accounts(opened)
    assert accounts.tokens(opened) == ()


def test_nothing_secret_is_kept(opened) -> None:
    accounts.add_account(opened, "root", password=PASSWORD, role=Role.ADMIN)
    _, text = accounts.add_token(opened, user="root", label="x")
    secret = text.rpartition("_")[2]
    with opened.reading() as connection:
        rows = [*connection.execute(USERS.select()), *connection.execute(TOKENS.select())]
    shown = repr([tuple(row) for row in rows])
    assert "$argon2id$" in shown
    assert PASSWORD not in shown
    assert secret not in shown


def test_five_wrong_passwords_lock_whoever_tries_at_once(opened) -> None:
    accounts.add_account(opened, "root", password=PASSWORD, role=Role.ADMIN)
    accounts.add_account(opened, "other", password=PASSWORD, role=Role.VIEWER)
    for _ in range(WRONG_TRIES - 1):
        assert accounts.sign_in(opened, "root", password="wrong") is None
    assert accounts.sign_in(opened, "root", password=PASSWORD) is not None  # and counts anew
    with ThreadPoolExecutor(4) as pool:
        tries = [f"wrong {number}" for number in range(WRONG_TRIES)]
        found = pool.map(lambda text: accounts.sign_in(opened, "root", password=text), tries)
        assert not any(found)
    assert accounts.sign_in(opened, "root", password=PASSWORD) is None
    locked = accounts.account(opened, "root")
    assert locked is not None
    assert locked.locked_until is not None
    assert accounts.sign_in(opened, "other", password=PASSWORD) is not None
    later(opened, "root")
    assert accounts.sign_in(opened, "root", password=PASSWORD) is not None
    noted = verbs_noted(opened)
    assert noted.count(("root", "user locked")) == 1
    assert noted.count(("root", "sign in")) == 2


def test_sessions_end_with_the_password_the_sign_out_and_the_user(staffed) -> None:
    one, other = (staffed.signed_in(Role.VIEWER) for _ in range(2))
    admin = staffed.signed_in(Role.ADMIN)

    def are_in() -> list[bool]:
        return [client.get("/api/v1/encoders").is_success for client in (one, other, admin)]

    assert are_in() == [True, True, True]
    assert one.post("/logout").headers["location"] == "/login"
    assert are_in() == [False, False, True]
    fresh = staffed.signed_in(Role.VIEWER)
    cookie = fresh.cookies["dermtwin"]
    accounts.set_password(staffed.casebook, "a.viewer", password=PASSWORD + "!")
    assert not fresh.get("/api/v1/encoders").is_success
    # Somebody else of the same name does not come into an old session.
    accounts.remove_account(staffed.casebook, "a.viewer")
    accounts.add_account(staffed.casebook, "a.viewer", password=PASSWORD, role=Role.VIEWER)
    fresh.cookies.set("dermtwin", cookie)
    assert not fresh.get("/api/v1/encoders").is_success


def test_no_session_can_be_made_or_planted(staffed) -> None:
    client = staffed.signed_in(Role.VIEWER)
    cookie = client.cookies["dermtwin"]
    for forged in (cookie[:-1], cookie[::-1], cookie.replace(".", "", 1), "e30.x.y", ""):
        stranger = staffed.client()
        stranger.cookies.set("dermtwin", forged)
        assert stranger.get("/api/v1/encoders").status_code == 401
    planted = staffed.client()
    planted.cookies.set("dermtwin", cookie)
    done = planted.post("/login", data={"name": "a.admin", "password": PASSWORD})
    assert cookie not in done.headers["set-cookie"]
    assert accounts.account(staffed.casebook, "a.viewer") is not None


def test_a_change_of_a_user_is_done_whole_or_not_at_all(staffed) -> None:
    admin = staffed.signed_in(Role.ADMIN)
    for name, form, status in (
        ("a.viewer", {"role": "admin", "password": "short"}, 422),
        ("a.admin", {"role": "viewer", "password": PASSWORD + "!"}, 409),  # the only admin
        ("nobody", {"role": "viewer"}, 404),
    ):
        before = accounts.account(staffed.casebook, name), verbs_noted(staffed.casebook)
        assert admin.post(f"/api/v1/users/{name}", data=form).status_code == status
        after = accounts.account(staffed.casebook, name), verbs_noted(staffed.casebook)
        assert after == before
        assert admin.get("/api/v1/users").is_success
    form = {"role": "contributor", "password": PASSWORD + "!"}
    assert admin.post("/api/v1/users/a.viewer", data=form).json()["role"] == "contributor"
    assert accounts.sign_in(staffed.casebook, "a.viewer", password=PASSWORD + "!") is not None
    told = [each for each in verbs_noted(staffed.casebook) if each[0] == "a.admin"]
    assert told[-2:] == [("a.admin", "user role"), ("a.admin", "user password")]


def test_the_cookie_keeps_to_itself(staffed) -> None:
    form = {"name": "a.viewer", "password": PASSWORD}
    plain = staffed.client().post("/login", data=form).headers["set-cookie"]
    assert plain.startswith("dermtwin=")
    assert "; HttpOnly" in plain
    assert "; SameSite=lax" in plain
    host = "https://cases.example.org"
    safe = client_of(staffed.app, host=host).post("/login", data=form).headers["set-cookie"]
    assert safe.startswith("__Host-dermtwin=")
    assert "; Secure" in safe


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/cases/x?a=b", "/cases/x?a=b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_one_stays_here(staffed, wanted, target) -> None:
    form = {"name": "a.viewer", "password": PASSWORD, "next": wanted}
    assert staffed.client().post("/login", data=form).headers["location"] == target
    assert (
        staffed.client()
        .post("/login", data=form | {"password": "no"})
        .headers["location"]
        .startswith("/login?failed=1&next=%2F")
    )


def test_a_backup_takes_users_and_sessions_along(staffed, tmp_path) -> None:
    client = staffed.signed_in(Role.VIEWER)
    dermtwin.backup(tmp_path / "kept.zip", casebook=staffed.book)
    dermtwin.restore(tmp_path / "kept.zip", casebook=tmp_path / "again")
    with Casebook.open(tmp_path / "again") as again:
        assert accounts.accounts(again) == accounts.accounts(staffed.casebook)
        key = kept_key(staffed.casebook, KeyName.SESSIONS)
        assert key is not None
        assert kept_key(again, KeyName.SESSIONS) == key
    assert client.get("/api/v1/encoders").is_success


def test_users_and_tokens_by_the_program(book, program) -> None:
    done = program("user", "add", "root", "--role", "admin", "--casebook", book, input=PASSWORD)
    assert "root is admin" in done.stderr
    program("user", "add", "eve", "--casebook", book, input=PASSWORD + "\n")
    program("user", "role", "eve", "contributor", "--casebook", book)
    program("user", "password", "eve", "--casebook", book, input="another password")
    listed = json.loads(program("user", "list", "--json", "--casebook", book).stdout)["users"]
    assert [(each["name"], each["role"]) for each in listed] == [
        ("eve", "contributor"),
        ("root", "admin"),
    ]
    assert "epoch" not in listed[0]
    made = program("token", "add", "eve", "--label", "x", "--role", "viewer", "--casebook", book)
    (token,) = json.loads(program("token", "list", "--json", "--casebook", book).stdout)["tokens"]
    assert made.stdout.startswith(f"dermtwin_{token['id']}_")
    assert token["role"] == "viewer"
    program("token", "remove", token["id"], "--casebook", book)
    program("user", "remove", "eve", "--casebook", book)
    refused = program("user", "remove", "eve", "--casebook", book, code=1)
    assert "there is no user eve" in refused.stderr
    refused = program("serve", "--host", "0.0.0.0", "--casebook", book.parent / "none", code=1)
    assert "there is no casebook" in refused.stderr
    program("user", "remove", "root", "--casebook", book)
    refused = program("serve", "--host", "0.0.0.0", "--casebook", book, code=1)
    assert "served to this machine alone" in refused.stderr


def test_a_refusal_does_not_print_the_casebooks_password(postgres_url, program) -> None:
    place = postgres_url.replace("postgres@", "postgres:TOPSECRET@")
    Casebook.open_or_make(place).close()
    refused = program("serve", "--host", "0.0.0.0", "--casebook", place, code=1)
    assert "served to this machine alone" in refused.stderr
    assert "TOPSECRET" not in refused.stderr + refused.stdout
    assert f"--casebook {Location.of(place).quoted}" in refused.stderr
