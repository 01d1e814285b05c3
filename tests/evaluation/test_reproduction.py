"""docs/reproduction.md is what the script makes of the result files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from colour_encoder import write_colour_encoder

from dermtwin.datasets import draw_dataset
from dermtwin.verbs.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]


def script(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "scripts/reproduction.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_in_the_repository_is_current(tmp_path) -> None:
    results = sorted((ROOT / "docs/results").glob("*.json"))
    if not results:
        pytest.skip("no results are kept yet")
    made = script(*results, "--out", tmp_path / "page.md")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "page.md").read_text() == (ROOT / "docs/reproduction.md").read_text()


def test_a_page_from_an_evaluation(tmp_path) -> None:
    write_colour_encoder(tmp_path / "colour.onnx")
    draw_dataset(tmp_path / "test", lesions=31, seed=1, size=(64, 48))
    # Fewer of one class than of the other, so that the balanced protocol is measured too.
    table = tmp_path / "test" / "metadata.csv"
    head, *rows = table.read_text().splitlines(keepends=True)
    malignant = [row for row in rows if "Malignant" in row]
    table.write_text(head + "".join(row for row in rows if row not in malignant[:2]))
    made = evaluate(tmp_path / "colour.onnx", queries=tmp_path / "test", out=tmp_path / "report")
    result, page = tmp_path / "made-up.json", tmp_path / "page.md"
    options = ("--name", "made up", "--command", "dermtwin evaluate …", "--out", result)
    assert script("--extract", made.metrics, *options).returncode == 0
    assert script(result, "--out", page).returncode == 0
    text = page.read_text()
    figure = made.paper_map["map"]
    assert f"**{figure.value:.3f}** ({figure.low:.3f} – {figure.high:.3f})" in text
    assert "made up (drawn, not real)" in text
    assert "$ dermtwin evaluate …" in text
    assert "| 10 | 0.44 |" in text
    metrics = json.loads(made.metrics.read_text())
    assert "balanced" in metrics["protocols"]
    for name, each in metrics["outputs"]["code"]["leave-one-out"]["figures"].items():
        assert f"| {name} | {each['value']:.3f} " in text
    width = {line.count("|") for line in text.splitlines() if line.startswith("| recall")}
    assert width == {5}


def test_what_is_no_result_is_refused(tmp_path) -> None:
    (tmp_path / "other.json").write_text("{}")
    refused = script(tmp_path / "other.json", "--out", tmp_path / "page.md")
    assert refused.returncode == 1
    assert "no result" in refused.stderr
    assert not (tmp_path / "page.md").exists()
    assert script("--out", tmp_path / "page.md").returncode == 2
