"""docs/base-encoder.md is what the script makes of the shipped encoder's card."""

import subprocess
import sys
from pathlib import Path

from dermtwin.vocabulary import BASE_ENCODER

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_in_the_repository_is_current(tmp_path) -> None:
    page = tmp_path / "page.md"
    script = ROOT / "scripts/encoder_results.py"
    command = [sys.executable, script, BASE_ENCODER, "--out", page]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert page.read_text() == (ROOT / "docs/base-encoder.md").read_text()
