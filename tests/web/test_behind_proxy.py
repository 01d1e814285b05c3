import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served import PASSWORD, Clinic, serving

from dermtwin.casebook import Casebook

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"
PROGRAMS = {name: shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("nginx", "openssl")}
HOST = "cases.example.org"


def sent_whole(client, head: list[str], body: bytes) -> bytes:
    """Send a request as a proxy does, that listens only once all is sent; what comes back."""
    with socket.create_connection((client.base_url.host, client.base_url.port)) as wire:
        wire.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode())
        wire.sendall(body)
        return b"".join(iter(lambda: wire.recv(65536), b""))


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
def test_a_refusal_reaches_whoever_still_sends(staffed, protocol) -> None:
    head = [f"POST /api/v1/search {protocol}", "Host: cases.example.org", "Connection: close"]
    with serving(staffed.book) as client:
        told = sent_whole(client, head, bytes(40 * 2**20))
        assert b"413" in told[:20]
        assert b"32 MiB" in told
        told = sent_whole(client, head, bytes(30 * 2**20))
        assert b"401" in told[:20]
        assert b"nobody is signed in" in told


def test_nothing_is_kept_or_told_by_the_runtime(staffed, tmp_path, monkeypatch) -> None:
    # Where either is set the runtime is silent by itself.
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with serving(staffed.book):
        pass
    assert list(home.iterdir()) == []


def test_where_the_casebook_lies_is_told_to_the_log_alone(tmp_path, caplog) -> None:
    Casebook.open_or_make(tmp_path / "book").close()
    clinic = Clinic(tmp_path / "book")
    told = clinic.client().get("/readyz").text
    (tmp_path / "book" / "casebook.sqlite").write_bytes(b"no casebook any more")
    told += clinic.client().get("/readyz").text
    clinic.app.state.service.close()
    assert "--casebook CASEBOOK" in told
    assert str(tmp_path) not in told
    assert caplog.text.count(f"the casebook {tmp_path}") == 2


# --- nginx, as docs/deploy.md sets it up


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def documented(folder: Path, *, server: str, port: int) -> str:
    """The document's configuration, for a user's own folder and ports; it complains of more."""
    (block,) = re.findall(r"```nginx\n(.*?)```", DEPLOY.read_text(), re.DOTALL)
    for there, here in {
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        f"/etc/ssl/{HOST}": f"{folder}/own",
        "/var/log/nginx/error.log crit": f"{folder}/error.log warn",
        "http://127.0.0.1:8000": server,
    }.items():
        assert there in block
        block = block.replace(there, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return (
        f"pid {folder}/pid; error_log {folder}/main.log; daemon off; events {{}}"
        f"http {{ {places} {block} }}"
    )


@contextmanager
def proxied(client: httpx.Client, folder: Path) -> Iterator[int]:
    """The document's nginx before a server; its port."""
    port = free_port()
    own = ["-keyout", folder / "own.key", "-out", folder / "own.pem"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}", *own]
    subprocess.run([PROGRAMS["openssl"], *made], check=True, capture_output=True)
    settings = folder / "nginx.conf"
    settings.write_text(documented(folder, server=str(client.base_url).rstrip("/"), port=port))
    command = [PROGRAMS["nginx"], "-p", folder, "-e", folder / "main.log", "-c", settings]
    with subprocess.Popen(command) as process:
        try:
            while not is_open(port):
                assert process.poll() is None, (folder / "main.log").read_text()
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@contextmanager
def visitor(port: int, *, address: str) -> Iterator[httpx.Client]:
    """Somebody at an address, on the server's own page."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    way = httpx.HTTPTransport(verify=trusting, local_address=address)
    headers = {"Host": HOST, "Origin": f"https://{HOST}"}
    base = f"https://127.0.0.1:{port}"
    with httpx.Client(base_url=base, transport=way, headers=headers, timeout=60) as client:
        yield client


@pytest.mark.skipif(None in PROGRAMS.values(), reason="no nginx or openssl here")
def test_the_documented_nginx(staffed, drawn, tmp_path) -> None:
    with (
        serving(staffed.book) as client,
        proxied(client, tmp_path) as port,
        visitor(port, address="127.0.0.2") as one,
        visitor(port, address="127.0.0.3") as other,
    ):
        signed = one.post("/login", data={"name": "a.viewer", "password": PASSWORD})
        assert signed.headers["set-cookie"].startswith("__Host-dermtwin=")
        assert "; Secure" in signed.headers["set-cookie"]
        assert "max-age=31536000" in signed.headers["strict-transport-security"]
        image = {"image": next(drawn.rglob("*.jpg")).read_bytes()}
        assert len(one.post("/api/v1/search", files=image).json()["hits"]) == 10
        foreign = {"Origin": "https://elsewhere.example"}
        assert one.post("/api/v1/search", files=image, headers=foreign).status_code == 403
        told = one.post("/api/v1/search", files={"image": bytes(40 * 2**20)})
        assert (told.status_code, "32 MiB" in told.text) == (413, True)
        stranger = other.post("/api/v1/search", files={"image": bytes(30 * 2**20)})
        assert (stranger.status_code, other.get("/metrics").status_code) == (401, 401)
        # Whoever forges addresses stays one visitor, and is none of the others.
        form = {"name": "nobody", "password": "wrong"}
        forged = ({"X-Forwarded-For": f"10.0.0.{n}"} for n in range(60))
        assert any(
            one.post("/login", data=form, headers=each).status_code == 429 for each in forged
        )
        assert other.post("/login", data=form).status_code == 303
    assert "temporary file" not in (tmp_path / "error.log").read_text()
