"""`add` takes no more memory for many pictures than for few."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_casebooks import make_cases, picture, write_dataset

# The most that a process ever held, as Linux counts it, and how many cases went in.
ADD = """
import sys
from pathlib import Path
from dermtwin.verbs.add import add

report = add(sys.argv[1], casebook=sys.argv[2], encoder=sys.argv[3])
held = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(report.added, int(held) * 1024)
"""
FEW, MANY = 100, 700
SIZE = (400, 300)
DECODED = 3 * SIZE[0] * SIZE[1]


def peak(folder: Path, *, count: int, encoder: Path) -> int:
    """Bytes, where pictures of different bytes are added to a new casebook."""
    cases = make_cases(count)
    write_dataset(folder / "data", cases, pictures=False)
    for number, case in enumerate(cases):
        (folder / "data" / f"{case.isic_id}.jpg").write_bytes(picture(number, size=SIZE))
    command = [sys.executable, "-c", ADD, folder / "data", folder / "book", encoder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    added, held = map(int, done.stdout.split())
    assert added == count
    return held


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_memory_does_not_grow_with_the_dataset(tmp_path, encoder_file) -> None:
    """Of a picture nothing stays: neither its pixels, nor its file, nor its thumbnail."""
    few = peak(tmp_path / "few", count=FEW, encoder=encoder_file)
    many = peak(tmp_path / "many", count=MANY, encoder=encoder_file)
    grown = (many - few) / (MANY - FEW)
    assert grown < DECODED / 12, f"{grown:,.0f} bytes a picture (few {few:,}, many {many:,})"
    sys.stdout.write(f"peak of {FEW}: {few:,}; of {MANY}: {many:,}; {grown:,.0f} bytes a picture\n")
