"""`dermtwin user`."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

import dermtwin
from dermtwin.casebook.accounts import Role
from dermtwin.cli.options import Casebook, Json
from dermtwin.cli.printing import note, out, print_json

group = typer.Typer(
    name="user", help="Who may use a casebook through its server.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The user's name.", show_default=False)]


@group.command("add")
def add(
    name: Name,
    *,
    casebook: Casebook,
    role: Annotated[
        Role, typer.Option(help="Viewers search and look, contributors add, admins do everything.")
    ] = Role.VIEWER,
    openid: Annotated[
        str | None,
        typer.Option(
            help="By which word the server that `serve` trusts knows them; no password is asked.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Add a user; the password is asked for, or read from standard input.

    Example: dermtwin user add a.smith --role contributor --casebook cases
    """
    password = _password() if openid is None else None
    made = dermtwin.add_user(name, casebook=casebook, password=password, role=role, openid=openid)
    note(f"{made.name} is {made.role} here.")


@group.command("list")
def list_(*, casebook: Casebook, json: Json = False) -> None:
    """Show all users.

    Example: dermtwin user list --casebook cases
    """
    users = dermtwin.list_users(casebook=casebook)
    if json:
        shown = [asdict(each) for each in users]
        print_json({"users": [{k: v for k, v in each.items() if k != "epoch"} for each in shown]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "role", "since (UTC)", "locked until (UTC)", "OpenID"):
        table.add_column(column)
    for each in users:
        known = each.openid or "–"
        table.add_row(each.name, each.role, each.made_at[:19], each.locked_until or "–", known)
    out.print(table)


@group.command("role")
def role(
    name: Name,
    role: Annotated[Role, typer.Argument(help="The new role.", show_default=False)],
    *,
    casebook: Casebook,
) -> None:
    """Give a user another role; it counts at once.

    Example: dermtwin user role a.smith admin --casebook cases
    """
    dermtwin.set_user_role(name, casebook=casebook, role=role)
    note(f"{name} is {role} here.")


@group.command("password")
def password(name: Name, *, casebook: Casebook) -> None:
    """Give a user another password; ends all their sessions.

    Example: dermtwin user password a.smith --casebook cases
    """
    dermtwin.set_user_password(name, casebook=casebook, password=_password())
    note(f"{name} has another password, and is signed out everywhere.")


@group.command("openid")
def openid(
    name: Name,
    word: Annotated[
        str | None,
        typer.Argument(help="As that server writes it; none: by no word.", show_default=False),
    ] = None,
    *,
    casebook: Casebook,
) -> None:
    """Say by which word the server that `serve` trusts knows a user; ends all their sessions.

    Example: dermtwin user openid a.smith 248289761001 --casebook cases
    """
    dermtwin.set_user_openid(name, casebook=casebook, openid=word)
    told = "no other server's word" if word is None else word
    note(f"{name} comes in by {told} here, and is signed out everywhere.")


@group.command("remove")
def remove(name: Name, *, casebook: Casebook) -> None:
    """Remove a user with their tokens.

    Example: dermtwin user remove a.smith --casebook cases
    """
    dermtwin.remove_user(name, casebook=casebook)
    note(f"{name} may not come in any more.")


def _password() -> str:
    """A password from the terminal, twice, or a line of standard input; never from arguments."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")
