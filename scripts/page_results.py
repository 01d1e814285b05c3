"""How fast the page answers, and how sturdily: docs/page-results.md, from result files alone.

    python scripts/page_results.py docs/bench --out docs/page-results.md

`page.json` is what scripts/bench_page.py wrote, `malformed.json` what scripts/bench_malformed.py
wrote.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from result_page import write_page

INTRODUCTION = """\
# The page and the API: how fast, how sturdy

Written by `scripts/page_results.py` from `docs/bench`:

    python scripts/bench_page.py --cases HAM10000 --of HAM10000 --queries ISIC2018_TASK1 \\
        --out docs/bench/page.json
    python scripts/bench_malformed.py --count 10000 --out docs/bench/malformed.json

A casebook of {cases:,} cases ({of}), {queries} queries that it does not hold, as JPEGs of 600x450,
`dermtwin serve` in processes of its own, {cores} cores shared with whoever asks. Beside it stands
what no server can save: decoding and encoding the same picture, nothing else. The machine is
shared with others: figures fall where they work, and what encoding alone takes tells how much.

| | asked for | reach for | measured | encoding alone |
|---|---|---|---|---|"""

MALFORMED = """| {requests:,} malformed requests: answers of class 5xx | 0 | 0 | {5xx} | |
| how much the server's memory grew meanwhile | < 50 MB | | {memory_growth_mb:.0f} MB | |

The malformed requests: half made up by schemathesis from the API's description, right and wrong
ones in turn, half searches by picture files that are cut short or have bits turned over.
{2xx:,} of them were answered, {4xx:,} refused."""

TRUST = """
How far an answer is to be trusted was measured apart: [trust.md](trust.md). What holds without a
figure is held by tests, in which server, database and browser are real:

| | test |
|---|---|"""

TESTS: Mapping[str, str] = {
    "the regions of a heat map add up to the similarity within 1e-4": "tests/consultation",
    "made-up requests, 200 or DERMTWIN_REQUESTS of them: no answer of class 5xx": "test_api.py",
    "damaged, huge and foreign uploads: refused in a sentence, memory stays": "test_safety.py",
    "a route asks for what its role may; a token never raises its own rights": "test_gate.py",
    "sign in through another server, which is down, lies or talks nonsense": "test_openid.py",
    "behind a proxy with TLS": "test_behind_proxy.py",
    "from a dropped picture to a forgotten case; axe; 360 px; no other host": "test_pages.py",
    "the same by keyboard alone": "test_keyboard.py",
}

# What `bench_page.py` calls it: what a person would, at least, reach for, how to write it.
ROWS: Mapping[str, tuple[str, str, str, str]] = {
    "upload to JSON hits, median (encoding alone)": (
        "upload to JSON hits, median",
        "≤ 60 ms",
        "30 ms",
        "{:.0f} ms",
    ),
    "upload to JSON hits, 95th percentile (encoding alone)": (
        "upload to JSON hits, 95th percentile",
        "≤ 100 ms",
        "50 ms",
        "{:.0f} ms",
    ),
    "from the drop to ten pictures, median": (
        "from the drop to ten pictures, in Chromium, median",
        "",
        "",
        "{:.0f} ms",
    ),
    "from the drop to ten pictures, 95th percentile": (
        "from the drop to ten pictures, 95th percentile",
        "≤ 400 ms",
        "200 ms",
        "{:.0f} ms",
    ),
    "searches a second, 2 workers, 16 clients (encoding)": (
        "searches a second, two workers, 16 clients, 60 s",
        "≥ 40",
        "80",
        "{:.0f}",
    ),
    "  their 95th percentile": ("their 95th percentile", "", "", "{:.0f} ms"),
    "  errors": ("their errors", "0", "0", "{:.0f}"),
}


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, page)


def page(results: Path) -> Iterator[str]:
    """The page's lines."""
    measured: Mapping[str, Any] = json.loads((results / "page.json").read_text())
    malformed = json.loads((results / "malformed.json").read_text())
    yield INTRODUCTION.format(**measured)
    for row in measured["rows"]:
        what, least, reach, form = ROWS[row["what"]]
        alone = form.format(row["obvious"]) if "obvious" in row else ""
        yield f"| {what} | {least} | {reach} | {form.format(row['ours'])} | {alone} |"
    yield MALFORMED.format(**malformed)
    yield TRUST
    for what, test in TESTS.items():
        yield f"| {what} | `{test if '/' in test else f'tests/web/{test}'}` |"


if __name__ == "__main__":
    main()
