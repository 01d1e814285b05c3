"""`dermtwin encode`: every row of a table becomes a line, or is told."""

import csv
from pathlib import Path

import pytest
from program import World

from dermtwin.datasets import draw_dataset


@pytest.fixture
def few(tmp_path) -> World:
    """Four drawn lesions in `few`, encoded by the encoder that ships."""
    draw_dataset(tmp_path / "few", lesions=4, seed=3, size=(64, 48))
    return World(tmp_path)


def names(table: Path) -> list[str]:
    with table.open(newline="") as file:
        return [row["isic_id"] for row in csv.DictReader(file)]


def test_a_code_stands_on_one_line(few) -> None:
    lines = few.do("encode", "few").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == names(few.folder / "few/metadata.csv")
    assert {len(line.split()) for line in lines} == {33}


def test_a_row_without_its_image_is_told_and_the_rest_encoded(few) -> None:
    gone, *others = names(few.folder / "few/metadata.csv")
    next((few.folder / "few").rglob(f"{gone}.*")).unlink()
    done = few.run("encode", "few")
    assert done.returncode == 1
    assert f"metadata.csv:2: {gone} has no image file" in " ".join(done.stderr.split())
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == others


def test_a_table_may_have_any_name(few) -> None:
    table = few.folder / "few/metadata.csv"
    lines = few.do("encode", "few").stdout
    assert few.do("encode", table.rename(table.with_name("HAM10000_metadata"))).stdout == lines
    # What names no cases is a picture, and told as one.
    (few.folder / "photo.heic").write_bytes(bytes(range(256)) * 1000)
    done = few.run("encode", "photo.heic", "nowhere")
    assert done.returncode == 1
    assert ["photo.heic is" in done.stderr, "nowhere cannot be read" in done.stderr] == [True] * 2
