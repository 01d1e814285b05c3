import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dermtwin.datasets import Kind, draw_lesion, lay_artefact
from dermtwin.errors import SettingsError
from dermtwin.preparation import Box, Pose, Preparation, Recipe
from dermtwin.preparation.crop import best_rectangle, best_square
from dermtwin.preparation.pose import canonical_pose
from dermtwin.vocabulary import Artefact

TURNS = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


def _turned(array, turn):
    quarters, mirrored = turn
    turned = np.rot90(array, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _mask_of(box, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[box.slices] = True
    return mask


def _jaccard(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.fixture(scope="module")
def preparation() -> Preparation:
    return Preparation()


# --- Pose.


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(2, 30), width=st.integers(2, 30))
def test_all_eight_poses_of_a_picture_have_one_canonical_pose(seed, height, width) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    canonical = canonical_pose(pixels).apply(pixels)
    for turn in TURNS:
        turned = _turned(pixels, turn)
        assert np.array_equal(canonical_pose(turned).apply(turned), canonical)


@given(
    pose=st.builds(Pose, st.booleans(), st.booleans(), st.booleans()),
    box=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(6, 9), st.integers(5, 7)),
)
def test_undoing_a_pose_carries_boxes_and_arrays_to_the_same_place(pose, box) -> None:
    picture = np.arange(9 * 7).reshape(7, 9)
    assert np.array_equal(pose.undo(pose.apply(picture)), picture)
    canonical = np.zeros((7, 9), dtype=bool)
    canonical[Box(*box).slices] = True
    back = pose.undo(canonical)
    assert np.array_equal(_mask_of(pose.undo_box(Box(*box), width=9, height=7), back.shape), back)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([(200, 150), (160, 160), (150, 230)]))
def test_a_turned_or_mirrored_picture_has_the_turned_or_mirrored_mask_and_crop(seed, size) -> None:
    preparation = Preparation()
    pixels = draw_lesion(seed, size=size).rgb
    found = preparation.examine(pixels)
    whole = pixels.shape[:2]
    for turn in TURNS:
        again = preparation.examine(_turned(pixels, turn))
        crop = _turned(_mask_of(found.crop, whole), turn)
        assert np.array_equal(_mask_of(again.crop, crop.shape), crop)
        assert (again.lesion is None) == (found.lesion is None)
        if found.lesion is not None:
            assert np.array_equal(again.lesion.mask, _turned(found.lesion.mask, turn))
        for kind in Artefact:
            assert np.array_equal(
                again.artefact_mask(kind), _turned(found.artefact_mask(kind), turn)
            )


# --- Masks.


def test_the_lesion_of_drawn_pictures_is_found(preparation) -> None:
    indices, kept = [], []
    for seed in range(12):
        drawn = draw_lesion(seed, artefacts=[])
        found = preparation.examine(drawn.rgb)
        assert found.lesion is not None
        indices.append(_jaccard(found.lesion.mask, drawn.lesion))
        kept.append(drawn.lesion[found.crop.slices].sum() / drawn.lesion.sum())
    assert np.mean(indices) > 0.7
    assert np.mean(kept) > 0.97


@pytest.mark.parametrize("kind", [Artefact.DARK_CORNER, Artefact.PATCHES, Artefact.RULER])
def test_an_artefact_is_there_where_it_was_drawn(preparation, kind) -> None:
    more = 0
    for seed in range(8):
        bare = preparation.examine(draw_lesion(seed, artefacts=[]).rgb).artefacts[kind]
        there = preparation.examine(draw_lesion(seed, artefacts=[kind]).rgb).artefacts[kind]
        more += there.fraction > bare.fraction
    assert more >= 6


def test_masks_and_crop_are_those_of_the_picture_as_it_came(preparation) -> None:
    drawn = draw_lesion(5, size=(301, 222))
    found = preparation.examine(drawn.rgb)
    assert found.lesion.mask.shape == (222, 301)
    assert found.artefact_mask(Artefact.HAIR).shape == (222, 301)
    crop = preparation.cut(drawn.rgb, found)
    assert np.array_equal(crop, drawn.rgb[found.crop.slices])
    assert not np.shares_memory(crop, drawn.rgb)


def test_a_large_jpeg_is_cut_where_its_reduction_is(preparation) -> None:
    pixels = cv2.resize(draw_lesion(4, kind=Kind.MELANOMA, artefacts=[]).rgb, (3201, 2403))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    whole = preparation.examine(pixels)
    reduced = preparation.examine_file(buffer.getvalue(), name="large.jpg")
    shape = pixels.shape[:2]
    assert _jaccard(_mask_of(whole.crop, shape), _mask_of(reduced.crop, shape)) > 0.95
    crop, findings = preparation.cut_file(buffer.getvalue(), name="large.jpg")
    assert findings.crop == reduced.crop
    assert crop.shape[1] == pytest.approx(reduced.crop.width * reduced.frame.width / 3201, abs=1.5)
    assert reduced.quality.lesion_pixels == pytest.approx(whole.quality.lesion_pixels, rel=0.05)


