"""How fast the page answers: docs/page-results.md, from what `scripts/bench_page.py` measured.

python scripts/page_results.py docs/bench/page.json --out docs/page-results.md
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from result_page import write_page

INTRODUCTION = """\
# The page and the API: how fast, how sturdy

Written by `scripts/page_results.py` from `docs/bench/page.json`:

    python scripts/bench_page.py --cases HAM10000 --of HAM10000 --queries ISIC2018_TASK1 \\
        --out docs/bench/page.json

A casebook of {cases:,} cases ({of}), {queries} queries that it does not hold, as JPEGs of 600x450,
`dermtwin serve` in processes of its own, {cores} cores shared with whoever asks. Beside it stands
what no server can save: decoding and encoding the same picture, nothing else. The machine is
shared with others: figures fall where they work, and what encoding alone takes tells how much.

| | asked for | reach for | measured | encoding alone |
|---|---|---|---|---|"""

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
    write_page(__doc__, lambda file: page(json.loads(file.read_text())))


def page(measured: Mapping[str, Any]) -> Iterator[str]:
    """The page's lines."""
    yield INTRODUCTION.format(**measured)
    for row in measured["rows"]:
        what, least, reach, form = ROWS[row["what"]]
        alone = form.format(row["obvious"]) if "obvious" in row else ""
        yield f"| {what} | {least} | {reach} | {form.format(row['ours'])} | {alone} |"
    yield TRUST
    for what, test in TESTS.items():
        yield f"| {what} | `{test if '/' in test else f'tests/web/{test}'}` |"


if __name__ == "__main__":
    main()
