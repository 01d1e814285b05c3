"""Many malformed requests to a real server: answers of class 5xx, and how its memory grows.

    python scripts/bench_malformed.py --count 10000 --out docs/bench/malformed.json

Half are made up by schemathesis from the API's own description, right and wrong ones in turn; half
are searches by damaged picture files: cut short, with bits turned over, of five formats. One
worker, an admin's token, no limit on how often one may ask. Memory is counted once a twentieth of
the requests have warmed the server up.
"""

import argparse
import contextlib
import http.client
import io
import json
import random
import subprocess
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import requests
from bench_page import account, started
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image

import dermtwin
from dermtwin.files import write_text

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
WARMED_UP = 1 / 20
SERVER = """
import sys, dermtwin
from dermtwin.web.settings import ServerSettings
free = ServerSettings(per_second=1e6, at_once=10**6, sign_ins_a_minute=1e6)
dermtwin.serve(casebook=sys.argv[1], port=int(sys.argv[2]), settings=free)
"""


class Server:
    """A server in a process of its own, and what it answered."""

    def __init__(
        self, port: int, process: subprocess.Popen, token: str, *, warm_after: int
    ) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.statuses: Counter[int] = Counter()
        self.warm_kb = 0
        self._process, self._warm_after = process, warm_after
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, request: requests.Request) -> None:
        """Send a request and count its answer."""
        answer = self._session.send(self._session.prepare_request(request), timeout=60)
        self.statuses[answer.status_code] += 1
        if answer.status_code >= http.client.INTERNAL_SERVER_ERROR:
            print(f"{answer.status_code} {request.method} {request.url}: {answer.text[:200]}")
        if self.statuses.total() == self._warm_after:
            self.warm_kb = self.resident_kb()

    def resident_kb(self) -> int:
        """Memory that the server's process holds."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def main() -> None:
    """Measure, print, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lesions, book = Path(name) / "lesions", Path(name) / "cases"
        dermtwin.draw(lesions, lesions_per_class=20)
        dermtwin.add(lesions, casebook=book)
        with account(book) as token, serving(book, token, count=options.count) as server:
            send_made_up(server, count=options.count // 2)
            send_damaged(server, count=options.count - server.statuses.total())
            figures = told(server)
    if options.out:
        write_text(options.out, json.dumps(figures, indent=2) + "\n")


@contextlib.contextmanager
def serving(book: Path, token: str, *, count: int) -> Iterator[Server]:
    """A server of one worker that lets anybody ask as often as they like."""
    with started("-c", SERVER, book) as (port, process):
        yield Server(port, process, token, warm_after=round(WARMED_UP * count))


def send_made_up(server: Server, *, count: int) -> None:
    """About so many requests that schemathesis makes of the server's own description."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis  # noqa: PLC0415 - warns when it is imported

        answer = requests.get(f"{server.address}/api/v1/openapi.json", timeout=60)
        answer.raise_for_status()
        schema = schemathesis.openapi.from_dict(answer.json())
    operations = [each.ok() for each in schema.get_all_operations()]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    for number, (operation, mode) in enumerate(product(operations, modes), 1):
        # What one operation could not take, the next ones do.
        wanted = count * number // (2 * len(operations)) - server.statuses.total()

        @settings(
            max_examples=max(wanted, 1),
            suppress_health_check=list(HealthCheck),
            database=None,
            deadline=None,
            print_blob=False,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: object) -> None:
            server.ask(_as_request(server, case))

        with contextlib.suppress(Unsatisfiable):
            send()


def _as_request(server: Server, case: object) -> requests.Request:
    wire = case.as_transport_kwargs(base_url=server.address)  # type: ignore[attr-defined]
    kept = ("method", "url", "params", "headers", "data", "files", "json")
    return requests.Request(**{name: wire[name] for name in kept if name in wire})


def send_damaged(server: Server, *, count: int) -> None:
    """So many searches by picture files with bits turned over, and some cut short."""
    chance = random.Random(0)  # noqa: S311 - no secret
    whole = [_picture(each) for each in FORMATS]
    for _ in range(count):
        data = bytearray(chance.choice(whole))
        if chance.random() < 0.4:
            data = data[: chance.randrange(1, len(data))]
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file = {"image": ("lesion.jpg", bytes(data))}
        server.ask(requests.Request("POST", f"{server.address}/api/v1/search", files=file))


def _picture(kind: str) -> bytes:
    few = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(few).resize((320, 240), Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def told(server: Server) -> dict[str, float]:
    """The figures, printed."""
    by_class = Counter({f"{each // 100}xx": 0 for each in (200, 300, 400, 500)})
    for status, times in server.statuses.items():
        by_class[f"{status // 100}xx"] += times
    grown = (server.resident_kb() - server.warm_kb) / 1024
    figures = {"requests": server.statuses.total(), **by_class, "memory_growth_mb": round(grown, 1)}
    for name, value in figures.items():
        print(f"{name:<20} {value}")
    print("by status", dict(sorted(server.statuses.items())))
    return figures


if __name__ == "__main__":
    main()
