"""What one case costs: the figures that docs/scale.md does its sums with.

    python scripts/bench_scale.py --out docs/bench/scale.json
    python scripts/scale_results.py docs/bench/scale.json --out docs/scale.md

Bytes a case in the record and in memory, seconds a case at the start, time of a search at several
sizes, time of a picture's code, and the same search in Milvus where its server is installed. Codes
are drawn from a fixed seed. Times are the least of many, those of a search by numbers on one core
(only Linux keeps a process to one), by bits without the compiled loop of the extra `fast`; the
machine's load stands beside them.
"""

import argparse
import json
import os
import sqlite3
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.casebook.bulk import place_all
from dermtwin.casebook.placing import NewImage
from dermtwin.casebook.writer import Writer
from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.gallery import Encoded, Entries, Gallery
from dermtwin.gallery import snapshot as in_memory
from dermtwin.gallery.interface import SnapshotLike
from dermtwin.gallery.milvus import MilvusGallery
from dermtwin.images import Header
from dermtwin.vocabulary import BASE_ENCODER, FIELDS, Case

DIMENSION = 32
BATCH = 5_000
REPEATS = 60
SEXES = ("female", "male")
CLASSES = ("Benign", "Malignant", "Indeterminate")


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=1_000_000, help="cases of the largest search")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
            "picture": picture(Path(folder)),
            "record": [record(Path(folder), count=options.size // each) for each in (50, 10)],
            "search": [search(options.size // each) for each in (100, 10, 1)],
            "milvus": milvus(Path(folder) / "milvus", counts=[options.size // 100]),
        }
    options.out.write_text(json.dumps(figures, indent=2) + "\n")


def picture(folder: Path) -> dict[str, float]:
    """One picture, JPEG bytes to code, on one thread."""
    dermtwin.draw(folder / "drawn", lesions_per_class=10)
    pictures = [row.image.read_bytes() for row in read_dataset(folder / "drawn")]
    encoder = Encoder.open(BASE_ENCODER)

    def encode(data: bytes) -> None:
        encoder.encode_views(encoder.look(data, name="picture").view[None])

    encode(pictures[0])
    return {"ms": least_ms([lambda data=data: encode(data) for data in pictures])}


def record(folder: Path, *, count: int) -> dict[str, float]:
    """Rows with ready codes in a casebook without image files; then a worker's start."""
    where = folder / f"cases-{count}"
    with Casebook.open_or_make(where) as casebook:
        with Writer(casebook) as writer:
            encoder = Encoder.open(BASE_ENCODER)
            kept = writer.keep_encoder(
                encoder_id=encoder.id, card=encoder.card.to_json(), data=encoder.data
            )
        started = time.perf_counter()
        for first in range(0, count, BATCH):
            with casebook.writing() as connection:
                place_all(connection, list(rows(first, first + BATCH)), encoder=kept)
        adding = time.perf_counter() - started
    with closing(sqlite3.connect(where / "casebook.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (where / "casebook.sqlite").stat().st_size
    starting = least_ms([lambda: start(where)] * 3) / 1000
    print(f"record of {count:,}: {size / count:.0f} bytes a case, start {starting:.2f} s")
    return {"cases": count, "bytes": size, "add_s": adding, "start_s": starting}


def start(where: Path) -> None:
    """What a worker does before it can answer, and its first answer."""
    with Casebook.open(where) as casebook:
        gallery = casebook.refreshed(Gallery(dimension=DIMENSION))
    gallery.snapshot().search(np.zeros((1, DIMENSION), np.float32), k=10)


def rows(first: int, end: int) -> Iterator[tuple[Case, NewImage]]:
    """Cases as an archive has them, two images a lesion, four a patient."""
    codes = codes_of(end - first, seed=first)
    for number in range(first, end):
        case = Case(
            isic_id=f"ISIC_{number:07d}",
            lesion_id=f"IL_{number // 2:07d}",
            patient_id=f"IP_{number // 4:07d}",
            diagnosis_1=CLASSES[number % 3],
            diagnosis_3="Nevus",
            sex=SEXES[number % 2],
            age_approx=number % 18 * 5,
            anatom_site_general="anterior torso",
            image_type="dermoscopic",
            attribution="A clinic",
            copyright_license="CC-BY",
        )
        yield (
            case,
            NewImage(
                data=b"",
                sha256=sha256(case.isic_id.encode()).hexdigest(),
                header=Header(format="JPEG", width=600, height=450),
                thumbnail=b"",
                vector=codes[number - first],
                bits=number.to_bytes(8, "big"),
                phash=number,
            ),
        )


def search(count: int) -> dict[str, float]:
    """Memory of a gallery and time of a question, by numbers and by bits."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    gallery = Gallery(dimension=DIMENSION)
    gallery.apply(entries(count), version=1)
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    figures = {"cases": count, "memory": memory, **timed(gallery.snapshot())}
    codes = codes_of(count, seed=0)
    figures["reading_ms"] = least_ms([codes.sum] * REPEATS)
    snapshot = gallery.snapshot()
    queries = [code[None] for code in codes_of(REPEATS, seed=1)]
    with on_one_core():
        figures["codes_ms"] = least_ms(
            [lambda query=query: snapshot.search(query, k=10) for query in queries]
        )
    print(f"gallery of {count:,}: {memory / count:.0f} bytes a case, {figures['codes_ms']:.2f} ms")
    return figures


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep a search to this thread: the page's sums are for one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def milvus(folder: Path, *, counts: list[int]) -> list[dict[str, float]]:
    """The same question in Milvus as it comes; nothing where its server is not installed."""
    try:
        from milvus import MilvusServer, MilvusServerConfig  # noqa: PLC0415 - may be absent
    except ImportError:
        print("Milvus: its server is not installed; left out")
        return []
    server = MilvusServer(MilvusServerConfig(data_dir=str(folder)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        server.start()
    try:
        return [in_milvus(f"http://127.0.0.1:{server.listen_port}", count) for count in counts]
    finally:
        server.stop()


def in_milvus(uri: str, count: int) -> dict[str, float]:
    """Rows taken in a second, and the time of a question, with consistency level Strong."""
    gallery = MilvusGallery(uri, name=f"bench_{count}", dimension=DIMENSION)
    started = time.perf_counter()
    gallery.apply(entries(count), version=1)
    adding = time.perf_counter() - started
    figures = {"cases": count, "add_s": adding, **timed(gallery.snapshot())}
    gallery.drop()
    print(f"Milvus with {count:,}: {figures['bits_ms']:.0f} ms a question")
    return figures


def timed(snapshot: SnapshotLike) -> dict[str, float]:
    """Time of the ten nearest by bits."""
    bits = np.random.default_rng(2).integers(0, 2**64, REPEATS, dtype=np.uint64)
    codes = codes_of(REPEATS, seed=1)

    def ask(place: int) -> None:
        part = slice(place, place + 1)
        snapshot.search_bits(bits[part], codes=codes[part], k=10)

    with patch.object(in_memory, "loop_for", lambda _: None):
        ask(0)
        return {"bits_ms": least_ms([lambda place=place: ask(place) for place in range(REPEATS)])}


def entries(count: int) -> Entries:
    """`rows` as a gallery takes them."""
    numbers = np.arange(count)
    columns: dict[str, Any] = {name: Encoded(np.full(count, -1), ()) for name in FIELDS}
    columns |= {
        "isic_id": [f"ISIC_{number:07d}" for number in range(count)],
        "lesion_id": [f"IL_{number // 2:07d}" for number in range(count)],
        "patient_id": [f"IP_{number // 4:07d}" for number in range(count)],
        "diagnosis_1": Encoded(numbers % 3, CLASSES),
        "sex": Encoded(numbers % 2, SEXES),
        "age_approx": Encoded(numbers % 18, tuple(range(0, 90, 5))),
    }
    bits = np.random.default_rng(3).integers(0, 2**64, count, dtype=np.uint64)
    return Entries(keys=numbers, codes=codes_of(count, seed=0), columns=columns, bits=bits)


def codes_of(count: int, *, seed: int) -> np.ndarray:
    """Normally distributed codes."""
    return np.random.default_rng(seed).standard_normal((count, DIMENSION), np.float32)


def least_ms(works: list[Callable[[], object]]) -> float:
    """The least wall time of one call: what other work on the machine adds is no cost of ours."""
    taken = []
    for work in works:
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken) * 1000


if __name__ == "__main__":
    main()
