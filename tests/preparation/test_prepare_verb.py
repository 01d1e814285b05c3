"""The verb on drawn lesions: what it writes, that it resumes, and what it refuses."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermtwin import prepare
from dermtwin.datasets import draw_dataset, read_dataset
from dermtwin.errors import DatasetError
from dermtwin.images import load
from dermtwin.preparation import Preparation
from dermtwin.verbs.preparing.columns import COLUMNS

pytest.importorskip("jinja2", reason="the report needs the extra 'evaluate'")
pytest.importorskip("matplotlib", reason="the report needs the extra 'evaluate'")

PLAIN = "DRAWN_PLAIN"


@pytest.fixture(scope="module")
def lesions(tmp_path_factory) -> Path:
    """Drawn lesions, and one picture of nothing."""
    folder = tmp_path_factory.mktemp("drawn") / "lesions"
    draw_dataset(folder, lesions=4, seed=3)
    Image.new("RGB", (240, 180), (200, 170, 150)).save(folder / f"{PLAIN}.png")
    with (folder / "metadata.csv").open("a", newline="") as file:
        names = read_dataset(folder).columns
        values = {"isic_id": PLAIN, "image": f"{PLAIN}.png", "image_manipulation": "synthetic"}
        csv.DictWriter(file, names).writerow(values)
    return folder


@pytest.fixture(scope="module")
def made(lesions, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "crops"
    prepare(lesions, out=out, masks=True)
    return out


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cut_short(monkeypatch, *, after: int) -> None:
    """Let the program die after some pictures."""
    examine, count = Preparation.examine, [0]

    def dying(self, pixels):
        count[0] += 1
        if count[0] > after:
            raise KeyboardInterrupt
        return examine(self, pixels)

    monkeypatch.setattr(Preparation, "examine", dying)


def test_crops_are_the_originals_pixel_for_pixel(lesions, made) -> None:
    rows = {row.case.isic_id: row for row in read_dataset(lesions)}
    assert [row["isic_id"] for row in table(made)] == list(rows)
    for cells in table(made):
        left, top, right, bottom = (
            int(cells[f"crop_{side}"]) for side in ("left", "top", "right", "bottom")
        )
        original = load(rows[cells["isic_id"]].image)
        crop = load(made / cells["image"])
        assert np.array_equal(crop, original[top:bottom, left:right])


def test_the_table_keeps_what_was_known_and_says_what_was_found(lesions, made) -> None:
    for old, new in zip(table(lesions), table(made), strict=True):
        assert set(COLUMNS) < set(new)
        assert old.items() - {("image", old["image"])} <= new.items()
        fractions = [new[name] for name in COLUMNS if name.endswith("_fraction") and new[name]]
        assert all(0 <= float(each) <= 1 for each in fractions)
    assert read_dataset(made).is_drawn


def test_masks_lie_in_the_originals_frame(lesions, made) -> None:
    cells = {row["isic_id"]: row for row in table(made)}
    found = [row for row in read_dataset(lesions) if cells[row.case.isic_id]["lesion_fraction"]]
    assert found
    for row in found:
        with Image.open(made / f"masks/{row.case.isic_id}.png") as mask:
            assert mask.mode == "1"
            assert mask.size == load(row.image).shape[1::-1]
            share = float(np.asarray(mask).mean())
        assert share == pytest.approx(float(cells[row.case.isic_id]["lesion_fraction"]), abs=0.01)


def test_a_picture_without_a_lesion_goes_in_whole_and_is_told(made) -> None:
    (cells,) = (row for row in table(made) if row["isic_id"] == PLAIN)
    assert load(made / cells["image"]).shape == (180, 240, 3)
    assert "No lesion was found" in cells["remarks"]
    assert cells["lesion_fraction"] == cells["lesion_confidence"] == ""
    assert not (made / f"masks/{PLAIN}.png").exists()
    page = (made / "report.html").read_text()
    assert PLAIN in page
    assert "drawn, not real" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_same_files_give_the_same_bytes(lesions, made, tmp_path) -> None:
    before = state(made)
    prepare(lesions, out=tmp_path / "crops", masks=True)
    assert state(tmp_path / "crops") == before
    report = prepare(lesions, out=made, masks=True)
    assert state(made) == before
    assert (report.prepared, report.resumed, report.not_found) == (len(table(lesions)), 0, 1)
    assert str(report).endswith("0 rows left out")


def test_a_run_that_was_cut_short_goes_on(lesions, made, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        cut_short(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            prepare(lesions, out=tmp_path / "crops", masks=True)
    assert not (tmp_path / "crops/metadata.csv").exists()
    report = prepare(lesions, out=tmp_path / "crops", masks=True)
    assert report.resumed == 2
    assert state(tmp_path / "crops") == state(made)


def test_damaged_pictures_are_told_and_left_out(lesions, tmp_path) -> None:
    source = tmp_path / "lesions"
    source.mkdir()
    for path in lesions.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    broken = read_dataset(source).rows[1]
    broken.image.write_bytes(broken.image.read_bytes()[:900])
    report = prepare(source, out=tmp_path / "crops")
    assert [fault.line for fault in report.faults] == [broken.line]
    assert broken.case.isic_id not in [row["isic_id"] for row in table(tmp_path / "crops")]
    assert report.prepared == len(table(lesions)) - 1


@pytest.mark.parametrize("masks", [False, True])
def test_another_preparation_is_not_mixed_in(lesions, made, masks) -> None:
    before = state(made)
    shape = "rectangle" if masks else "square"
    with pytest.raises(DatasetError, match="other cases, by another recipe"):
        prepare(lesions, out=made, masks=masks, shape=shape)
    assert state(made) == before


def test_foreign_folders_and_the_source_are_refused(lesions, made, tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="holds something else"):
        prepare(lesions, out=tmp_path)
    with pytest.raises(DatasetError, match="holds the dataset"):
        prepare(lesions, out=lesions)
    with pytest.raises(DatasetError, match="columns that preparation adds"):
        prepare(made, out=tmp_path / "twice")


def test_names_stay_inside_the_folder(lesions, tmp_path) -> None:
    image = read_dataset(lesions).rows[0].image
    text = f"isic_id,diagnosis_1,image\r\n../../outside,Benign,{image}\r\ngood,Benign,{image}\r\n"
    (tmp_path / "metadata.csv").write_text(text)
    report = prepare(tmp_path, out=tmp_path / "new/crops")
    assert report.prepared == 1
    assert "cannot name a file" in report.faults[0].message
    assert not list(tmp_path.rglob("outside*"))


def test_rectangles_are_cut_where_asked_for(lesions, tmp_path) -> None:
    report = prepare(lesions, out=tmp_path / "crops", shape="rectangle", margin=0.1)
    sides = [
        (
            int(row["crop_right"]) - int(row["crop_left"]),
            int(row["crop_bottom"]) - int(row["crop_top"]),
        )
        for row in table(tmp_path / "crops")
        if row["lesion_fraction"]
    ]
    assert report.prepared >= len(sides) > 0
    assert any(width != height for width, height in sides)
