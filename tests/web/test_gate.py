"""Who may do what: every route with every role, by session and by token."""

from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from served import HERE, PASSWORD, Clinic

from dermtwin.casebook import accounts
from dermtwin.casebook.accounts import Role
from dermtwin.errors import DermtwinError
from dermtwin.web import gate
from dermtwin.web.gate import Permission, Person
from dermtwin.web.settings import ServerSettings

# By hand, so that no route changes its door unseen.
API = {
    "POST /api/v1/search": Permission.SEARCH,
    "POST /api/v1/compare": Permission.SEARCH,
    "GET /api/v1/fields": Permission.SEARCH,
    "GET /api/v1/count": Permission.SEARCH,
    "GET /api/v1/encoders": Permission.SEARCH,
    "GET /api/v1/cases": Permission.LOOK,
    "GET /api/v1/cases/{isic_id}": Permission.LOOK,
    "GET /api/v1/cases/{isic_id}/image": Permission.LOOK,
    "GET /api/v1/cases/{isic_id}/thumbnail": Permission.LOOK,
    "GET /api/v1/cases/{isic_id}/lesion": Permission.LOOK,
    "GET /api/v1/map": Permission.LOOK,
    "POST /api/v1/cases": Permission.ADD,
    "DELETE /api/v1/cases/{isic_id}": Permission.FORGET,
    "GET /api/v1/audit": Permission.AUDIT,
    "POST /api/v1/audit": Permission.AUDIT,
    "GET /api/v1/users": Permission.USERS,
    "POST /api/v1/users": Permission.USERS,
    "POST /api/v1/users/{name}": Permission.USERS,
    "DELETE /api/v1/users/{name}": Permission.USERS,
}
MAY = {
    Role.VIEWER: {Permission.SEARCH, Permission.LOOK},
    Role.CONTRIBUTOR: {Permission.SEARCH, Permission.LOOK, Permission.ADD},
    Role.ADMIN: set(Permission),
}


def doors(app) -> dict[str, Permission]:
    """Every route that asks for somebody."""
    found = {}
    for route in gate.routes_of(app.routes):
        if isinstance(route, APIRoute) and not gate.is_open(route.path):
            (permission,) = gate.declared(route)
            for method in route.methods:
                found[f"{method} {full_path(app, route)}"] = permission
    return found


def full_path(app, route: APIRoute) -> str:
    """A route's path with what stands before its router."""
    of_api = {f"/api/v1{route.path}"} & set(app.openapi()["paths"])
    return of_api.pop() if of_api and route.include_in_schema else route.path


def answer(client, door: str) -> Any:
    method, path = door.split()
    return client.request(method, path.format(isic_id="nobody", name="nobody"))


def test_every_route_for_every_role_and_token(staffed) -> None:
    found = doors(staffed.app)
    assert {door: found[door] for door in found if "/api/" in door} == API
    assert len(found) > len(API)  # pages
    nobody = staffed.client(address="10.0.0.9")
    for door in found:
        is_page = door.startswith("GET ") and "/api/" not in door
        turned_away = answer(nobody, door)
        assert turned_away.status_code == (303 if is_page else 401), door
        if is_page:
            assert turned_away.headers["location"].startswith("/login?next=%2F")
    for role, may in MAY.items():
        here, root = staffed.signed_in(role), staffed.users[Role.ADMIN]
        # An admin's token for a lower role, and a lower user's own.
        tokens = [staffed.with_token(root, role=role), staffed.with_token(staffed.users[role])]
        for door, permission in found.items():
            allowed = dict.fromkeys((here, *tokens), permission in may)
            if permission is Permission.USERS:
                allowed |= dict.fromkeys(tokens, False)
            for client, is_allowed in allowed.items():
                status = answer(client, door).status_code
                assert (status == 403) is not is_allowed, (role, door, status)
                assert status < 500, (role, door)
                assert status != 401, (role, door)


def test_a_route_that_declares_nobody_stops_the_server(clinic) -> None:
    router = APIRouter()
    router.add_api_route("/backdoor", lambda: "open")
    clinic.app.include_router(router)
    with pytest.raises(DermtwinError, match="/backdoor"):
        gate.refuse_undeclared(clinic.app)


