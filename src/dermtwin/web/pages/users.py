"""Users, for admins: who may sign in and with what role."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from dermtwin.casebook import accounts
from dermtwin.casebook.accounts import SHORTEST_PASSWORD, Role
from dermtwin.errors import DermtwinError
from dermtwin.web.gate import Manager
from dermtwin.web.pages.shell import page
from dermtwin.web.service import of

router = APIRouter(prefix="/admin/users")

_SEE_OTHER = 303
Text = Annotated[str, Form()]


@router.get("")
def users(request: Request, person: Manager) -> Response:
    """All users."""
    del person
    return _page(request)


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
        return _page(request, problem=error, name=name)
    return RedirectResponse("/admin/users", _SEE_OTHER)


@router.post("/role")
def change_role(request: Request, person: Manager, name: Text = "", role: Text = "") -> Response:
    """Give a user another role."""
    try:
        accounts.set_role(of(request).casebook, name, role=accounts.role_of(role), who=person.name)
    except DermtwinError as error:
        return _page(request, problem=error)
    return RedirectResponse("/admin/users", _SEE_OTHER)


@router.post("/password")
def change_password(
    request: Request, person: Manager, name: Text = "", password: Text = ""
) -> Response:
    """Give a user another password, which ends all their sessions."""
    try:
        accounts.set_password(of(request).casebook, name, password=password, who=person.name)
    except DermtwinError as error:
        return _page(request, problem=error)
    return RedirectResponse("/admin/users", _SEE_OTHER)


@router.post("/remove")
def remove(request: Request, person: Manager, name: Text = "") -> Response:
    """Remove a user; their sessions and tokens end."""
    try:
        accounts.remove_account(of(request).casebook, name, who=person.name)
    except DermtwinError as error:
        return _page(request, problem=error)
    return RedirectResponse("/admin/users", _SEE_OTHER)


def _page(request: Request, *, problem: DermtwinError | None = None, name: str = "") -> Response:
    return page(
        request,
        "users.html.j2",
        status=200 if problem is None else 422,
        accounts=accounts.accounts(of(request).casebook),
        roles=list(Role),
        shortest=SHORTEST_PASSWORD,
        problem=problem,
        name=name,
    )
