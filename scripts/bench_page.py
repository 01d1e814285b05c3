"""Speed of the page and the API as people meet them: a real server, real uploads, a real browser.

    python scripts/bench_page.py --cases HAM10000 --queries ISIC2018 --out docs/bench/page.json

The cases come from one folder (drawn lesions without one), the queries from another, made JPEGs of
600x450. Beside each question over HTTP stands what cannot be saved, in turn with it and on the same
picture: decoding and encoding it in a process that does nothing else.
"""

import argparse
import base64
import http.client
import io
import json
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

import dermtwin
from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Role
from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.running import usable_cores
from dermtwin.vocabulary import BASE_ENCODER

SIZE, QUALITY = (600, 450), 90
CLIENTS, WORKERS = 16, 2
BOUNDARY = "dermtwin-bench"
Report = Callable[..., dict]

# From the drop to ten pictures that are decoded and could be painted.
DROPPED = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "lesion.jpg", { type: "image/jpeg" }));
  const began = performance.now();
  document.querySelector("#drop").dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  const painted = () => {
    const shown = [...document.querySelectorAll(".hit .open img")];
    return shown.length >= 10 && shown.every((each) => each.complete && each.naturalWidth > 0);
  };
  while (!painted()) {
    if (performance.now() - began > 30000) throw new Error("no ten pictures within 30 s");
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - began;
}"""


@dataclass(slots=True)
class Load:
    """What clients met.

    Attributes:
        seconds: of each answer.
        errors: what went wrong, in words.
    """

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks what.

    Attributes:
        token: of the account that asks.
        queries: JPEG files.
        encoder: the casebook's, to see what encoding alone takes.
    """

    token: str
    queries: Sequence[bytes]
    encoder: Encoder

    @property
    def headers(self) -> dict[str, str]:
        """That say who asks."""
        return {"Authorization": f"Bearer {self.token}"}

    def client(self, port: int) -> http.client.HTTPConnection:
        """A connection that stays."""
        return http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def search(self, client: http.client.HTTPConnection, jpeg: bytes) -> None:
        """Upload a picture and read the hits; raises RuntimeError where the answer is no such."""
        head = (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
            'name="image"; filename="lesion.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = head.encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        client.request("POST", "/api/v1/search", body, self.headers | kind)
        response = client.getresponse()
        answer = response.read()
        if response.status != http.HTTPStatus.OK or len(json.loads(answer)["hits"]) != 10:
            raise RuntimeError(f"status {response.status}: {answer[:200]!r}")


def measure_page(
    folder: Path,
    *,
    cases: Path,
    queries: Sequence[bytes],
    report: Report,
    load_seconds: float = 60,
) -> Iterable[dict]:
    """The rows of the page.

    Args:
        folder: an empty one, for casebook and account.
        cases: a dataset to make a casebook of; or a casebook, with a user `bench` meanwhile.
        queries: JPEG files.
        report: prints a line and gives it back.
        load_seconds: how long the clients of the last row ask.
    """
    book = cases if (cases / "casebook.sqlite").exists() else _casebook(cases, folder / "cases")
    with account(book) as token:
        asking = Asking(token=token, queries=queries, encoder=Encoder.open(BASE_ENCODER))
        with serving(book, workers=1) as port:
            yield from _one_client(asking, port, report=report)
            yield from _in_browser(asking, port)
        with serving(book, workers=WORKERS) as port:
            yield from _many_clients(asking, port, for_seconds=load_seconds, report=report)


def queries_of(folder: Path | None, *, count: int) -> list[bytes]:
    """Pictures of a folder, or drawn ones, as JPEGs of 600x450."""
    with tempfile.TemporaryDirectory() as drawn:
        if folder is None:
            dermtwin.draw(Path(drawn) / "lesions", lesions_per_class=-(-count // 2), seed=1)
        found = folder if folder is not None else Path(drawn) / "lesions"
        paths = [path for path in sorted(found.rglob("*")) if path.suffix in (".jpg", ".jpeg")]
        return [_jpeg(path) for path in paths[:count]]


def _jpeg(path: Path) -> bytes:
    with Image.open(path) as picture:
        scaled = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    scaled.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _casebook(dataset: Path, out: Path) -> Path:
    print(f"adding {dataset.name} …", file=sys.stderr)
    dermtwin.add(dataset, casebook=out)
    return out


@contextmanager
def account(book: Path) -> Iterator[str]:
    """A token of an account that is there for the measurement alone."""
    name, password = "bench", "only while the bench runs"
    with Casebook.open(book) as casebook:
        accounts.add_account(casebook, name, password=password, role=Role.ADMIN)
        _, token = accounts.add_token(casebook, user=name, label="bench")
    try:
        yield token
    finally:
        with Casebook.open(book) as casebook:
            accounts.remove_account(casebook, name)


@contextmanager
def serving(book: Path, *, workers: int) -> Iterator[int]:
    """`dermtwin serve` in processes of its own; gives its port."""
    program = ("-c", "from dermtwin.cli import main; main()", "serve")
    words = ("--casebook", book, "--workers", workers, "--port")
    with started(*program, *words) as (port, _):
        yield port


@contextmanager
def started(*words: object) -> Iterator[tuple[int, subprocess.Popen]]:
    """Python with these words and a free port as the last one: a server, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *map(str, words), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(port, process)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _wait_until_ready(port: int, process: subprocess.Popen) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise SystemExit("the server does not become ready; run `dermtwin serve` to see why.")


def _one_client(asking: Asking, port: int, *, report: Report) -> Iterable[dict]:
    client = asking.client(port)
    asking.search(client, asking.queries[0])  # the first opens encoder and gallery
    pairs = [
        (
            seconds(lambda query=query: asking.search(client, query)),
            seconds(lambda query=query: asking.encoder.encode(query, name="query")),
        )
        for query in asking.queries
    ]
    client.close()
    for label, share in (("median", 50), ("95th percentile", 95)):
        ours, theirs = np.percentile(np.array(pairs) * 1000, share, axis=0)
        yield report(
            f"upload to JSON hits, {label} (encoding alone)",
            ours=ours,
            theirs=theirs,
            unit="ms",
            more_is_better=False,
        )


def _many_clients(
    asking: Asking, port: int, *, for_seconds: float, report: Report
) -> Iterable[dict]:
    encoding = encodings_a_second(asking)
    load = Load()
    until = time.perf_counter() + for_seconds
    in_threads(lambda number: _ask_on(asking, port, load, number, until=until), count=CLIENTS)
    yield report(
        f"searches a second, {WORKERS} workers, {CLIENTS} clients (encoding)",
        ours=len(load.seconds) / for_seconds,
        theirs=encoding,
        unit="1/s",
        more_is_better=True,
    )
    yield _alone("  their 95th percentile", float(np.percentile(load.seconds, 95)) * 1e3, "ms")
    yield _alone("  errors", float(len(load.errors)), "answers")
    for each in sorted(set(load.errors)):
        print(f"    {each}")


def _ask_on(asking: Asking, port: int, load: Load, number: int, *, until: float) -> None:
    """One client: ask, and ask again, each beginning with another picture."""
    client = asking.client(port)
    place = number * 7
    while (started := time.perf_counter()) < until:
        try:
            asking.search(client, asking.queries[place % len(asking.queries)])
            load.seconds.append(time.perf_counter() - started)
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            load.errors.append(f"{type(error).__name__}: {error}")
            client.close()
        place += 1
    client.close()


def encodings_a_second(asking: Asking) -> float:
    """JPEGs to codes on all cores, for about two seconds."""
    done, until = [0] * usable_cores(), time.perf_counter() + 2

    def work(core: int) -> None:
        while time.perf_counter() < until:
            query = asking.queries[done[core] % len(asking.queries)]
            asking.encoder.encode(query, name="query")
            done[core] += 1

    took = seconds(lambda: in_threads(work, count=len(done)))
    return sum(done) / took


def in_threads(work: Callable[[int], None], *, count: int) -> None:
    """Do something in so many threads, each with its number, to the end."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _in_browser(asking: Asking, port: int) -> Iterable[dict]:
    """From the drop to ten pictures, each query on a page of its own."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no Chromium here: the page's row is left out", file=sys.stderr)
        return
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be absent too

    times = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(extra_http_headers=asking.headers)
        page = context.new_page()
        for query in asking.queries[:60]:
            page.goto(f"http://127.0.0.1:{port}/", wait_until="networkidle")
            times.append(page.evaluate(DROPPED, base64.b64encode(query).decode()))
        browser.close()
    for label, share in (("median", 50), ("95th percentile", 95)):
        yield _alone(
            f"from the drop to ten pictures, {label}", float(np.percentile(times, share)), "ms"
        )


def _alone(what: str, ours: float, unit: str) -> dict:
    print(f"{what:<58} {ours:>9.4g} {'':>9} {unit:<9}", flush=True)
    return {"what": what, "ours": ours, "unit": unit}


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print a line each, and write the figures as JSON where asked."""
    from bench import HEADER, report  # noqa: PLC0415 - `bench` asks this module for its rows

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, help="a dataset, or a casebook; drawn without one")
    parser.add_argument("--queries", type=Path, help="a folder of pictures; drawn without one")
    parser.add_argument("--of", default="drawn lesions", help="what to call the cases")
    parser.add_argument("--count", type=int, default=200, help="queries")
    parser.add_argument("--seconds", type=float, default=60, help="of many clients")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cases = given.cases
        if cases is None:
            cases = Path(name) / "drawn"
            dermtwin.draw(cases, lesions_per_class=500)
        size = _size_of(cases)
        print(HEADER)
        rows = list(
            measure_page(
                Path(name),
                cases=cases,
                queries=queries_of(given.queries, count=given.count),
                report=report,
                load_seconds=given.seconds,
            )
        )
    if given.out:
        told = {
            "cases": size,
            "of": given.of,
            "queries": given.count,
            "cores": usable_cores(),
            "machine": platform.platform(),
            "rows": rows,
        }
        given.out.write_text(json.dumps(told, indent=2) + "\n")


def _size_of(cases: Path) -> int:
    if (cases / "casebook.sqlite").exists():
        with Casebook.open(cases) as casebook:
            return len(casebook.all_records())
    return len(read_dataset(cases))


if __name__ == "__main__":
    main()
