"""The verbs one after the other, as a person runs them."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from program import dermtwin

VERBS = (
    "add",
    "audit",
    "backup",
    "check",
    "compare",
    "draw",
    "encode",
    "evaluate",
    "evaluate-preparation",
    "export",
    "find",
    "forget",
    "hold",
    "map",
    "prepare",
    "reencode",
    "restore",
    "serve",
    "split",
    "stats",
    "train",
)


def table(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def find(world, *arguments) -> dict:
    return json.loads(world.do("find", *arguments, "--casebook", "cases", "--json").stdout)


def image_of(world, row: dict, *, part: str) -> Path:
    return (world.folder / "parts" / part / row["image"]).resolve()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, tmp_path) -> None:
    done = dermtwin(verb, "--help", cwd=tmp_path, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0
    assert f"Example: dermtwin {verb} " in done.stdout


def test_the_package_offers_the_same_verbs() -> None:
    import dermtwin

    names = {verb.replace("-", "_") for verb in VERBS}
    assert names < set(dir(dermtwin))
    for verb in names:
        assert getattr(dermtwin, verb).__name__ == verb


def test_find_answers_in_the_agreed_form(world) -> None:
    row = table(world.folder / "parts/test/metadata.csv")[0]
    answer = find(world, image_of(world, row, part="test"), "-k", 5)
    asked = ["query", "encoder", "views", "gallery_version", "ms", "crop", "remarks", "eligible"]
    assert list(answer) == [*asked, "known", "left_out", "trust", "neighbours", "hits"]
    assert answer["eligible"] == 40
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4, 5]
    distances = [hit["distance"] for hit in answer["hits"]]
    assert distances == sorted(distances)
    lesions = [hit["lesion_id"] for hit in answer["hits"]]
    assert len(set(lesions)) == 5
    records = {row["isic_id"]: row for row in table(world.folder / "parts/train/metadata.csv")}
    for hit in answer["hits"]:
        record = records[hit["isic_id"]]
        assert hit["diagnosis_1"] == record["diagnosis_1"]
        assert hit["lesion_id"] == record["lesion_id"]


def test_a_known_query_never_meets_itself(world) -> None:
    rows = table(world.folder / "parts/train/metadata.csv")
    row = rows[3]
    answer = find(world, image_of(world, row, part="train"), "-k", 40, "--every-image")
    patients = {row["isic_id"]: row["patient_id"] for row in rows}
    assert answer["hits"]
    assert row["patient_id"] not in {patients[hit["isic_id"]] for hit in answer["hits"]}


def test_filters_narrow_what_comes_back(world) -> None:
    rows = table(world.folder / "parts/train/metadata.csv")
    query = image_of(world, table(world.folder / "parts/test/metadata.csv")[0], part="test")
    answer = find(world, query, "-k", 40, "--where", "diagnosis_1=Malignant", "--every-image")
    assert answer["eligible"] == len(answer["hits"]) == 20
    assert {hit["diagnosis_1"] for hit in answer["hits"]} == {"Malignant"}
    ages = {row["isic_id"]: int(row["age_approx"]) for row in rows if row["age_approx"]}
    answer = find(world, query, "-k", 40, "--where", "age_approx=40..60", "--every-image")
    wanted = {name for name, age in ages.items() if 40 <= age <= 60}
    assert {hit["isic_id"] for hit in answer["hits"]} == wanted


def test_the_table_says_that_lesions_are_drawn(world) -> None:
    query = image_of(world, table(world.folder / "parts/test/metadata.csv")[0], part="test")
    done = world.do("find", query, env=os.environ | {"DERMTWIN_CASEBOOK": "cases"})
    shown = done.stdout + done.stderr
    assert "drawn, not real" in shown
    assert "malignant" in shown
    assert "40" in shown  # eligible


def test_adding_twice_changes_nothing(world) -> None:
    def state() -> dict:
        images = (world.folder / "cases/images").rglob("*")
        return {path: path.stat().st_mtime_ns for path in images}

    before = state()
    world.do("add", "parts/train", "--casebook", "cases")
    assert state() == before
    world.do("check", "--casebook", "cases")


def test_a_forgotten_patient_is_gone(world) -> None:
    rows = table(world.folder / "parts/train/metadata.csv")
    patient = rows[0]["patient_id"]
    gone = {row["isic_id"] for row in rows if row["patient_id"] == patient}
    query = image_of(world, table(world.folder / "parts/test/metadata.csv")[0], part="test")
    before = find(world, query, "-k", 100, "--every-image")
    world.do("forget", "--patient", patient, "--casebook", "cases")
    after = find(world, query, "-k", 100, "--every-image")
    left = {hit["isic_id"] for hit in after["hits"]}
    assert {hit["isic_id"] for hit in before["hits"]} - left == gone
    marks = [patient.encode(), *(name.encode() for name in gone)]
    for path in (world.folder / "cases").rglob("*"):
        if path.is_file():
            assert not [mark for mark in marks if mark in path.read_bytes()], path
    world.do("check", "--casebook", "cases")


@pytest.mark.parametrize(("output", "width"), [("code", 5), ("map", 625)])
def test_encode_writes_an_object_a_line(world, output, width) -> None:
    done = world.do("encode", "parts/test", "--encoder", "paper.onnx", "--output", output, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    names = [row["isic_id"] for row in table(world.folder / "parts/test/metadata.csv")]
    assert [line["isic_id"] for line in lines] == names
    assert {len(line["code"]) for line in lines} == {width}
    assert {tuple(line) for line in lines} == {("image", "isic_id", "encoder", "code")}
    if output == "map":
        assert all(0 <= number <= 1 for line in lines for number in line["code"])


def test_encode_draws_the_code(world) -> None:
    query = image_of(world, table(world.folder / "parts/test/metadata.csv")[0], part="test")
    world.do("encode", query, "--encoder", "paper.onnx", "--picture", "code.png")
    with Image.open(world.folder / "code.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height


def test_evaluate_writes_report_and_figures(world) -> None:
    world.do(
        *("evaluate", "paper.onnx", "--queries", "parts/test"),
        *("--gallery", "parts/train", "--out", "report"),
    )
    page = (world.folder / "report/report.html").read_text()
    assert "drawn, not real" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    json.loads((world.folder / "report/metrics.json").read_text())
    assert list((world.folder / "report").glob("*.png"))


def test_names_are_printed_as_they_are(tmp_path) -> None:
    def do(*words: object) -> str:
        wide = os.environ | {"COLUMNS": "200"}
        done = dermtwin(*words, cwd=tmp_path, env=wide, input="a drawn lesion")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    odd = "P7 [/2] :ok: [b]x"
    do("draw", "few", "--lesions-per-class", 2)
    rows = table(tmp_path / "few/metadata.csv")
    rows[0] |= dict.fromkeys(("isic_id", "lesion_id", "patient_id", "sex", "diagnosis_5"), odd)
    with (tmp_path / "few/metadata.csv").open("w", newline="") as file:
        written = csv.DictWriter(file, rows[0])
        written.writeheader()
        written.writerows(rows)
    query = Path(odd, "query.jpg")
    (tmp_path / query.parent).mkdir(parents=True)
    shutil.copy(tmp_path / "few" / rows[-1]["image"], tmp_path / query)
    book = ("--casebook", f"book of {odd}")
    do("add", "few", *book)
    found = do("find", query, *book)
    assert f"nearest cases of {query}" in found
    assert [line.count(odd) for line in found.splitlines() if line.endswith(odd)] == [3]
    assert odd in do("stats", *book)
    do("hold", *book, "--patient", odd, "--why", odd)
    assert do("hold", *book).count(odd) == 2
    assert odd in do("audit", *book, "--case", odd)
    do("user", "add", "ada", "--role", "admin", "--openid", odd, *book)
    assert odd in do("user", "list", *book)
    do("token", "add", "ada", "--label", odd, *book)
    assert odd in do("token", "list", *book)
    refused = dermtwin("forget", "--case", "x", *book, cwd=tmp_path)
    assert f"the casebook {book[1]} holds no case x" in refused.stderr
