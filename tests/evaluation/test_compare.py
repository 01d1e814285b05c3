"""Encoders side by side: the verb's files, paired differences, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import write_colour_encoder

from dermtwin.datasets import draw_dataset
from dermtwin.errors import DermtwinError, SettingsError
from dermtwin.evaluation.comparison import side_by_side
from dermtwin.evaluation.study import Compared, Design
from dermtwin.evaluation.subjects import subjects_of
from dermtwin.verbs.compare import compare
from dermtwin.verbs.evaluate import evaluate
from dermtwin.vocabulary import Case

MEASURES = [
    "precision@10, two classes",
    "mAP, two classes",
    "vote@10: ROC AUC, two classes",
    "precision@10, macro, diagnoses",
    "mAP, macro, diagnoses",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    write_colour_encoder(folder / "colour.onnx")
    write_colour_encoder(folder / "flat.onnx", collapsed=True)
    draw_dataset(folder / "test", lesions=16, seed=1, size=(64, 48))
    return folder


@pytest.fixture(scope="module")
def done(world) -> tuple:
    encoders = [world / "flat.onnx", world / "colour.onnx"]
    result = compare(encoders, queries=world / "test", gallery=world / "test", out=world / "out")
    return result, json.loads(result.values.read_text())


def test_figures_are_those_of_evaluate(done, world) -> None:
    _, values = done
    alone = evaluate(world / "colour.onnx", queries=world / "test", out=world / "alone")
    run = json.loads(alone.metrics.read_text())["outputs"]["code"]["leave-one-out"]
    ours = values["figures"]["leave-one-out"]
    assert list(ours) == MEASURES
    theirs = [
        run["figures"]["precision@10"],
        run["figures"]["mAP, micro"],
        run["figures"]["vote@10: ROC AUC"],
        run["levels"]["diagnosis"]["figures"]["precision@10, macro"],
        run["levels"]["diagnosis"]["figures"]["mAP, macro"],
    ]
    for measure, expected in zip(MEASURES, theirs, strict=True):
        for key in ("value", "low", "high"):
            assert ours[measure]["colour"][key] == pytest.approx(expected[key]), measure


def test_differences_are_to_the_first(done) -> None:
    result, values = done
    for by_measure in values["figures"].values():
        for by_encoder in by_measure.values():
            assert list(by_encoder) == ["flat", "colour"]
            first, second = by_encoder.values()
            assert first["difference"] is None
            assert second["difference"] == pytest.approx(second["value"] - first["value"])
            assert second["difference_low"] <= second["difference"] <= second["difference_high"]
    assert not result.figures["leave-one-out"][MEASURES[0]]["flat"].differs


def test_the_page_stands_alone_and_says_drawn(done, world) -> None:
    result, values = done
    page = result.page.read_text()
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:|#)""", page)
    assert page.count("drawn, not real") > 2
    assert not re.search(r"\b(nan|None)\b", page)
    assert str(world) not in page + json.dumps(values)
    assert values["encoders"]["flat"]["output"] == "code"


def test_a_difference_is_paired_draw_by_draw() -> None:
    people = subjects_of(
        Case(isic_id=f"{n}", diagnosis_1=("Benign", "Malignant")[n % 2]) for n in range(60)
    )
    generator = np.random.default_rng(0)
    codes = (people.classes[:, None] + generator.normal(size=(60, 2))).astype(np.float32)
    design = Design(queries=people, gallery=None, near_duplicates={}, seed=0)
    moved = {"a": codes, "same": codes.copy(), "b": codes + generator.normal(size=codes.shape) / 9}
    contenders = {
        name: Compared(
            output="code",
            shape=(2,),
            metric="euclidean",
            codes={"leave-one-out": each.astype(np.float32)},
        )
        for name, each in moved.items()
    }
    for by_encoder in side_by_side(contenders, "leave-one-out", design).values():
        same, other = by_encoder["same"], by_encoder["b"]
        assert same.difference == same.difference_low == same.difference_high == 0
        assert not same.differs
        assert other.difference_high - other.difference_low < other.high - other.low


def test_what_cannot_be_compared_is_refused(world) -> None:
    one, out = world / "colour.onnx", world / "refused"
    with pytest.raises(SettingsError, match="give two or more"):
        compare([one], queries=world / "test", out=out)
    shutil.copy(one, world / "copy.onnx")
    with pytest.raises(SettingsError, match="given twice"):
        compare([one, world / "copy.onnx"], queries=world / "test", out=out)
    out.mkdir()
    (out / "thesis.txt").write_text("keep")
    with pytest.raises(DermtwinError, match=r"no compare\.json"):
        compare([one, world / "flat.onnx"], queries=world / "test", out=out)
    assert (out / "thesis.txt").read_text() == "keep"


def test_files_of_one_name_are_told_apart(world) -> None:
    (world / "other").mkdir()
    shutil.copy(world / "flat.onnx", world / "other" / "colour.onnx")
    encoders = [world / "colour.onnx", world / "other" / "colour.onnx"]
    result = compare(encoders, queries=world / "test", out=world / "named")
    names = list(result.figures["leave-one-out"][MEASURES[0]])
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"colour \([0-9a-f]{8}\)", name) for name in names)


def test_the_terminal_shows_what_the_file_holds(world, done) -> None:
    from typer.testing import CliRunner

    from dermtwin.cli.app import app

    _, values = done
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(
        app,
        [
            *("compare", str(world / "flat.onnx"), str(world / "colour.onnx")),
            *("--queries", str(world / "test"), "--out", str(world / "shown")),
        ],
    )
    assert shown.exit_code == 0, shown.output
    assert "leave-one-out (drawn, not real)" in shown.output
    for by_encoder in values["figures"]["leave-one-out"].values():
        assert f"{by_encoder['flat']['value']:.3f}" in shown.output
        assert f"{by_encoder['colour']['difference']:+.3f}" in shown.output


@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_views_go_the_whole_way(world, verb) -> None:
    from typer.testing import CliRunner

    from dermtwin.cli.app import app

    encoders = ["flat.onnx", "colour.onnx"] if verb == "compare" else ["colour.onnx"]
    words = [verb, *(str(world / each) for each in encoders), "--queries", str(world / "test")]
    refused = CliRunner().invoke(app, [*words, "--out", str(world / "none"), "--views", "3"])
    assert isinstance(refused.exception, SettingsError)
    assert "a picture cannot be asked in 3 views; choose 1" in str(refused.exception)
    assert not (world / "none").exists()
    out = world / f"views-{verb}"
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--views", "8"])
    assert done.exit_code == 0, done.output
    name, page = {
        "evaluate": ("metrics.json", "report.html"),
        "compare": ("compare.json", "compare.html"),
    }[verb]
    assert json.loads((out / name).read_text())["views"] == 8
    assert "8 of each query: turned by quarters and mirrored" in (out / page).read_text()
