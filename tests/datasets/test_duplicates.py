from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dermtwin.datasets import Dataset, draw_lesion, near_duplicates, near_duplicates_between
from dermtwin.datasets.duplicates import (
    HASH_DISTANCE,
    _candidates,
    _Prints,
    _take_prints,
)
from dermtwin.datasets.hashing import laid
from dermtwin.errors import ImageError
from dermtwin.running import untracked

SEEDS = (1, 2, 3, 4)

COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda picture: picture,
    "smaller": lambda picture: picture.resize((240, 180), Image.Resampling.LANCZOS),
    "larger": lambda picture: picture.resize((560, 420), Image.Resampling.BICUBIC),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "less contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.8),
    "other colours": lambda picture: ImageEnhance.Color(picture).enhance(0.7),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "a quarter turned": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "transposed": lambda picture: picture.transpose(Image.Transpose.TRANSPOSE),
    "cropped a little": lambda picture: picture.crop((4, 3, 397, 298)),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("originals")
    for seed in SEEDS:
        Image.fromarray(draw_lesion(seed).rgb).save(folder / f"{seed}.jpg", quality=90)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", COPIES)
def test_a_changed_copy_is_found_and_nothing_else(
    tmp_path: Path, originals: list[Path], name: str
) -> None:
    copies = []
    for original in originals:
        copies.append(tmp_path / original.name)
        with Image.open(original) as picture:
            COPIES[name](picture).save(copies[-1], quality=75)
    found = near_duplicates_between(copies, originals)
    assert found == [(place, place) for place in range(len(originals))]


def test_within_and_between_agree(few_drawn: Dataset) -> None:
    images = [row.image for row in few_drawn]
    twice = [*images, *images[:3]]
    within = near_duplicates(twice)
    both_ways = near_duplicates_between(twice, twice)
    assert set(within) == {(i, j) for i, j in both_ways if i < j}
    assert {(place, len(images) + place) for place in range(3)} <= set(within)


def test_photographs_of_different_lesions_are_none(few_drawn: Dataset) -> None:
    rows = few_drawn.rows
    for i, j in near_duplicates([row.image for row in rows]):
        assert rows[i].case.lesion_id == rows[j].case.lesion_id


def test_candidates_are_those_of_a_naive_loop(few_drawn: Dataset) -> None:
    images = [row.image for row in few_drawn]
    prints = _take_prints(images, track=untracked)
    expected = {
        (i, j, turn)
        for i in range(len(images))
        for j in range(i + 1, len(images))
        for turn in range(8)
        if (int(prints.hashes[i, 0]) ^ int(prints.hashes[j, turn])).bit_count() <= HASH_DISTANCE
    }
    batches = _candidates(prints, prints, start=0, within=True)
    assert {tuple(pair) for batch in batches for pair in batch.tolist()} == expected
    assert expected


def test_candidates_of_later_blocks_keep_their_places() -> None:
    count = 1200
    hashes = np.arange(count * 8, dtype=np.uint64).reshape(count, 8) * np.uint64(0x9E3779B97F4A7C15)
    hashes[1100] = hashes[3]
    prints = _Prints(np.arange(count).astype(np.str_), hashes, np.zeros((0, 64, 64), np.float16))
    batches = [
        batch
        for start in range(0, count, 512)
        for batch in _candidates(prints, prints, start=start, within=True)
    ]
    found = {tuple(pair) for batch in batches for pair in batch.tolist()}
    assert (3, 1100, 0) in found
    for i, j, turn in found:
        assert i < j
        distance = (int(hashes[i, 0]) ^ int(hashes[j, turn])).bit_count()
        assert distance <= HASH_DISTANCE


def test_the_eight_turns_are_all_and_different() -> None:
    square = np.arange(9).reshape(3, 3)
    assert len({laid(square, turn).tobytes() for turn in range(8)}) == 8
    assert np.array_equal(laid(square, 0), square)


def test_flat_pictures_are_equal_only_by_bytes(tmp_path: Path) -> None:
    for place, level in enumerate((90, 90, 120)):
        Image.new("RGB", (80, 60), (level,) * 3).save(tmp_path / f"{place}.png")
    assert near_duplicates(sorted(tmp_path.iterdir())) == [(0, 1)]


def test_no_images_and_damaged_ones(tmp_path: Path, originals: list[Path]) -> None:
    assert near_duplicates([]) == []
    assert near_duplicates_between([], originals) == []
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(originals[0].read_bytes()[:900])
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        near_duplicates([*originals, broken])
