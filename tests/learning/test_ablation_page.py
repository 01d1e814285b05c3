"""docs/ablation-results.md is what the script makes of the result files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dermtwin.learning.configuration import read_settings

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
from ablation_rows import ROWS, Kind, config_of, settings_of  # noqa: E402 - no package

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.3, "queries": 21}


def page_of(results: Path, out: Path) -> str:
    command = [sys.executable, ROOT / "scripts/ablation_results.py", results, "--out", out]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return out.read_text()


def put(results: Path, row: str, *, seed: int = 0, label: str = "small", value: float) -> None:
    figure = {**FIGURE, "value": value}
    names = ("paper_map", "vote AUC", "mAP, macro")
    result = {
        "row": row,
        "label": label,
        "seed": seed,
        "pictures": 0 if row.endswith("-frozen") else 15_552,
        "size": 96,
        "machine": "a processor, 2 threads",
        "settings": {"file": "base.toml", "set": []},
        "datasets": {"queries": {"images": 439}, "paper": 142},
        "outputs": {"code": {"figures": dict.fromkeys(names, figure)}},
        "classes": {"Dermatofibroma": {"precision@10": figure, "mAP": figure}},
        "lost": {"bits": {"two classes": {"value": value, "low": None, "high": None}}},
    }
    (results / f"{row}.{label}-{seed}.json").write_text(json.dumps(result))


def line_of(page: str, start: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(start))


def test_the_page_in_the_repository_is_current(tmp_path) -> None:
    made = page_of(ROOT / "docs/results/ablation", tmp_path / "page.md")
    assert made == (ROOT / "docs/ablation-results.md").read_text()


def test_rows_that_were_not_run_are_shown_as_such(tmp_path) -> None:
    page = page_of(tmp_path, tmp_path / "page.md")
    assert "nothing has been run yet" in page
    for row in ("paper", "proxy_anchor", "views", "sign", "vasc", "vienna_dias"):
        assert "| not run |" in line_of(page, f"| {row} |")


def test_seeds_are_averaged_and_the_interval_is_that_of_the_first(tmp_path) -> None:
    for seed, value in ((1, 0.7), (0, 0.5), (2, 0.6)):
        put(tmp_path, "bits", seed=seed, value=value)
    put(tmp_path, "unseen-df", value=0.25)
    for source, value in (("rosendahl", 0.6), ("vidir_modern", 0.7), ("vidir_molemax", 0.8)):
        put(tmp_path, f"source-{source}", value=value)
    page = page_of(tmp_path, tmp_path / "page.md")
    assert "a processor, 2 threads; 15,552 pictures seen" in page
    assert "| 3 | **0.600** ± 0.100 [0.400, 0.600] | – |" in line_of(page, "| bits |")
    assert "| 1 | 21 | **0.250** [0.400, 0.600] | – |" in line_of(page, "| df |")
    # A mean of the four needs four.
    assert line_of(page, "| **mean").endswith("| – | – | – | – |")
    put(tmp_path, "source-vienna_dias", value=0.9)
    put(tmp_path, "source-vienna_dias-frozen", value=0.3)
    page = page_of(tmp_path, tmp_path / "page.md")
    assert line_of(page, "| **mean").endswith("| **0.750** | – | **0.750** | – |")
    assert "| 439 | 71 | 1 | **0.900**" in line_of(page, "| vienna_dias |")


def test_other_settings_stand_apart(tmp_path) -> None:
    put(tmp_path, "source-rosendahl", label="base-d242-40k", value=0.9)
    page = page_of(tmp_path, tmp_path / "page.md")
    assert "### With `base.toml` (SHA-256 `d242…`), 15,552 pictures seen, 96 pixels" in page
    assert "nothing has been run yet" in page


@pytest.mark.parametrize("name", ROWS)
def test_a_rows_settings_can_be_trained_with(tmp_path, name) -> None:
    row, metric = ROWS[name], tmp_path / "metric.toml"
    metric.write_text('method = "metric"')
    file = ROOT / config_of(row) if config_of(row) else metric
    settings = read_settings(file, overrides=settings_of(row))
    if row.kind is not Kind.LADDER:
        assert settings == read_settings(file, overrides=settings_of(ROWS["mixing"]))


@pytest.mark.parametrize(
    "loss",
    ["triplet", "multi_similarity", "supervised_contrastive", "proxy_anchor", "cosine_softmax"],
)
def test_a_loss_row_has_that_loss_alone(tmp_path, loss) -> None:
    metric = tmp_path / "metric.toml"
    metric.write_text('method = "metric"')
    settings = read_settings(metric, overrides=settings_of(ROWS[loss]))
    assert settings.loss.terms == {loss: 1.0}
