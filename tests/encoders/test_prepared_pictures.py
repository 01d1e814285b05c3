"""An encoder whose card names a preparation cuts its pictures as training did, and says so."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from tiny_encoder import SPEC, tiny_card, tiny_model

from dermtwin.datasets import Kind, draw_lesion
from dermtwin.encoders import Encoder, InputSpec, look_at, resized
from dermtwin.encoders.graph import with_card
from dermtwin.errors import EncoderError
from dermtwin.preparation import Preparation, Recipe
from dermtwin.vocabulary import Artefact

PAD = replace(SPEC, resize="pad")
GREY = np.full((90, 120, 3), 140, np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def lesion() -> np.ndarray:
    drawn = draw_lesion(3, kind=Kind.MELANOMA, artefacts=[Artefact.DARK_CORNER], size=(640, 480))
    return drawn.rgb


def test_the_card_carries_the_recipe_and_pictures_are_cut_by_it(make_encoder, lesion) -> None:
    recipe = Recipe(margin=0.3)
    encoder = make_encoder(preparation=recipe, input=PAD)
    assert encoder.card.preparation == recipe
    crop, findings = Preparation(recipe).cut_file(png(lesion), name="x")
    look = encoder.look(png(lesion), name="x")
    assert look.crop == findings.crop
    assert look.crop.width < 640
    np.testing.assert_array_equal(look.view, resized(crop, PAD))
    assert look.remarks[0].startswith(f"Compared by its crop of {look.crop.width}x")
    codes = encoder.encode(png(lesion), name="x").vectors()
    np.testing.assert_array_equal(codes, encoder.encode_views(look.view[None]).vectors())
    uncut = make_encoder(input=PAD).encode(png(lesion), name="x").vectors()
    assert not np.array_equal(codes, uncut)


def test_a_picture_without_a_lesion_is_seen_by_its_centre_square() -> None:
    pixels = GREY.copy()
    pixels[:, :15] = 0
    look = look_at(png(pixels), PAD, name="x", preparation=Preparation())
    assert look.findings.lesion is None
    assert look.crop is None
    assert "No lesion was found; compared by its centre square." in look.remarks
    assert look.view.min() == 140


def test_a_whole_frame_and_its_centre_crop_show_nearly_the_same(lesion) -> None:
    # As HAM10000's centre crops are to whole frames from the field.
    views = [
        look_at(png(each), PAD, name="x", preparation=Preparation()).view.astype(int)
        for each in (lesion, np.ascontiguousarray(lesion[:, 80:560]))
    ]
    assert np.abs(views[0] - views[1]).mean() < 12
    assert np.abs(views[0] - views[1][::-1, ::-1]).mean() > 15


def test_a_crop_is_decoded_large_enough_for_the_network() -> None:
    drawn = draw_lesion(8, kind=Kind.RETICULAR_NEVUS, artefacts=[], size=(600, 450)).rgb
    big = Image.new("RGB", (4800, 3600), tuple(int(each) for each in drawn[0, 0]))
    big.paste(Image.fromarray(drawn).resize((1200, 900)), (1800, 1350))
    buffer = io.BytesIO()
    big.save(buffer, "JPEG", quality=92)
    preparation = Preparation()
    small, findings = preparation.cut_file(buffer.getvalue(), name="x")
    large, same = preparation.cut_file(buffer.getvalue(), name="x", at_least=400)
    assert findings.crop == same.crop
    assert findings.lesion is not None
    assert min(small.shape[:2]) < 400 <= min(large.shape[:2])


@given(
    arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3))),
    st.integers(8, 33),
)
def test_padding_keeps_the_whole_picture_and_its_symmetry(pixels, size) -> None:
    spec = InputSpec(size=size, resize="pad")
    view = resized(pixels, spec)
    assert view.shape == (size, size, 3)
    for turned, back in ((pixels[::-1], view[::-1]), (pixels[:, ::-1], view[:, ::-1])):
        difference = resized(np.ascontiguousarray(turned), spec).astype(int) - back
        assert np.abs(difference).max() <= 1


def test_bars_have_the_pictures_own_colour() -> None:
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:, 20:] = (200, 100, 50)
    view = resized(pixels, InputSpec(size=40, resize="pad"))
    assert (view[:15] == (100, 50, 25)).all()
    np.testing.assert_array_equal(view[15:25], pixels)


def test_the_same_lesion_in_another_light_is_seen_alike(lesion) -> None:
    spec = InputSpec(size=96, light="shades-of-grey")
    red = np.rint(lesion * np.array([1.0, 0.8, 0.7])).astype(np.uint8)
    seen, in_red = (look_at(png(each), spec, name="x") for each in (lesion, red))
    norms = [np.linalg.norm(in_red.view[..., each].ravel().astype(float), 6) for each in range(3)]
    assert max(norms) / min(norms) < 1.03
    apart = np.abs(seen.view / seen.view.mean() - in_red.view / in_red.view.mean())
    assert apart.mean() < 0.02
    mirrored = look_at(png(red[:, ::-1].copy()), spec, name="x").view
    np.testing.assert_array_equal(mirrored[:, ::-1], in_red.view)
    assert in_red.decoded is not None  # what a person is shown
    np.testing.assert_array_equal(in_red.decoded, red)


def test_hair_is_painted_over_for_the_ablation_alone() -> None:
    hairy = draw_lesion(5, kind=Kind.RETICULAR_NEVUS, artefacts=[Artefact.HAIR], size=(640, 480))
    preparation = Preparation(Recipe(shape="whole", no_hair=True))
    bare, findings = preparation.seen_by_network(png(hairy.rgb), name="x", at_least=1)
    hair = findings.artefact_mask(Artefact.HAIR)
    assert hair.any()
    changed = (bare != hairy.rgb).any(axis=2)
    assert changed[hair].mean() > 0.8
    assert changed[~hair].mean() < 0.15
    np.testing.assert_array_equal(preparation.cut_file(png(hairy.rgb), name="x")[0], hairy.rgb)


def test_mask_networks_of_another_dermtwin_are_refused() -> None:
    card = tiny_card(preparation=replace(Recipe(), networks={"lesion": "0" * 64}), input=PAD)
    with pytest.raises(EncoderError, match="mask networks are not those of this dermtwin"):
        Encoder(with_card(tiny_model(), card.to_json()), name="old.onnx")
