"""docs/preparation-results.md is what the script makes of the result files."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_in_the_repository_is_current(tmp_path) -> None:
    page = tmp_path / "page.md"
    script = ROOT / "scripts/preparation_results.py"
    results = ROOT / "docs/results/preparation"
    command = [sys.executable, script, results, "--out", page]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert page.read_text() == (ROOT / "docs/preparation-results.md").read_text()
