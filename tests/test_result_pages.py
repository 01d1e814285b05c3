"""The pages of docs/ that scripts write are what these make of the results in the repository."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("script", "results", "page"),
    [
        ("preparation_results.py", ROOT / "docs/results/preparation", "preparation-results.md"),
        ("encoder_results.py", ROOT / "docs/results/base", "base-encoder.md"),
        ("scale_results.py", ROOT / "docs/bench/scale.json", "scale.md"),
        ("search_results.py", ROOT / "docs/bench", "search-results.md"),
        ("ablation_results.py", ROOT / "docs/results/ablation", "ablation-results.md"),
        ("page_results.py", ROOT / "docs/bench", "page-results.md"),
        ("trust_results.py", ROOT / "docs/results/trust", "trust.md"),
    ],
)
def test_the_page_in_the_repository_is_current(script, results, page, tmp_path) -> None:
    command = [sys.executable, ROOT / "scripts" / script, results, "--out", tmp_path / page]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / page).read_text() == (ROOT / "docs" / page).read_text()
