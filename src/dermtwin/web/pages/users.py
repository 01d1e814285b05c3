"""Users, for admins: who may sign in and with what role."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from dermtwin.casebook import accounts
from dermtwin.casebook.accounts import SHORTEST_PASSWORD, Role
from dermtwin.errors import DermtwinError
from dermtwin.web.gate import Manager
from dermtwin.web.pages.shell import page, sentence
from dermtwin.web.service import of

router = APIRouter(prefix="/admin/users")

_SEE_OTHER = 303
_DONE: Mapping[str, str] = {
    "add": "{} was added.",
    "role": "The role of {} was changed.",
    "password": "The password of {} was set.",
    "remove": "{} was removed.",
}
Text = Annotated[str, Form()]


@router.get("")
def users(request: Request, person: Manager, done: str = "", name: str = "") -> Response:
    """All users; what was done last, and to whom."""
    del person
    return _page(request, done=_DONE.get(done, "").format(name))


@router.get("/role")
@router.get("/password")
@router.get("/remove")
def to_all(person: Manager) -> Response:
    """Back to the page, for whoever comes by the address of one of its forms."""
    del person
    return RedirectResponse("/admin/users", _SEE_OTHER)


@router.post("")
def add(
    request: Request, person: Manager, name: Text = "", password: Text = "", role: Text = ""
) -> Response:
    """Make a user."""
    try:
        accounts.add_account(
            of(request).casebook,
            name.strip(),
            password=password,
            role=accounts.role_of(role),
            who=person.name,
        )
    except DermtwinError as error:
        return _page(request, problem=error, name=name, role=role)
    return _back("add", name.strip())


@router.post("/role")
def change_role(request: Request, person: Manager, name: Text = "", role: Text = "") -> Response:
    """Give a user another role."""
    try:
        accounts.set_role(of(request).casebook, name, role=accounts.role_of(role), who=person.name)
    except DermtwinError as error:
        return _page(request, problem=error)
    return _back("role", name)


@router.post("/password")
def change_password(
    request: Request, person: Manager, name: Text = "", password: Text = ""
) -> Response:
    """Give a user another password, which ends all their sessions but the one that asks for it."""
    service = of(request)
    try:
        changed = accounts.change_account(
            service.casebook, name, password=password, who=person.name
        )
    except DermtwinError as error:
        return _page(request, problem=error)
    response = _back("password", name)
    if name == person.name:
        service.sessions.begin(request, response, changed)
    return response


@router.post("/remove")
def remove(request: Request, person: Manager, name: Text = "") -> Response:
    """Remove a user; their sessions and tokens end."""
    try:
        accounts.remove_account(of(request).casebook, name, who=person.name)
    except DermtwinError as error:
        return _page(request, problem=error)
    return _back("remove", name)


def _back(done: str, name: str) -> Response:
    return RedirectResponse(f"/admin/users?{urlencode({'done': done, 'name': name})}", _SEE_OTHER)


def _page(
    request: Request,
    *,
    problem: DermtwinError | None = None,
    done: str = "",
    name: str = "",
    role: str = "",
) -> Response:
    return page(
        request,
        "users.html.j2",
        status=200 if problem is None else 422,
        accounts=accounts.accounts(of(request).casebook),
        roles=list(Role),
        shortest=SHORTEST_PASSWORD,
        problem=None if problem is None else sentence(problem),
        done=done,
        name=name,
        role=role,
    )
