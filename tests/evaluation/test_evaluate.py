"""The verb on drawn lesions: files, figures, the page, and what is refused."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import colour_model, write_colour_encoder
from PIL import Image

from dermtwin.datasets import draw_dataset
from dermtwin.encoders import Encoder, write_encoder
from dermtwin.errors import DatasetError, DermtwinError, EncoderError, SettingsError
from dermtwin.evaluation.layout import lay_out, place
from dermtwin.verbs.evaluate import evaluate


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    write_colour_encoder(folder / "colour.onnx")
    write_colour_encoder(folder / "flat.onnx", collapsed=True)
    draw_dataset(folder / "test", lesions=16, seed=1, size=(120, 90))
    draw_dataset(folder / "train", lesions=14, seed=2, size=(120, 90))
    rename_cases(folder / "train")
    return folder


@pytest.fixture(scope="module")
def done(world) -> tuple:
    result = evaluate(
        world / "colour.onnx",
        queries=world / "test",
        gallery=world / "train",
        out=world / "report",
        seed=3,
    )
    return result, json.loads(result.metrics.read_text())


def rename_cases(folder: Path) -> None:
    """Give a second drawn dataset names of its own, as two real datasets have."""
    edit_rows(
        folder, lambda row: row | {n: "G" + row[n] for n in ("isic_id", "lesion_id", "patient_id")}
    )


def edit_rows(folder: Path, change) -> None:
    path = folder / "metadata.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["image"] = row.get("image") or next(
            str(each.relative_to(folder)) for each in folder.rglob(f"{row['isic_id']}.*")
        )
    changed = [each for each in (change(dict(row)) for row in rows) if each]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(changed)


def test_every_figure_has_interval_chance_and_support(done) -> None:
    _, metrics = done
    for output in ("code", "map"):
        for protocol in ("leave-one-out", "gallery"):
            for name, figure in metrics["outputs"][output][protocol]["figures"].items():
                assert set(figure) == {"value", "low", "high", "chance", "queries", "undefined"}, (
                    name
                )
                assert (
                    figure["queries"] + figure["undefined"]
                    == metrics["datasets"]["queries"]["images"]
                )
                assert 0 <= figure["low"] <= figure["high"] <= 1
    assert metrics["outputs"]["code"]["numbers"] == 5
    assert metrics["outputs"]["map"]["numbers"] == 625


def test_the_result_says_what_the_metrics_say(done) -> None:
    result, metrics = done
    table = metrics["outputs"]["map"]["paper"]
    assert len(table["paper_map"]) == len(table["mAP"]) == 10
    assert result.paper_map["map"].value == pytest.approx(np.mean(table["paper_map"]))
    assert f"{result.paper_map['map'].value:.3f}" in str(result)
    assert str(result.report) in str(result)
    figure = metrics["outputs"]["code"]["gallery"]["figures"]["mAP, micro"]["value"]
    assert result.mean_average_precision["gallery"]["code"].value == pytest.approx(figure)
    assert result.drawn
    assert metrics["drawn"]


def test_metrics_tell_encoder_data_and_leaks(done, world) -> None:
    _, metrics = done
    assert metrics["encoder"]["card"]["name"] == "colour"
    assert re.fullmatch("[0-9a-f]{64}", metrics["encoder"]["id"])
    assert metrics["datasets"]["queries"]["lesions"] == 16
    assert str(world) not in json.dumps(metrics)
    assert metrics["leaks"]["leave-one-out"]["lesion"]["queries"] > 0
    assert metrics["leaks"]["gallery"]["any"]["queries"] == 0
    rules = metrics["outputs"]["code"]["leave-one-out"]["leak figures"].values()
    own, standard, strict = (each["precision@1"] for each in rules)
    # The other photographs of a lesion are of its class: with them even chance does better.
    assert own["chance"] > standard["chance"]
    assert standard == strict


def test_the_page_stands_alone_and_says_drawn(done) -> None:
    result, _ = done
    page = result.report.read_text()
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:|#)""", page)
    assert "url(" not in page
    assert page.count("drawn, not real") > 10
    assert "How to read this" in page
    assert not re.search(r"\bnan\b", page)


