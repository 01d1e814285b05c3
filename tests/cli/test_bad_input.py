"""Bad input gets one clear sentence, exit code 1, nothing lost and nothing half written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import CONFIG, dermtwin


def refused(done, *words: str, code: int = 1) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.fixture
def lesions(world) -> Path:
    """A small dataset of its own files, to be spoilt."""
    world.do("draw", "few", "--lesions-per-class", 4, "--seed", 5)
    return world.folder / "few"


def first_image(folder: Path) -> Path:
    return min(folder.rglob("*.jpg"))


def test_no_such_dataset(tmp_path) -> None:
    refused(dermtwin("split", "nowhere", "out", cwd=tmp_path), "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_metadata(tmp_path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg")
    refused(dermtwin("split", ".", "out", cwd=tmp_path), "metadata.csv")


def test_an_empty_dataset(tmp_path) -> None:
    (tmp_path / "metadata.csv").write_text("isic_id,diagnosis_1\n")
    refused(dermtwin("split", ".", "out", cwd=tmp_path), "metadata.csv")


def test_too_few_images_says_how_many_there_are(world) -> None:
    done = world.run("split", "lesions", "out", "--train-per-class", 9999, "--test-per-class", 1)
    refused(done, "9999", "malignant", "benign")
    assert not (world.folder / "out").exists()


def test_one_class_only(world, lesions) -> None:
    path = next(lesions.rglob("metadata.csv"))
    path.write_text(path.read_text().replace("Malignant", "Benign"))
    done = world.run("split", "few", "out", "--train-per-class", 1, "--test-per-class", 1)
    refused(done, "malignant")
    refused(world.run("train", CONFIG, "few", "--out", "new.onnx"), "are benign")
    assert not (world.folder / "new.onnx").exists()


def test_a_row_without_its_image(world, lesions) -> None:
    gone = first_image(lesions)
    gone.unlink()
    refused(world.run("train", CONFIG, "few", "--out", "new.onnx"), "metadata.csv:", gone.stem)
    done = world.run("add", "few", "--casebook", "fresh", "--encoder", "paper.onnx")
    refused(done, "metadata.csv:", gone.stem)
    world.do("check", "--casebook", "fresh")
    assert len(list((world.folder / "fresh/images").rglob("*.jpg"))) == len(
        list(lesions.rglob("*.jpg"))
    )


@pytest.mark.parametrize(
    "server",
    [
        "https://cases..example.org",
        f"https://{'a' * 64}.example.org",
        "http://localhost/é",
        "https://fälle.example.org",
        "https://localhost:99999",
    ],
)
def test_a_mistyped_address_of_a_server(server, tmp_path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    done = dermtwin("find", "a.png", "--server", server, cwd=tmp_path)
    refused(done, "is no server's address; write https://HOST")


@pytest.mark.parametrize("damage", ["truncated", "text", "gif", "huge"])
def test_a_bad_picture_is_told_with_its_line_and_the_rest_goes_in(world, lesions, damage) -> None:
    path = first_image(lesions)
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("I am a text file")
    elif damage == "gif":
        Image.new("P", (9, 9)).save(path, "GIF")
    else:
        Image.new("1", (50_000, 1700)).save(path, "PNG")
    done = world.run("add", "few", "--casebook", "fresh", "--encoder", "paper.onnx")
    refused(done, "metadata.csv:", path.name)
    world.do("check", "--casebook", "fresh")
    assert (
        len(list((world.folder / "fresh/images").rglob("*.jpg")))
        == len(list(lesions.rglob("*.jpg"))) - 1
    )
    path.write_bytes(whole)
    world.do("add", "few", "--casebook", "fresh")


def test_unusual_pictures_are_taken(world, lesions) -> None:
    path = first_image(lesions)
    with Image.open(path) as picture:
        picture.convert("CMYK").save(path, "JPEG")
    world.do("add", "few", "--casebook", "fresh", "--encoder", "paper.onnx")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(world.folder / "turned.jpg", exif=exif)
    world.do("find", "turned.jpg", "--casebook", "fresh")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 256).save(world.folder / "deep.png")
    world.do("find", "deep.png", "--casebook", "fresh")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("text"), "not an ONNX file"),
        (lambda path: path.write_bytes(path.read_bytes()[:4000]), "cut short"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_an_encoder_that_is_none(world, make, words) -> None:
    make(world.folder / "paper.onnx")
    for verb in (
        ("encode", "few", "--encoder", "paper.onnx"),
        ("add", "parts/train", "--casebook", "new", "--encoder", "paper.onnx"),
        ("evaluate", "paper.onnx", "--queries", "parts/test", "--out", "report"),
    ):
        refused(world.run(*verb), words, "paper.onnx")
    assert not (world.folder / "report").exists()


def test_another_encoder_is_refused_by_both_names(world) -> None:
    world.do(
        *("train", CONFIG, "parts/test", "--out", "other.onnx"),
        *("--set", "optimiser.epochs=1", "--set", "name=other"),
    )
    done = world.run("add", "parts/test", "--casebook", "cases", "--encoder", "other.onnx")
    refused(done, "paper (", "other (")
    query = first_image(world.folder / "lesions")
    refused(
        world.run("find", query, "--casebook", "cases", "--encoder", "other.onnx"),
        "paper (",
        "other (",
    )


def test_find_needs_a_casebook(world) -> None:
    query = first_image(world.folder / "lesions")
    refused(world.run("find", query, "--casebook", "lesions"), "lesions")
    refused(world.run("find", query, "--casebook", "nowhere"), "nowhere")
    assert not (world.folder / "nowhere").exists()
    assert not (world.folder / "lesions/casebook.sqlite").exists()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("sexe=female", "sex"),
        ("sex=femal", "female"),
        ("age_approx=old", "age_approx"),
        ("diagnosis_3=Nevvus", "Nevus"),
        ("sex", "="),
    ],
)
def test_a_filter_that_is_none_names_the_nearest(world, where, words) -> None:
    query = first_image(world.folder / "lesions")
    refused(world.run("find", query, "--casebook", "cases", "--where", where), words)


def test_settings_out_of_bounds(world) -> None:
    for override, words in [
        ("loss.margin=0", "loss.margin"),
        ("loss.margn=1", "loss.margin"),
        ("optimiser.epochs=many", "optimiser.epochs"),
    ]:
        done = world.run("train", CONFIG, "parts/train", "--out", "new.onnx", "--set", override)
        refused(done, words)
    assert not (world.folder / "new.onnx").exists()


def test_forgetting_what_is_not_there(world) -> None:
    refused(world.run("forget", "--patient", "nobody", "--casebook", "cases"), "nobody")
    refused(world.run("forget", "--casebook", "cases"), "--patient", code=2)


def test_bad_usage_is_exit_code_two(world) -> None:
    refused(world.run("find"), "Usage", code=2)
    refused(world.run("fnid", "x"), "fnid", code=2)
    refused(world.run("find", "x.jpg", "-k", 0, "--casebook", "cases"), "-k", code=2)


def test_a_folder_that_cannot_be_written(world) -> None:
    (world.folder / "file").write_text("")
    done = world.run("evaluate", "paper.onnx", "--queries", "parts/test", "--out", "file/report")
    refused(done, "file/report")
    done = world.run("split", "lesions", "file", "--train-per-class", 4, "--test-per-class", 4)
    refused(done, "file")
    shutil.rmtree(world.folder / "cases/encoders")
    refused(world.run("find", first_image(world.folder), "--casebook", "cases"), "encoder")
