"""`/users`: who may use the server; for admins who are there themselves, never for tokens."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import JSONResponse

from dermtwin.casebook import accounts
from dermtwin.casebook.accounts import Account, Role
from dermtwin.web.gate import Manager
from dermtwin.web.problems import missing
from dermtwin.web.service import Served, Service

router = APIRouter(prefix="/users", tags=["users"])

Password = Annotated[str, Form(max_length=1000)]


@router.get("", summary="All users.")
def list_users(service: Served, _person: Manager) -> JSONResponse:
    """Names, roles, since when, and whether they are locked out."""
    users = [_told(each) for each in accounts.accounts(service.casebook)]
    return JSONResponse({"users": users})


@router.post("", status_code=201, summary="Add a user.")
def add_user(
    service: Served,
    person: Manager,
    *,
    name: Annotated[str, Form(max_length=64, examples=["a.smith"])],
    password: Password,
    role: Annotated[Role, Form()] = Role.VIEWER,
) -> JSONResponse:
    """Make a user; from the first one on everybody has to sign in."""
    made = accounts.add_account(
        service.casebook, name, password=password, role=role, who=person.name
    )
    return JSONResponse(_told(made), HTTPStatus.CREATED)


@router.post("/{name}", summary="Give a user another role or password.")
def change_user(
    service: Served,
    person: Manager,
    name: str,
    *,
    role: Annotated[Role | None, Form()] = None,
    password: Annotated[str | None, Form(max_length=1000)] = None,
) -> JSONResponse:
    """A new role counts at once; a new password ends all sessions of that user."""
    _refuse_unknown(service, name)
    changed = accounts.change_account(
        service.casebook, name, role=role, password=password, who=person.name
    )
    return JSONResponse(_told(changed))


@router.delete("/{name}", summary="Remove a user.")
def remove_user(service: Served, person: Manager, name: str) -> JSONResponse:
    """Remove a user with their tokens; their sessions end at once."""
    _refuse_unknown(service, name)
    accounts.remove_account(service.casebook, name, who=person.name)
    return JSONResponse({"removed": name})


def _told(account: Account) -> dict[str, Any]:
    told = asdict(account)
    del told["epoch"]
    return told


def _refuse_unknown(service: Service, name: str) -> None:
    if accounts.account(service.casebook, name) is None:
        raise missing("there is no user of this name.")
