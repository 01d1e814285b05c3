"""`dermtwin serve`."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Casebook
from dermtwin.cli.printing import note
from dermtwin.errors import MissingExtraError, SettingsError

_SECRET = "DERMTWIN_OPENID_SECRET"  # noqa: S105 - its variable's name


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
    openid_issuer: Annotated[
        str | None,
        typer.Option(
            envvar="DERMTWIN_OPENID_ISSUER",
            help="The https:// address of a server that may say who somebody is (OpenID Connect).",
        ),
    ] = None,
    openid_client: Annotated[
        str, typer.Option(envvar="DERMTWIN_OPENID_CLIENT", help="What this server is called there.")
    ] = "",
    openid_secret_file: Annotated[
        Path | None,
        typer.Option(
            envvar="DERMTWIN_OPENID_SECRET_FILE",
            help=f"A file with its secret there; or set {_SECRET} to the secret.",
        ),
    ] = None,
    openid_name: Annotated[
        str, typer.Option(envvar="DERMTWIN_OPENID_NAME", help="What the sign-in page calls it.")
    ] = "",
    openid_claim: Annotated[
        str,
        typer.Option(
            envvar="DERMTWIN_OPENID_CLAIM", help="What of its ID token tells a user: sub, email, …"
        ),
    ] = "sub",
) -> None:
    """Serve the casebook's page and its API; stop it with Ctrl-C.

    Without any user it serves this machine alone, and whoever is at it may do everything.

    Example: dermtwin serve --casebook cases
    """
    try:
        from dermtwin.web.serving import refuse_open_door  # noqa: PLC0415 - an extra
        from dermtwin.web.settings import OpenIDSettings, ServerSettings  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("dermtwin serve", extra="web") from error
    openid = None
    if openid_issuer is not None:
        openid = OpenIDSettings(
            issuer=openid_issuer,
            client=openid_client,
            secret=_secret(openid_secret_file),
            name=openid_name,
            claim=openid_claim,
        )
    has_users = refuse_open_door(casebook, host=host)
    shown = f"[{host}]" if ":" in host else host
    note(f"http://{shown}:{port}/ serves the casebook.")
    if not has_users:
        note("It has no user: it is open to whoever is at this machine, and to nobody else.")
    elif host not in ("127.0.0.1", "::1", "localhost"):
        note("Passwords and pictures go over the net in the clear: put TLS before it.")
    settings = ServerSettings(openid=openid)
    # The server finishes by itself, and then ends by the signal, as whoever runs services expects.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    dermtwin.serve(casebook=casebook, host=host, port=port, workers=workers, settings=settings)


def _secret(file: Path | None) -> str:
    """The client's secret; never from the command line, which others on the machine can read."""
    if file is None:
        return os.environ.get(_SECRET, "")
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the OpenID secret cannot be read from {file}; name a readable text file."
        ) from error
