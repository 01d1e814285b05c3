"""A small casebook, served: in this process, or by the program itself."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn

from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Role
from dermtwin.web.application import create_app
from dermtwin.web.settings import ServerSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # starlette would rather have its own fork of httpx
    from fastapi.testclient import TestClient

PASSWORD = "correct horse battery"
HERE = "http://127.0.0.1"
FREE = ServerSettings(per_second=1e6, at_once=10**6, sign_ins_a_minute=1e6)


def client_of(app, *, address: str = "127.0.0.1", host: str = HERE) -> TestClient:
    """A browser's stand-in at some address; it is on the server's own page."""
    return TestClient(
        app,
        base_url=host,
        client=(address, 50_000),
        headers={"Origin": host},
        follow_redirects=False,
        raise_server_exceptions=False,
    )


@dataclass
class Clinic:
    """A casebook with its application, and one user a role."""

    book: Path
    settings: ServerSettings = FREE
    users: dict[Role, str] = field(default_factory=lambda: {role: f"a.{role}" for role in Role})

    def __post_init__(self) -> None:
        self.app = create_app(self.book, settings=self.settings)

    @property
    def casebook(self) -> Casebook:
        return self.app.state.service.casebook

    def add_users(self) -> None:
        for role in reversed(Role):
            accounts.add_account(self.casebook, self.users[role], password=PASSWORD, role=role)

    def client(self, **options) -> TestClient:
        return client_of(self.app, **options)

    def signed_in(self, role: Role, **options) -> TestClient:
        client = self.client(**options)
        form = {"name": self.users[role], "password": PASSWORD}
        assert client.post("/login", data=form).headers["location"] == "/"
        return client

    def with_token(self, user: str, *, role: Role | None = None) -> TestClient:
        _, text = accounts.add_token(self.casebook, user=user, label="test", role=role)
        client = self.client()
        client.headers["Authorization"] = f"Bearer {text}"
        del client.headers["Origin"]
        return client


@contextmanager
def serving(book: Path, *arguments: object) -> Iterator[httpx.Client]:
    """The program `dermtwin serve`, as a process of its own; stopped by SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", "--casebook", book, "--port", port, *arguments]
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait_until_ready(client, process)
            client.process = process
            yield client
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
        assert "Traceback" not in told, told
        assert process.returncode in (0, -signal.SIGTERM), told
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@contextmanager
def running(app) -> Iterator[str]:
    """Any application on a port of its own, in a thread; gives its address."""
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server does not become ready")