# --- Bad input: a clear answer each.

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.full((300, 400, 3), 180, np.uint8), "No lesion was found"),
        (np.zeros((300, 400, 3), np.uint8), "very dark"),
        (RNG.integers(0, 256, (300, 400, 3)).astype(np.uint8), "not those of skin"),
        (draw_lesion(1).rgb[:40, :40].copy(), "nothing can be told"),
        (np.full((1, 1, 3), 90, np.uint8), "nothing can be told"),
        (np.full((3, 900, 3), 90, np.uint8), "nothing can be told"),
    ],
)
def test_a_picture_without_a_lesion_is_used_whole_and_says_so(
    preparation, pixels, sentence
) -> None:
    found = preparation.examine(pixels)
    assert found.lesion is None
    assert found.crop == Box(0, 0, pixels.shape[1], pixels.shape[0])
    assert sentence in " ".join(found.remarks)
    assert np.isnan(found.quality.lesion_pixels)


def test_a_lesion_larger_than_the_frame_is_not_cut(preparation) -> None:
    for seed in range(6):
        drawn = draw_lesion(seed, artefacts=[])
        rows, columns = np.flatnonzero(drawn.lesion.any(1)), np.flatnonzero(drawn.lesion.any(0))
        top, left = (int(np.quantile(each, 0.3)) for each in (rows, columns))
        bottom, right = (int(np.quantile(each, 0.7)) for each in (rows, columns))
        part = np.ascontiguousarray(drawn.rgb[top:bottom, left:right])
        found = preparation.examine(part)
        said = " ".join(found.remarks)
        assert found.crop == Box(0, 0, part.shape[1], part.shape[0]) or "border" in said
        assert "lesion" in said


def test_a_picture_that_is_mostly_hair_says_so(preparation) -> None:
    pixels = draw_lesion(3, artefacts=[]).rgb
    for seed in range(40):
        pixels, _ = lay_artefact(pixels, Artefact.HAIR, seed=seed)
    assert "Hair hides much of the picture" in " ".join(preparation.examine(pixels).remarks)


@pytest.mark.parametrize("gamma", [0.35, 2.6])
def test_very_dark_and_very_light_skin_are_cut_or_refused_never_wrongly(preparation, gamma) -> None:
    for seed in range(6):
        drawn = draw_lesion(seed, artefacts=[])
        skin = np.rint(255 * (drawn.rgb / 255) ** gamma).astype(np.uint8)
        found = preparation.examine(skin)
        kept = drawn.lesion[found.crop.slices].sum() / drawn.lesion.sum()
        assert kept > 0.9 or "uncertain" in " ".join(found.remarks)


def test_black_and_white_is_cut_and_said(preparation) -> None:
    grey = draw_lesion(3, artefacts=[]).rgb.mean(axis=2, keepdims=True).astype(np.uint8)
    found = preparation.examine(np.repeat(grey, 3, axis=2))
    assert "black and white" in " ".join(found.remarks)


# --- The crop.


@settings(max_examples=60, deadline=None)
@given(
    left=st.integers(0, 150),
    top=st.integers(0, 90),
    width=st.integers(1, 160),
    height=st.integers(1, 110),
    seed=st.integers(0, 1000),
)
def test_crops_lie_in_the_picture_and_keep_the_lesion(left, top, width, height, seed) -> None:
    size = (200, 120)
    lesion = Box(left, top, min(left + width, size[0]), min(top + height, size[1]))
    noise = np.random.default_rng(seed).random((64, 80), dtype=np.float32)
    square = best_square(lesion, size=size, noise=noise, margins=(0.1, 0.2))
    assert (square is None) == (max(lesion.width, lesion.height) > min(size))
    boxes = [best_rectangle(lesion, size=size, noise=noise, margins=(0.1, 0.2))]
    if square is not None:
        assert square.width == square.height
        boxes.append(square)
    for box in boxes:
        assert 0 <= box.left <= lesion.left
        assert 0 <= box.top <= lesion.top
        assert lesion.right <= box.right <= size[0]
        assert lesion.bottom <= box.bottom <= size[1]


def test_a_crop_moves_away_from_an_artefact() -> None:
    noise = np.zeros((100, 100), dtype=np.float32)
    noise[:, :32] = 1
    lesion = Box(40, 40, 60, 60)
    square = best_square(lesion, size=(100, 100), noise=noise, margins=(0.1, 1.0))
    assert square.left >= 32
    free = best_square(lesion, size=(100, 100), noise=noise * 0, margins=(0.1, 1.0))
    assert free.width == 60
    assert free.left == 20


# --- The recipe.


def test_a_recipe_can_be_written_and_read() -> None:
    recipe = Recipe(shape="rectangle", margin=0.5)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).id == recipe.id
    assert recipe.id != Recipe().id


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shape": "round"}, "crop shape 'round' is unknown"),
        ({"margin": 3.0}, "must be from 0 to 2"),
        ({"networks": {"lesion": "0", "artefacts": "1"}}, "are not those of this dermtwin"),
        ({"colour": "red"}, "missing or unknown values: colour"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(change, sentence) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Recipe.from_json(Recipe().to_json() | change)
