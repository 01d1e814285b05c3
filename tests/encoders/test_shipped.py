import io

import numpy as np
import pytest
from PIL import Image

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.datasets import draw_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import EncoderError
from dermtwin.vocabulary import BASE_ENCODER


@pytest.fixture(scope="module")
def base() -> Encoder:
    return Encoder.open(BASE_ENCODER)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    drawn = draw_dataset(tmp_path_factory.mktemp("d") / "d", lesions=12, seed=4, size=(600, 450))
    return [Image.open(row.image).convert("RGB") for row in drawn.rows[:12]]


def encoded(encoder: Encoder, image: Image.Image) -> np.ndarray:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return encoder.encode(buffer.getvalue(), name="x").vectors()[0]


def test_it_is_what_was_promised(base) -> None:
    card = base.card
    assert len(base.data) <= 20e6
    assert card.name == BASE_ENCODER
    assert (card.outputs["code"].shape, card.outputs["bits"].shape) == ((32,), (64,))
    assert card.outputs["regions"].shape[-1] == 32
    assert "CC-BY-NC" in card.licence
    assert card.distances["code"].keys() >= {"1", "50", "99"}
    assert card.training["data"]["drawn"] is False
    learnt_from, measured_on = (card.training[part] for part in ("data", "validation"))
    assert learnt_from["fingerprint"] != measured_on["fingerprint"]


def test_a_whole_frame_and_its_centre_crop_get_nearly_the_same_code(base, frames) -> None:
    whole = np.array([encoded(base, each) for each in frames])
    # As the images that it learnt from were made: the middle 450x450, scaled to 256x256.
    cropped = np.array(
        [
            encoded(base, each.crop((75, 0, 525, 450)).resize((256, 256), Image.Resampling.BOX))
            for each in frames
        ]
    )
    apart = np.linalg.norm(whole - cropped, axis=1)
    others = np.linalg.norm(whole[:, None] - whole[None], axis=2)[~np.eye(len(whole), dtype=bool)]
    assert np.median(apart) < 0.2 * np.median(others)


def test_a_new_casebook_has_its_codes_unless_told_otherwise(base, tmp_path) -> None:
    drawn = draw_dataset(tmp_path / "d", lesions=3, seed=1)
    report = dermtwin.add(drawn, casebook=tmp_path / "cases")
    assert report.encoder == base.label
    with Casebook.open(tmp_path / "cases") as casebook:
        assert casebook.encoder().id == base.id
    assert dermtwin.add(drawn, casebook=tmp_path / "cases").added == 0
    answer = dermtwin.find(drawn.rows[0].image, casebook=tmp_path / "cases", encoder=BASE_ENCODER)
    assert answer.hits


def test_its_name_is_never_a_file(tmp_path, monkeypatch) -> None:
    (tmp_path / BASE_ENCODER).write_bytes(b"no encoder")
    monkeypatch.chdir(tmp_path)
    assert Encoder.open(BASE_ENCODER).card.name == BASE_ENCODER
    with pytest.raises(EncoderError):
        Encoder.open(tmp_path / BASE_ENCODER)
