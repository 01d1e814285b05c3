"""A casebook whose encoder crops: cases and queries are cut alike, and what was cut is said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_casebooks import all_entries, make_encoder

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.datasets import draw_dataset, read_dataset
from dermtwin.encoders import Encoder
from dermtwin.preparation import Preparation, Recipe


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    dataset = draw_dataset(folder / "drawn", lesions=6, seed=4, size=(320, 240))
    # A picture of skin alone: a person must hear that it was compared whole.
    Image.new("RGB", (320, 240), (205, 160, 140)).save(dataset.rows[0].image)
    return folder / "drawn"


@pytest.fixture(scope="module")
def cropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "cropping.onnx"
    make_encoder(path, preparation=Recipe())
    return path


def test_add_and_find_cut_alike_and_say_so(drawn: Path, cropping: Path, tmp_path: Path) -> None:
    dataset, encoder = read_dataset(drawn), Encoder.open(cropping)
    report = dermtwin.add(drawn, casebook=tmp_path / "cases", encoder=cropping)
    assert report.added == len(dataset)
    (warning,) = (each for each in report.warnings if dataset.rows[0].case.isic_id in each)
    assert "No lesion was found" in warning
    assert f"metadata.csv:{dataset.rows[0].line}: " in warning

    picture = dataset.rows[-1].image
    answer = dermtwin.find(picture, casebook=tmp_path / "cases")
    _, findings = Preparation().cut_file(picture.read_bytes(), name="x")
    assert answer.crop == findings.crop
    assert answer.summary()[0].startswith("Compared by its crop of ")
    told = answer.to_json()
    assert told["crop"]["left"] == findings.crop.left
    assert told["remarks"] == list(answer.remarks)
    assert answer.view.shape == (320, 320, 3)

    plain = dermtwin.find(dataset.rows[0].image, casebook=tmp_path / "cases")
    (crop,) = (each.text for each in plain.trust.reasons if each.code == "crop")
    assert crop in plain.remarks
    assert plain.summary().count(crop) == 1

    with Casebook.open(tmp_path / "cases") as casebook:
        entries = all_entries(casebook)
    kept = dict(zip(entries.columns["isic_id"], entries.codes, strict=True))
    for row in dataset:
        own = encoder.encode(row.image.read_bytes(), name="x").vectors()[0]
        np.testing.assert_array_equal(kept[row.case.isic_id], own)
