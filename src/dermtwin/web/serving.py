"""`dermtwin serve`: the application, run by uvicorn in one or several processes."""

import json
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from dermtwin.casebook import Casebook, accounts
from dermtwin.errors import SettingsError
from dermtwin.web.application import create_app
from dermtwin.web.gate import is_loopback
from dermtwin.web.metrics import FOLDER
from dermtwin.web.settings import OpenIDSettings, ServerSettings

_TOLD = "DERMTWIN_SERVE"
"""How worker processes are told what to serve: JSON of `casebook` and the settings."""

_FINISHING_S = 30
_LOGGING: Mapping[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "uvicorn.error": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "dermtwin.web": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}


def serve(
    *,
    casebook: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    settings: ServerSettings | None = None,
) -> None:
    """Serve the page and the API of a casebook until it is told to stop (SIGINT, SIGTERM).

    What was accepted until then is finished, for half a minute at most.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        host: the address to listen at; without any user none but this machine's own.
        port: the port.
        workers: processes; each holds the codes in memory.
        settings: the server's bounds.

    Raises:
        SettingsError: the address is not this machine's own and there is no user; or it is taken.
        CasebookError: there is no casebook, or it cannot be read.
    """
    if workers < 1:
        raise SettingsError(f"{workers} workers serve nobody; give at least 1.")
    refuse_open_door(casebook, host=host)
    _refuse_taken(host, port)
    chosen = asdict(settings or ServerSettings()) | {"stays_here": is_loopback(host)}
    told = {_TOLD: json.dumps({"casebook": str(casebook), "settings": chosen})}
    with _counting(workers) as folder, _environment({**told, **folder}):
        uvicorn.run(
            "dermtwin.web.serving:worker",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,  # it would name addresses; `bounds.Counted` names routes
            log_config=dict(_LOGGING),
            server_header=False,
            timeout_graceful_shutdown=_FINISHING_S,
        )


def worker() -> FastAPI:
    """The application of one worker process, as `serve` told it."""
    # What Pillow finds odd in a picture is nothing for a server's log.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    told = json.loads(os.environ[_TOLD])
    settings = told["settings"]
    if settings["openid"] is not None:
        settings["openid"] = OpenIDSettings(**settings["openid"])
    return create_app(told["casebook"], settings=ServerSettings(**settings))


def refuse_open_door(casebook: str | Path, *, host: str) -> bool:
    """See to it that others reach a casebook only where users are told apart.

    Returns:
        Whether there is a user.

    Raises:
        SettingsError: there is none, and the address is not this machine's own.
        CasebookError: there is no casebook, or it cannot be read.
    """
    with Casebook.open(casebook) as opened:
        has_users = accounts.has_accounts(opened)
    if not has_users and not is_loopback(host):
        raise SettingsError(
            f"without any user the casebook is served to this machine alone, not at {host}: "
            f"anybody could see it. Add one first: dermtwin user add NAME --role admin "
            f"--casebook {opened.path.quoted}"
        )
    return has_users


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise SettingsError(
            f"{host}:{port} cannot be listened at: {reason}; choose another --host or --port."
        ) from error


@contextmanager
def _counting(workers: int) -> Iterator[Mapping[str, str]]:
    """Several workers count into one folder."""
    if workers == 1:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="dermtwin-metrics-") as folder:
        yield {FOLDER: folder}


@contextmanager
def _environment(further: Mapping[str, str]) -> Iterator[None]:
    os.environ.update(further)
    try:
        yield
    finally:
        for name in further:
            del os.environ[name]
