"""The record at a million cases: rows in, first answer, answers meanwhile, one patient out.

    python scripts/bench_record.py --size 1000000 --out docs/bench/record.json

Rows come with ready codes and without image files (`bench_scale.rows`); making them is not timed.
Beside the rows in stands the obvious way: one SQLite table of names and codes, one transaction, no
log and nothing checked.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from bench_scale import DIMENSION, rows, start

from dermtwin.casebook import Casebook, Writer, auditing
from dermtwin.casebook.bulk import Item, place_all
from dermtwin.casebook.records import EncoderRecord
from dermtwin.encoders import Encoder
from dermtwin.gallery import Gallery
from dermtwin.vocabulary import BASE_ENCODER

QUERIES = 300
STARTS = 5  # the median of them is told
BATCH = 50_000
FORGOTTEN = "IP_0000123"


def main() -> None:
    """Measure, print, and write the figures; with `--add`, be the other process that adds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.add:
        keep_adding(options.add, first=options.size)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_record(Path(folder), size=options.size)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def measure_record(folder: Path, *, size: int) -> dict[str, float]:
    """All rows of this bench, a line each."""
    where = folder / "cases"
    load = os.getloadavg()[0]
    print(f"the record with {size:,} cases (load {load:.1f})")
    figures = {"cases": size, "load": round(load, 1)}
    figures["add_s"] = told("rows in, with codes and audit log", fill(where, size))
    figures["add_plainly_s"] = told(
        "  the obvious way", fill_plainly(folder / "plain.sqlite", size)
    )
    opened = statistics.median(seconds(lambda: start(where)) for _ in range(STARTS))
    figures["first_answer_s"] = told("opened, to the first answer", opened)
    with Casebook.open(where) as casebook:
        asked = Asked(casebook)
        quiet = asked.p95_ms()
        figures["quiet_p95_ms"] = told("a question, p95", quiet, "ms")
        command = [sys.executable, __file__, "--add", str(where), "--size", str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()  # it has begun
            figures["busy_p95_ms"] = told("  while another process adds", asked.p95_ms(), "ms")
            other.kill()
        figures |= forget(casebook, asked)
    return figures


class Asked:
    """A worker's gallery, brought up to date before each question."""

    def __init__(self, casebook: Casebook) -> None:
        self.casebook = casebook
        self.gallery = Gallery(dimension=DIMENSION)
        self.rng = np.random.default_rng(5)
        self.ask()

    def ask(self) -> None:
        """One question."""
        self.gallery = self.casebook.refreshed(self.gallery)
        query = self.rng.standard_normal((1, DIMENSION), np.float32)
        self.gallery.snapshot().search(query, k=10)

    def p95_ms(self) -> float:
        """Of many questions, one after the other."""
        return statistics.quantiles([seconds(self.ask) for _ in range(QUERIES)], n=20)[-1] * 1000


def forget(casebook: Casebook, asked: Asked) -> dict[str, float]:
    """One patient out: until the next answer knows it no more, and until the disk does not."""
    before = len(asked.gallery.snapshot())

    def erase() -> None:
        with Writer(casebook) as writer:
            writer.forget("patient", FORGOTTEN)

    worker = threading.Thread(target=erase)
    began = time.perf_counter()
    worker.start()
    while len(asked.gallery.snapshot()) == before:
        asked.ask()
    gone = time.perf_counter() - began
    worker.join()
    return {
        "forgotten_s": told("a patient forgotten, to the next answer", gone),
        "erased_s": told("  and from the disk, looked for", time.perf_counter() - began),
    }


def fill(where: Path, size: int) -> float:
    """A casebook, as `add` fills it but for pictures and files; the seconds it took."""
    with Casebook.open_or_make(where) as casebook:
        encoder = Encoder.open(BASE_ENCODER)
        with Writer(casebook) as writer:
            kept = writer.keep_encoder(
                encoder_id=encoder.id, card=encoder.card.to_json(), data=encoder.data
            )
        return sum(
            seconds(lambda batch=batch: place(casebook, kept, batch)) for batch in batches(size)
        )


def batches(size: int) -> Iterator[list[Item]]:
    """All rows, as many at once as go into one transaction."""
    for first in range(0, size, BATCH):
        yield list(rows(first, min(first + BATCH, size)))


def place(casebook: Casebook, encoder: EncoderRecord, batch: list[Item]) -> None:
    """One transaction with its audit entry."""
    with casebook.writing() as connection:
        placed = place_all(connection, batch, encoder=encoder)
        names = [name for each in placed for name in each.subjects]
        auditing.note(connection, verb="add", subjects=names, encoder=encoder.id)


def keep_adding(where: Path, *, first: int) -> None:
    """Add at full speed, `add`'s 32 cases a transaction, until killed."""
    with Casebook.open(where) as casebook:
        encoder, _ = casebook.encoder_data()
        while True:
            place(casebook, encoder, list(rows(first, first + 32)))
            print(first, flush=True)
            first += 32


def fill_plainly(path: Path, size: int) -> float:
    """What one writes in an afternoon; the seconds it took."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cases (name TEXT PRIMARY KEY, lesion, patient, sex, code)")

        def insert(batch: list[Item]) -> None:
            connection.executemany(
                "INSERT INTO cases VALUES (?, ?, ?, ?, ?)",
                (
                    (c.isic_id, c.lesion_id, c.patient_id, c.sex, image.vector.tobytes())
                    for c, image in batch
                ),
            )

        taken = sum(seconds(lambda batch=batch: insert(batch)) for batch in batches(size))
        return taken + seconds(connection.commit)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def told(what: str, value: float, unit: str = "s") -> float:
    """Print one line."""
    print(f"{what:<45} {value:>9.3g} {unit}", flush=True)
    return value


if __name__ == "__main__":
    main()
