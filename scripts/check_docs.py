"""Run all that README.md and docs/ show of dermtwin, once each, README first.

A command stands in a ```console block on a line that begins with `$ `; a ```python block is run as
a whole. What needs other programs, or data that is not here, stands in a block preceded by
`<!-- not run: REASON -->`.
"""

import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<kind>console|python)\n(?P<body>.*?)```", re.DOTALL
)


def commands(page: Path) -> Iterator[str]:
    """The commands of a page that are to be run, continued lines joined."""
    for block in BLOCK.finditer(page.read_text()):
        if block["why"]:
            continue
        if block["kind"] == "python":
            yield shlex.join([sys.executable, "-c", block["body"]])
        else:
            body = block["body"].replace("\\\n", " ")
            yield from (line[2:] for line in body.splitlines() if line.startswith("$ "))


def main() -> None:
    """Run them all; stop at the first that fails."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "configs").symlink_to(ROOT / "configs")
        ran = set()
        for page in pages:
            for command in commands(page):
                words = tuple(shlex.split(command))
                if words not in ran:
                    run(command, page=page, folder=folder)
                ran.add(words)


def run(command: str, *, page: Path, folder: str) -> None:
    """Run one command and say how it went."""
    if shlex.split(command)[0] not in ("dermtwin", sys.executable):
        sys.exit(f"{page.name}: '{command}' is not dermtwin's; mark its block <!-- not run: … -->")
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S602 (our own pages; pipes and redirections are part of them)
        command, shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    print(f"{page.name}: {command}  ({time.perf_counter() - started:.1f} s)", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{page.name}: exit code {done.returncode}")


if __name__ == "__main__":
    main()