def test_a_token_follows_its_user(staffed) -> None:
    root, other = staffed.users[Role.ADMIN], "second"
    accounts.add_account(staffed.casebook, other, password=PASSWORD, role=Role.ADMIN)
    client = staffed.with_token(other)
    assert client.get("/api/v1/audit").status_code == 200
    accounts.set_role(staffed.casebook, other, role=Role.VIEWER)
    assert client.get("/api/v1/audit").status_code == 403
    assert client.get("/api/v1/fields").status_code == 200
    accounts.set_role(staffed.casebook, other, role=Role.CONTRIBUTOR)
    (token,) = accounts.tokens(staffed.casebook, user=other)
    with pytest.raises(DermtwinError, match="cannot have a token for admin"):
        accounts.add_token(staffed.casebook, user=other, label="more", role=Role.ADMIN)
    accounts.remove_token(staffed.casebook, token.id)
    assert client.get("/api/v1/fields").status_code == 401
    gone = staffed.with_token(other)
    accounts.remove_account(staffed.casebook, other, who=root)
    assert gone.get("/api/v1/fields").status_code == 401


def test_a_wrong_token_is_nobody_even_beside_a_session(staffed) -> None:
    client = staffed.signed_in(Role.ADMIN)
    (token, text) = accounts.add_token(staffed.casebook, user="a.admin", label="x", days=1)
    for wrong in ("", "nonsense", text[:-1], text[:-1] + "é", text.replace(token.id, "0" * 12)):
        header = f"Bearer {wrong}".encode()
        status = client.get("/api/v1/fields", headers={"Authorization": header}).status_code
        assert status == 401, wrong
    assert client.get("/api/v1/fields").status_code == 200


@pytest.mark.parametrize(
    ("options", "headers", "is_local"),
    [
        ({}, {}, True),
        ({"address": "::1", "host": "http://[::1]:8000"}, {}, True),
        ({"host": "http://localhost:8000"}, {}, True),
        ({"address": "10.0.0.9"}, {}, False),
        ({"host": "http://attacker.example"}, {}, False),  # DNS rebinding
        ({}, {"Host": "["}, False),
        ({}, {"X-Forwarded-For": "10.0.0.9"}, False),
        ({}, {"Forwarded": "for=10.0.0.9"}, False),
    ],
)
def test_without_users_this_machine_alone(clinic, options, headers, is_local) -> None:
    client = clinic.client(**options)
    done = client.get("/api/v1/users", headers=headers)
    assert done.status_code == (200 if is_local else 401)


def test_with_the_first_user_the_open_door_shuts(clinic) -> None:
    client = clinic.client()
    form = {"name": "root", "password": PASSWORD, "role": "viewer"}
    assert client.post("/api/v1/users", data=form).status_code == 409
    assert client.post("/api/v1/users", data=form | {"role": "admin"}).status_code == 201
    assert client.get("/api/v1/users").status_code == 401


def test_a_server_that_others_reach_has_no_open_door(book) -> None:
    clinic = Clinic(book, ServerSettings(stays_here=False))
    assert clinic.client().get("/api/v1/users").status_code == 401
    clinic.app.state.service.close()


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"Origin": HERE}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "http://127.0.0.1.attacker.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({}, False),
    ],
)
def test_a_page_of_another_site_changes_nothing(staffed, headers, is_own) -> None:
    client = staffed.signed_in(Role.ADMIN)
    del client.headers["Origin"]
    status = client.delete("/api/v1/users/a.viewer", headers=headers).status_code
    assert status == (200 if is_own else 403)
    assert (accounts.account(staffed.casebook, "a.viewer") is None) is is_own


def test_a_person_is_slowed_down_and_others_are_not(staffed) -> None:
    bounds = ServerSettings(per_second=0.001, at_once=5, sign_ins_a_minute=4)
    clinic = Clinic(staffed.book, bounds)
    viewer, admin = clinic.signed_in(Role.VIEWER), clinic.signed_in(Role.ADMIN)
    statuses = [viewer.get("/api/v1/encoders").status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert "retry-after" in viewer.get("/api/v1/encoders").headers
    assert admin.get("/api/v1/encoders").status_code == 200
    # Two of four sign-ins are used up; another address has its own.
    for address, tries in (("127.0.0.1", 2), ("10.0.0.9", 4)):
        client = clinic.client(address=address)
        seen = [client.post("/login", data={"name": "x"}).status_code for _ in range(tries + 1)]
        assert seen == [303] * tries + [429]
    clinic.app.state.service.close()


def test_what_a_person_may_is_the_same_table() -> None:
    for role, may in MAY.items():
        for permission in Permission:
            assert Person("x", role).may(permission) is (permission in may)
