"""From one clinic to 10^9 cases: docs/scale.md, from what `scripts/bench_scale.py` measured.

    python scripts/scale_results.py docs/bench/scale.json --out docs/scale.md

The sums are checked against the measurements first: where one does not hold, no page is written.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from result_page import write_page

SIZES = tuple(10**power for power in range(4, 10))
DIMENSION = 32
# Of which nothing is measured here: planned with, and said so on the page.
IMAGE_BYTES, THUMBNAIL_BYTES = 250_000, 12_000
NODE_BYTES = 64e9

# Bytes a case, part by part: what cannot be less.
MEMORY = {
    "32 numbers": 4 * DIMENSION,
    "64 bits": 8,
    "half its squared length": 4,
    "key": 8,
    "13 fields, a byte each": 13,
    "names of case, lesion, patient": 12 + 10 + 10,
}
RECORD = {
    "code and bits": 4 * DIMENSION + 8,
    "digest of the image, in its row and its index": 2 * 64,
    "names, in their rows and their indexes": 2 * (12 + 10 // 2 + 10 // 4),
    "the other fields, as text": 75,
    "audit key, perceptual hash": 16 + 8,
    "keys that refer to keys, with their indexes": 8 * 6,
}


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, lambda file: page(Costs(json.loads(file.read_text()))))


INTRODUCTION = """\
# From one clinic to 10⁹ cases

Written by `scripts/scale_results.py` from `docs/bench/scale.json`, which `scripts/bench_scale.py`
measured on {cores} cores with synthetic codes. Times are the least of many (load {load}: above 1,
other work ran beside). What is larger than the largest size measured is arithmetic.

## What runs where

| cases | record | gallery | why |
|---|---|---|---|
| up to 10⁶ | a folder (SQLite) | in memory | one machine, nothing to look after |
| 10⁵ – 10⁷, many at once | PostgreSQL | in memory, in each worker | workers are added |
| 10⁷ – 10⁸ | PostgreSQL | in memory, on machines with room | a start takes minutes |
| 10⁸ – 10⁹ | PostgreSQL | Milvus | no worker's memory holds it |

Asked by bits, all answer alike: exact, under any filter. `gallery.interface` says what they can do;
`tests/gallery/test_contract.py` asks the one in memory and the one in Milvus the same, and holds
both against a search that looks at each case in turn. The search by numbers is memory's alone.
All times by bits here are numpy's; with the extra `fast` a search without a filter takes half to a
third of them from 262,144 cases on ([search-results.md](search-results.md)).
"""

PARTS = """
The record is counted without its audit log, which has an entry a question and 24 bytes and an
index for each case that came back. Image files are planned with {image:.0f} kB and thumbnails with
{thumbnail:.0f} kB each (not measured here): they are nearly all of the disk, and lie in one folder
that all workers share.

## From 10⁴ to 10⁹ cases

Each column is the number of cases times the measured cost of one. A picture's way to its code takes
{picture:.0f} ms on one core, whatever the size; questions a second are 1000 / (picture + search by
numbers), for one worker on one core.
"""

WORKERS = """
Below 10⁵ cases a search has a fixed cost beside that in proportion, some tenths of a millisecond;
the table leaves it out. The bits alone of 10⁹ cases are 8 GB, the numbers {numbers:.0f} GB: what
fills a worker are numbers, names and fields.

## When to add workers

A worker keeps nothing of its own: it reads the casebook when it starts and what changed before each
question. So any worker answers any question, and one that dies is started again. All that it is
told is `--casebook 'postgresql://…/db?images=FOLDER'`.

- One worker on one core answers {one:.0f} questions a second at 10⁶ cases. For Q a second take
  Q / {one:.0f} of them, and a third more for peaks.
- A worker uses all of its cores by threads, which share its memory: threads on one machine, workers
  over machines.
- A machine needs cases x {memory:.0f} bytes for each worker, and more for a moment while it starts.
- Adding goes through one writer at a time: {added:,.0f} rows a second with ready codes. Encoding
  comes first: 1000 / {picture:.0f} = {pictures:.0f} pictures a second a core.
- When a start takes longer than you want to wait for a worker, or the memory is short, the gallery
  goes to Milvus.

## When Milvus

`gallery.milvus.MilvusGallery` (extra `milvus`; servers from 2.3) keeps a row a case: its bits as a
binary vector, searched exactly (BIN_FLAT, Hamming), its numbers, which settle ties, and its fields.
All that ties with the last hit is fetched, so that the order is that of `search_bits` in memory. It
needs an encoder with the output `bits`, as `dermtwin-base` has. No verb opens it by itself yet.
Allowing twice the memory of our own gallery (not measured), 10⁹ cases take {needed:,.0f} GB:
{nodes:.0f} query nodes of {node:.0f} GB.
"""

MILVUS = """
A question reads with consistency level Strong, so that what was forgotten is gone from the next
answer in every process. That waits for the server's next time tick (`proxy.timeTickInterval`,
200 ms unless set; the tests set 10).

- One process applies changes, in the order of their numbers; all others only ask. A second one that
  is behind could bring a forgotten case back.