def test_the_pictures_are_there_and_whole(done) -> None:
    result, _ = done
    names = {path.stem for path in result.report.parent.glob("*.png")}
    for output in ("code", "map"):
        assert {f"tsne-{output}", f"best-queries-{output}", f"paper-{output}"} <= names
        assert f"precision-recall-gallery-{output}" in names
    assert {"table-1", "codes-map"} <= names
    for name in names:
        with Image.open(result.report.parent / f"{name}.png") as picture:
            picture.load()
            assert min(picture.size) > 100


def test_the_same_question_has_the_same_answer(done, world) -> None:
    _, first = done
    again = evaluate(world / "colour.onnx", queries=world / "test", out=world / "again", seed=3)
    second = json.loads(again.metrics.read_text())
    assert first["datasets"]["queries"] == second["datasets"]["queries"]
    for output in ("code", "map"):
        for protocol in ("paper", "leave-one-out"):
            assert first["outputs"][output][protocol] == second["outputs"][output][protocol]
        name = f"tsne-{output}.png"
        assert (world / "again" / name).read_bytes() == (world / "report" / name).read_bytes()


def test_a_collapsed_encoder_is_chance_end_to_end(world) -> None:
    result = evaluate(world / "flat.onnx", queries=world / "test", out=world / "flat")
    metrics = json.loads(result.metrics.read_text())
    for output in metrics["outputs"].values():
        for name, figure in output["leave-one-out"]["figures"].items():
            assert figure["value"] == pytest.approx(figure["chance"], abs=1e-9), name
        assert output["paper"]["average paper_map"]["value"] == pytest.approx(
            output["paper"]["average paper_map"]["chance"]
        )
    assert "no map, since" in result.report.read_text()


def test_bits_are_measured_whole_halved_and_reranked(world) -> None:
    write_colour_encoder(world / "bits.onnx", bits=64)
    result = evaluate(world / "bits.onnx", queries=world / "test", out=world / "bits")
    outputs = json.loads(result.metrics.read_text())["outputs"]
    assert list(outputs) == ["code", "bits", "map", "bits[:32]", "bits, re-ranked"]
    assert [each["derived"] for each in outputs.values()] == [False, False, False, True, True]
    assert outputs["bits[:32]"]["numbers"] == 32
    assert outputs["bits[:32]"]["metric"] == "hamming"
    assert outputs["bits, re-ranked"]["metric"] == "hamming, the first 100 by code (euclidean)"
    # There are fewer than 100 images: re-ranked by the float code they stand as it puts them.
    for part in ("figures", "levels", "groups", "neighbours"):
        ours, floats = (outputs[name]["leave-one-out"] for name in ("bits, re-ranked", "code"))
        assert ours[part] == floats[part]
    page = result.report.read_text()
    assert "bits[:32]" in page
    assert not list((world / "bits").glob("*32*"))


def test_levels_groups_and_neighbours_stand_in_the_metrics_and_on_the_page(done) -> None:
    result, metrics = done
    for protocol in ("leave-one-out", "gallery"):
        run = metrics["outputs"]["code"][protocol]
        assert {"vote@10: ROC AUC", "vote@16: ROC AUC"} < set(run["figures"])
        first = run["levels"]["diagnosis_1"]["figures"]
        for ours, known in {
            "precision@1, micro": "precision@1",
            "precision@10, macro": "precision@10, macro",
            "mAP, micro": "mAP, micro",
            "mAP, macro": "mAP, macro",
        }.items():
            assert first[ours] == run["figures"][known]
        shares = np.array(run["neighbours"]["shares"], dtype=float)
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        counted = [sum(g["queries"] for g in each.values()) for each in run["groups"].values()]
        assert set(counted) == {metrics["datasets"]["queries"]["images"]}
        assert (result.report.parent / f"neighbours-{protocol}-code.png").is_file()
    page = result.report.read_text()
    assert page.count("Share of neighbours with the query") == 4
    assert "deepest known" in page
    assert "Groups of queries" in page


def copy_of(world, name, change) -> Path:
    folder = world / name
    draw_dataset(folder, lesions=8, seed=5, size=(64, 48))
    edit_rows(folder, change)
    return folder


