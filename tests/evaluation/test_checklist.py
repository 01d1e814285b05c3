"""The reporting checklist: computed from the run, unknown said as unknown, every item somewhere."""

import copy
import csv
import html
import json
import re

import pytest
from colour_encoder import write_colour_encoder

from dermtwin.datasets import draw_dataset
from dermtwin.evaluation.checklist.data import disjointness
from dermtwin.evaluation.checklist.model import training
from dermtwin.evaluation.checklist.results import external
from dermtwin.verbs.evaluate import evaluate


def rewrite(folder, change) -> list[dict]:
    path = folder / "metadata.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        found = next(folder.rglob(f"{row['isic_id']}.*"))
        row["image"] = row.get("image") or str(found.relative_to(folder))
    rows = [change(number, dict(row)) for number, row in enumerate(rows)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple:
    folder = tmp_path_factory.mktemp("checklist")
    write_colour_encoder(folder / "colour.onnx")
    for name, seed in (("test", 1), ("train", 2)):
        draw_dataset(folder / name, lesions=8, seed=seed, size=(64, 48))

    def with_gaps(number, row) -> dict:
        gaps = {"fitzpatrick_skin_type": "", "sex": row["sex"] if number % 2 else ""}
        if number < 3:
            gaps |= {"diagnosis_confirm_type": "", "patient_id": "", "lesion_id": ""}
        return row | gaps

    rows = rewrite(folder / "test", with_gaps)
    rename = ("isic_id", "lesion_id", "patient_id")
    rewrite(folder / "train", lambda _, row: row | {name: "G" + row[name] for name in rename})
    result = evaluate(
        folder / "colour.onnx",
        queries=folder / "test",
        gallery=folder / "train",
        out=folder / "report",
        views=8,
    )
    return result, json.loads(result.metrics.read_text()), rows


def answers(metrics, title) -> str:
    return "\n".join(
        next(each["answers"] for each in metrics["checklist"]["items"] if each["title"] == title)
    )


def test_each_item_of_claim_is_answered_or_left_to_the_authors(done) -> None:
    _, metrics, _ = done
    sheet = metrics["checklist"]
    numbers = {n for each in [*sheet["items"], *sheet["authors"]] for n in each["CLAIM"]}
    assert numbers == set(range(1, 45))
    for each in sheet["items"]:
        assert each["answers"], each["title"]
        assert all(each["answers"])
        assert not re.search(r"\b(nan|None)\b|\{", " ".join(each["answers"])), each


def test_what_is_unknown_is_counted(done) -> None:
    _, metrics, rows = done
    total = len(rows)
    nameless = sum(not row["sex"] for row in rows)
    unknown = answers(metrics, "What is not known").splitlines()
    queries = next(line for line in unknown if line.startswith("queries:"))
    for words in (
        f"skin type of {total}",
        f"sex of {nameless}",
        "reference standard of 3",
        "lesion of 3",
        "patient of 3",
        f"of {total} images",
    ):
        assert words in queries
    assert f"skin type unknown ({total}) (known of 0 %)" in answers(
        metrics, "Patient characteristics"
    )
    assert "unknown: lesion of 3, patient of 3 queries" in answers(
        metrics, "Partitions and their disjointness"
    )
    assert "3 images" in answers(metrics, "Numbers of images, lesions, patients")


def test_the_reference_standard_is_counted_by_class(done) -> None:
    _, metrics, rows = done
    malignant = [row for row in rows if row["diagnosis_1"] == "Malignant"]
    sure = sum(row["diagnosis_confirm_type"] == "histopathology" for row in malignant)
    words = f"queries: {sure} of {len(malignant)} malignant images confirmed by histopathology"
    assert words in answers(metrics, "Reference standard")


def test_views_and_figures_stand_on_the_sheet_and_on_the_page(done) -> None:
    result, metrics, _ = done
    assert metrics["views"] == 8
    assert "Views of each query: 8; a case is as near" in answers(metrics, "Pre-processing")
    figure = metrics["outputs"]["code"]["gallery"]["figures"]["precision@10"]
    assert f"code, gallery: precision@10 {figure['value']:.3f}" in answers(metrics, "Performance")
    scores = metrics["outputs"]["map"]["gallery"]["queries"]["precision@10"]
    words = f"map, gallery: {scores.count(0)} of {len(scores)} queries with none"
    assert words in answers(metrics, "Failure analysis")
    page = result.report.read_text()
    assert "Reporting checklist" in page
    assert "each query asked in 8 views" in page
    for each in metrics["checklist"]["items"]:
        assert f"<b>{html.escape(each['title'])}</b>" in page


def test_the_card_says_whether_queries_were_learnt_from(done) -> None:
    metrics = copy.deepcopy(done[1])
    told = answers(metrics, "Partitions and their disjointness")
    assert "What the encoder was trained on is unknown" in told
    assert "Queries that stand in the gallery themselves: 0." in told
    prints = {part: facts["fingerprint"] for part, facts in metrics["datasets"].items()}
    metrics["encoder"]["card"]["training"] = {
        "data": {"fingerprint": prints["gallery"]},
        "validation": {"fingerprint": "another"},
    }
    told = "\n".join(disjointness(metrics))
    assert "The gallery are the images that the encoder was trained on" in told
    assert "The queries as a whole are not what the encoder was trained or tuned on" in told
    metrics["encoder"]["card"]["training"]["validation"]["fingerprint"] = prints["queries"]
    assert "The queries are the images that the encoder was tuned on" in "\n".join(
        disjointness(metrics)
    )


@pytest.mark.parametrize("way", ["beside", "start", "start, beside"])
def test_what_was_learnt_beside_or_before_counts_as_learnt(done, way) -> None:
    metrics = copy.deepcopy(done[1])
    facts = {"fingerprint": metrics["datasets"]["queries"]["fingerprint"], "images": 1494}
    other = {"fingerprint": "another", "images": 8513}
    before = {"data": other, "beside": facts} if "beside" in way else {"data": facts}
    started = {"data": other, "start": {"name": "first", "training": before}}
    metrics["encoder"]["card"]["training"] = started if "start" in way else before
    assert "The queries are the images that the encoder was trained on" in "\n".join(
        disjointness(metrics)
    )
    told = [each for each in training(metrics) if "1494 images" in each]
    assert len(told) == 1
    assert told[0].startswith("training, beside" if "beside" in way else "training of first")


def test_shared_sources_are_no_external_test(done) -> None:
    metrics = copy.deepcopy(done[1])
    assert "Internal: 1 of 1 sources" in answers(metrics, "Internal and external testing")
    for part, sources in {"queries": {"a": 3, "unknown": 1}, "gallery": {"b": 2}}.items():
        metrics["datasets"][part]["recorded"]["source"] = sources
    assert external(metrics)[0].startswith("No recorded source of the queries")
    metrics["datasets"]["gallery"]["recorded"]["source"] = {"unknown": 2}
    assert external(metrics) == ["Unknown: no source is recorded for the gallery."]