- A change is not one step: a question beside it may see a part of it.
- Deleted rows go from every answer at once, but their bytes stay in Milvus's segments and log until
  it compacts and collects them (`dataCoord.gc.dropTolerance`, `rocksmq.retentionTimeInMinutes` or
  the message queue's own). Set these short, and count them into what you promise a patient.
- `tally` counts by fields with a closed vocabulary only, one count a value; a value outside
  of it, which a table may hold, costs one question more.

## The arithmetic, checked

| quantity | by arithmetic | measured | measured / arithmetic | holds within |
|---|---|---|---|---|
"""


class Costs:
    """What one case and one question cost."""

    def __init__(self, figures: Mapping[str, Any]) -> None:
        self.machine, self.milvus = figures["machine"], figures["milvus"]
        self.picture_ms: float = figures["picture"]["ms"]
        few, many = figures["record"]
        self.record = (many["bytes"] - few["bytes"]) / (many["cases"] - few["cases"])
        self.added = many["cases"] / many["add_s"]
        self.start_s = many["start_s"] / many["cases"]
        self.measured_start = many
        self.search = figures["search"]
        self.largest = self.search[-1]
        self.memory = self.largest["memory"] / self.largest["cases"]

    def ms(self, what: str, cases: int) -> float:
        """Time of a search: in proportion to the cases, from the largest that was measured."""
        return self.largest[what] * cases / self.largest["cases"]

    def checks(self) -> Iterator[tuple[str, float, float, str, tuple[float, float]]]:
        """What, by arithmetic, as measured, unit, and how many times the sum that may be."""
        yield "memory a case, at least", sum(MEMORY.values()), self.memory, "bytes", (1, 1.4)
        yield "record a case, at least", sum(RECORD.values()), self.record, "bytes", (1, 2)
        # Wide, as the smaller gallery fits in the processor's cache and the larger does not.
        for small in self.search[-2:-1]:
            times = self.largest["cases"] / small["cases"]
            cases = f"{self.largest['cases']:,} cases"
            for what, name in (("codes_ms", "numbers"), ("bits_ms", "bits")):
                label = f"search by {name}, {cases}, from {small['cases']:,}"
                yield label, small[what] * times, self.largest[what], "ms", (0.3, 3)
        reading = self.largest["reading_ms"]
        yield "search by numbers: reading them", reading, self.largest["codes_ms"], "ms", (0.3, 8)


def page(costs: Costs) -> Iterator[str]:
    """The page's lines.

    Raises:
        SystemExit: a sum does not hold.
    """
    yield INTRODUCTION.format(**costs.machine)
    yield from _bytes_a_case(costs)
    yield PARTS.format(
        image=IMAGE_BYTES / 1000, thumbnail=THUMBNAIL_BYTES / 1000, picture=costs.picture_ms
    )
    yield from _sizes(costs)
    needed = 2 * costs.memory * 10**9
    yield WORKERS.format(
        numbers=4 * DIMENSION,
        one=1000 / (costs.picture_ms + costs.ms("codes_ms", 10**6)),
        memory=costs.memory,
        added=costs.added,
        picture=costs.picture_ms,
        pictures=1000 / costs.picture_ms,
        needed=needed / 1e9,
        nodes=-(-needed // NODE_BYTES),
        node=NODE_BYTES / 1e9,
    )
    for one in costs.milvus:
        rate = one["cases"] / one["add_s"]
        yield f"Measured with the standalone server 2.3.5 as it comes, {one['cases']:,} cases:"
        yield f"{rate:,.0f} rows a second taken in, {one['bits_ms']:.0f} ms a question."
    yield MILVUS.rstrip("\n")
    yield from _checked(costs)


def _bytes_a_case(costs: Costs) -> Iterator[str]:
    yield "## Bytes a case"
    yield ""
    yield "| in memory, at least | bytes | in the record, at least | bytes |"
    yield "|---|---|---|---|"
    for (one, size), (other, others) in zip(MEMORY.items(), RECORD.items(), strict=True):
        yield f"| {one} | {size} | {other} | {others} |"
    yield f"| sum | {sum(MEMORY.values())} | sum | {sum(RECORD.values())} |"
    yield f"| measured | {costs.memory:.0f} | measured (SQLite) | {costs.record:.0f} |"
    yield f"| cases a GB | {1e9 / costs.memory:,.0f} | cases a GB | {1e9 / costs.record:,.0f} |"


def _sizes(costs: Costs) -> Iterator[str]:
    headings = "images", "record", "memory", "start", "by numbers", "by bits", "questions a second"
    yield f"| cases | {' | '.join(headings)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for power, cases in zip("⁴⁵⁶⁷⁸⁹", SIZES, strict=True):
        codes, bits = costs.ms("codes_ms", cases), costs.ms("bits_ms", cases)
        cells = (
            f"10{power}",
            _bytes(cases * (IMAGE_BYTES + THUMBNAIL_BYTES)),
            _bytes(cases * costs.record),
            _bytes(cases * costs.memory),
            _seconds(cases * costs.start_s),
            _seconds(codes / 1000),
            _seconds(bits / 1000),
            f"{1000 / (costs.picture_ms + codes):.3g}",
        )
        yield f"| {' | '.join(cells)} |"


def _checked(costs: Costs) -> Iterator[str]:
    for what, expected, found, unit, (low, high) in costs.checks():
        times = found / expected
        if not low <= times <= high:
            raise SystemExit(
                f"{what}: {found:.3g} {unit} measured, {expected:.3g} by arithmetic; mend the sum."
            )
        cells = f"{expected:.3g} {unit} | {found:.3g} {unit} | {times:.2f} | {low} – {high}"
        yield f"| {what} | {cells} |"


def _bytes(size: float) -> str:
    power = min(int(math.log10(size)) // 3, 5)
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def _seconds(taken: float) -> str:
    if taken < 1:
        return f"{float(f'{taken * 1000:.2g}'):g} ms"
    return f"{taken:.3g} s" if taken < 120 else f"{taken / 60:.0f} min"


if __name__ == "__main__":
    main()