def test_too_few_queries_leave_the_papers_protocol_out(world) -> None:
    kept = {"Malignant": 0, "Benign": 0}

    def few(row) -> dict | None:
        kept[row["diagnosis_1"]] += 1
        return row if kept[row["diagnosis_1"]] <= 4 else None

    result = evaluate(world / "colour.onnx", queries=copy_of(world, "few", few), out=world / "r1")
    metrics = json.loads(result.metrics.read_text())
    assert metrics["outputs"]["code"]["paper"] is None
    assert any("paper's protocol is left out" in note for note in metrics["notes"])
    assert metrics["outputs"]["code"]["leave-one-out"]["figures"]["precision@10"]["undefined"] == 8
    assert result.paper_map == {}


def test_one_class_only_is_refused(world) -> None:
    folder = copy_of(world, "one", lambda row: row if row["diagnosis_1"] == "Benign" else None)
    with pytest.raises(DatasetError, match="all of them benign"):
        evaluate(world / "colour.onnx", queries=folder, out=world / "r2")
    assert not (world / "r2").exists()


def test_what_is_neither_is_left_out_and_counted(world) -> None:
    seen = []

    def blur(row) -> dict:
        seen.append(row)
        names = [name for name in row if name.startswith("diagnosis_") and name[-1].isdigit()]
        return row | (dict.fromkeys(names, "") if len(seen) <= 2 else {})

    result = evaluate(world / "colour.onnx", queries=copy_of(world, "blur", blur), out=world / "r3")
    facts = json.loads(result.metrics.read_text())["datasets"]["queries"]
    assert facts["left_out"]["neither benign nor malignant"] == 2
    assert facts["images"] == len(seen) - 2


def test_unreadable_images_are_all_told(world) -> None:
    folder = copy_of(world, "broken", lambda row: row)
    images = sorted(folder.rglob("*.jpg"))[:2]
    for image in images:
        image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(DatasetError) as caught:
        evaluate(world / "colour.onnx", queries=folder, out=world / "r4")
    assert "2 images cannot be read" in str(caught.value)
    assert all(image.name in str(caught.value) for image in images)


def test_a_folder_with_other_files_is_not_replaced(world) -> None:
    out = world / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("keep")
    with pytest.raises(DermtwinError, match=r"no metrics\.json"):
        evaluate(world / "colour.onnx", queries=world / "test", out=out)
    with pytest.raises(DermtwinError, match="is a file"):
        evaluate(world / "colour.onnx", queries=world / "test", out=out / "thesis.txt")
    assert (out / "thesis.txt").read_text() == "keep"


def test_the_folder_one_works_in_is_not_replaced(world, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DermtwinError, match="the folder that you work in"):
        evaluate(world / "colour.onnx", queries=world / "test", out=".")


def test_an_encoder_without_comparable_codes_is_refused(world, tmp_path) -> None:
    opened = Encoder.open(world / "colour.onnx")
    outputs = {name: replace(each, metric="taxicab") for name, each in opened.card.outputs.items()}
    card = replace(opened.card, outputs=outputs)
    write_encoder(tmp_path / "odd.onnx", model=colour_model(), card=card)
    with pytest.raises(EncoderError, match="no output that one distance compares"):
        evaluate(tmp_path / "odd.onnx", queries=world / "test", out=tmp_path / "report")


def test_a_map_is_the_same_again_and_places_new_points_near_their_twins() -> None:
    generator = np.random.default_rng(0)
    codes = np.concatenate([generator.normal(size=(30, 5)), generator.normal(9, 1, size=(30, 5))])
    codes = codes.astype(np.float32)
    layout = lay_out(codes, seed=1)
    np.testing.assert_array_equal(layout.points, lay_out(codes, seed=1).points)
    placed = place(layout, codes[[2, 40]])
    away = np.linalg.norm(layout.points[None] - placed[:, None], axis=2)
    assert set(np.argsort(away[0])[:5]) <= set(range(30))
    assert set(np.argsort(away[1])[:5]) <= set(range(30, 60))


def test_nothing_to_lay_out_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be laid out"):
        lay_out(np.zeros((20, 5), np.float32), seed=0)
    with pytest.raises(SettingsError, match="cannot be laid out"):
        lay_out(np.random.default_rng(0).random((4, 5), dtype=np.float32), seed=0)
