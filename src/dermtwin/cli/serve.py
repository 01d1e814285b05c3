"""`dermtwin serve`."""

from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import note
from dermtwin.errors import MissingExtraError


def command(
    *,
    casebook: Casebook,
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than this need a user.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes; each holds the codes in memory.")
    ] = 1,
) -> None:
    """Serve the casebook's page and its API; stop it with Ctrl-C.

    Without any user it serves this machine alone, and whoever is at it may do everything.

    Example: dermtwin serve --casebook cases
    """
    try:
        from dermtwin.web.serving import refuse_open_door  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("dermtwin serve", extra="web") from error
    has_users = refuse_open_door(casebook, host=host)
    shown = f"[{host}]" if ":" in host else host
    note(f"http://{shown}:{port}/ serves the casebook.")
    if not has_users:
        note("It has no user: it is open to whoever is at this machine, and to nobody else.")
    elif host not in ("127.0.0.1", "::1", "localhost"):
        note("Passwords and pictures go over the net in the clear: put TLS before it.")
    dermtwin.serve(casebook=casebook, host=host, port=port, workers=workers)
