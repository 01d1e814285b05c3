"""`dermtwin token`."""

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
    name="token",
    help="Tokens by which programs use the API in a user's name.",
    no_args_is_help=True,
)


@group.command("add")
def add(
    user: Annotated[str, typer.Argument(help="Whose.", show_default=False)],
    *,
    casebook: Casebook,
    label: Annotated[str, typer.Option(help="What it is for.", show_default=False)],
    role: Annotated[
        Role | None, typer.Option(help="What it may do at most; unless given, as its user.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="How long it lasts; unless given, as its user.")
    ] = None,
) -> None:
    """Make a token and print it, this once.

    Example: dermtwin token add a.smith --label "nightly report" --role viewer --casebook cases
    """
    made, text = dermtwin.add_token(casebook=casebook, user=user, label=label, role=role, days=days)
    sys.stdout.write(f"{text}\n")
    note(f"It may do what a {made.role} may, and is shown this once: keep it as a password.")


@group.command("list")
def list_(
    *,
    casebook: Casebook,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    json: Json = False,
) -> None:
    """Show all tokens, without their secrets.

    Example: dermtwin token list --casebook cases
    """
    tokens = dermtwin.list_tokens(casebook=casebook, user=user)
    if json:
        print_json({"tokens": [asdict(each) for each in tokens]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("token", "user", "role", "for", "made", "last used", "expires"):
        table.add_column(column)
    for each in tokens:
        times = [(at or "–")[:10] for at in (each.made_at, each.last_used, each.expires_at)]
        table.add_row(each.id, each.user, each.role, each.label, *times)
    out.print(table)


@group.command("remove")
def remove(
    token: Annotated[str, typer.Argument(help="As `list` shows it.", show_default=False)],
    *,
    casebook: Casebook,
) -> None:
    """Remove a token; it opens nothing from now on.

    Example: dermtwin token remove 0123456789ab --casebook cases
    """
    dermtwin.remove_token(token, casebook=casebook)
    note(f"{token} opens nothing any more.")
