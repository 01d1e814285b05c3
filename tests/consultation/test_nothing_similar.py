"""A picture that is far from every case: the answer says so, and how far cases usually are."""

from dataclasses import replace
from pathlib import Path

from PIL import Image
from small_casebooks import make_encoder, small_model

import dermtwin
from dermtwin.datasets import draw_dataset
from dermtwin.encoders import write_encoder


def with_farthest_usual(path: Path, distance: float) -> Path:
    card = replace(make_encoder(path).card, distances={"code": {"50": 0.0, "99": distance}})
    write_encoder(path, model=small_model(), card=card)
    return path


def reasons(tmp_path: Path, *, farthest_usual: float) -> list[str]:
    encoder = with_farthest_usual(tmp_path / "e.onnx", farthest_usual)
    drawn = draw_dataset(tmp_path / "drawn", lesions=6, seed=4, size=(64, 48))
    dermtwin.add(drawn, casebook=tmp_path / "cases", encoder=encoder)
    Image.new("RGB", (64, 48), (0, 0, 255)).save(tmp_path / "blue.png")
    trust = dermtwin.find(tmp_path / "blue.png", casebook=tmp_path / "cases").trust
    return [each.text for each in trust.reasons if each.code == "nothing-near"]


def test_a_far_picture_is_told(tmp_path) -> None:
    (told,) = reasons(tmp_path, farthest_usual=1e-6)
    assert told.startswith("Nothing similar here: the nearest case is ")
    assert told.endswith("the nearest other lesion is within 1e-06.")


def test_a_near_one_is_not(tmp_path) -> None:
    assert reasons(tmp_path, farthest_usual=1e6) == []
