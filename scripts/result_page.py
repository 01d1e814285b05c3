"""What the scripts share that write a page of docs/ from result files."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from dermtwin.files import write_text


def write_page(doc: str | None, lines: Callable[[Path], Iterable[str]]) -> None:
    """Read the command line, RESULTS --out PAGE, and write the page.

    Args:
        doc: the script's.
        lines: from RESULTS to the lines of the page.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_text(given.out, "\n".join(lines(given.results)).rstrip("\n") + "\n")
