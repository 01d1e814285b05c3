"""A million cases: docs/search-results.md, from what the benches of gallery and record measured.

    python scripts/search_results.py docs/bench --out docs/search-results.md

The page names the commands that measure.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from result_page import write_page

ENGINES = ("FAISS flat", "sqlite-vec", "LanceDB", "pgvector, exact", "pgvector, HNSW")

Row = Mapping[str, Any]

INTRODUCTION = """\
# A million cases: search and record, measured

Written by `scripts/search_results.py` from `docs/bench`:

    python scripts/bench_gallery.py --size 1000000 --out docs/bench/gallery.json
    python scripts/bench_record.py --size 1000000 --out docs/bench/record.json
    python scripts/search_results.py docs/bench --out docs/search-results.md

{cores} cores, load {load:.1f} when it began (above 1, other work ran beside). Codes are drawn from
a fixed seed: 32 normal numbers, 64 random bits a case. Times are medians of {queries} questions in
milliseconds, the least in brackets. On this machine they differ by a fifth from run to run: compare
within a column. [scale.md](scale.md) does the sums for other sizes.
"""

FLOATS = """
## The ten nearest of {cases:,} by numbers

| engine | no filter | a tenth of the cases eligible | a hundredth | of dermtwin's ten |
|---|---|---|---|---|"""

AFTER_FLOATS = """
Reading is what any exact search has to do: here one core sums the same bytes. A question uses all
cores that are idle, where 65,536 cases or more are eligible; with fewer a single core is faster.
FAISS takes one thread, as two were slower, and pgvector one; the others run as they come. Blank:
not asked. The last column is the share of dermtwin's ten hits that an engine finds: 1 for exact
ones; HNSW is an approximate index.
"""

BITS = """
## The ten nearest by 64 bits

| engine | {cases:,} | {more:,} |
|---|---|---|"""

AFTER_BITS = """
numba compiles the loop over the bits where it is installed (`pip install 'dermtwin[fast]'`, 200
MB); without it, and under a filter, the same is found by numpy. Equal Hamming distances are ordered
by the numbers, then by name, so that the same question has the same answer everywhere; FAISS leaves
them in any order.
"""

RECORD = """
## The record

| what | measured | beside |
|---|---|---|"""


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, lambda folder: page(_read(folder, "gallery"), _read(folder, "record")))


def _read(folder: Path, name: str) -> Row:
    found: Row = json.loads((folder / f"{name}.json").read_text())
    return found


def page(gallery: Row, record: Row) -> Iterator[str]:
    """The page's lines."""
    rows = {row["what"]: row for row in gallery["rows"]}
    cases = gallery["cases"]
    yield INTRODUCTION.format(**gallery)
    yield FLOATS.format(cases=cases).lstrip("\n")
    yield f"| reading the codes | {_time(rows.get('reading the float codes'))} | | | |"
    own = (_time(rows.get(f"dermtwin, floats{each}")) for each in ("", ", 10 %", ", 1 %"))
    yield f"| **dermtwin** | {' | '.join(own)} | |"
    for engine in ENGINES:
        found, tenth = rows.get(engine), rows.get(f"{engine}, 10 %")
        recall = "" if found is None else f"{found['recall']:.3f}"
        yield f"| {engine} | {_time(found)} | {_time(tenth)} | | {recall} |"
    yield AFTER_FLOATS
    more = 10 * cases
    yield BITS.format(cases=cases, more=more).lstrip("\n")
    for told, what, larger in (
        ("reading the bits", "reading the bits", f"reading the bits of {more:,}"),
        ("**dermtwin**, with numba", "dermtwin, bits", f"dermtwin, bits of {more:,}"),
        (
            "**dermtwin**, numpy alone",
            "dermtwin, bits, numpy alone",
            f"dermtwin, bits of {more:,}, numpy alone",
        ),
        ("FAISS binary", "FAISS binary, bits", ""),
    ):
        yield f"| {told} | {_time(rows.get(what))} | {_time(rows.get(larger))} |"
    yield AFTER_BITS
    yield RECORD.lstrip("\n")
    yield from _record(record, bytes_a_case=gallery["bytes_a_case"])


def _time(row: Row | None) -> str:
    if row is None:
        return ""
    told = f"{row['median_ms']:.3g} ({row['least_ms']:.3g})"
    ratio = row["times_reading"]
    return told if ratio is None else f"{told}, {ratio:.2f} × reading"


def _record(found: Row, *, bytes_a_case: float) -> Iterator[str]:
    cases = found["cases"]
    yield (
        f"| {cases:,} cases with ready codes added | {found['add_s']:.3g} s | "
        f"{found['add_plainly_s']:.3g} s: one SQLite table of names and codes, nothing checked |"
    )
    yield (
        f"| a worker opened, to its first answer | {found['first_answer_s']:.3g} s | "
        f"{bytes_a_case:.0f} bytes of memory a case |"
    )
    yield (
        f"| a question, 95th percentile | {found['quiet_p95_ms']:.3g} ms | "
        f"{found['busy_p95_ms']:.3g} ms while another process adds at full speed |"
    )
    yield (
        f"| a patient forgotten, to the next answer | {found['forgotten_s'] * 1000:.3g} ms | "
        f"{found['erased_s']:.3g} s until their bytes are gone from the disk, looked for |"
    )


if __name__ == "__main__":
    main()
