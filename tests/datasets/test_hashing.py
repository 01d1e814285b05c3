"""The perceptual hash against the package that everybody uses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermtwin.datasets import draw_lesion, small_grey
from dermtwin.datasets.hashing import TURNS, laid, perceptual_hashes


def by_imagehash(grey) -> list[int]:
    imagehash = pytest.importorskip("imagehash", reason="the oracle is in the extra 'dev'")
    small = np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BOX))
    turned = (Image.fromarray(laid(small, turn)) for turn in range(TURNS))
    return [int(str(imagehash.phash(each)), 16) for each in turned]


@given(seed=st.integers(0, 2**32 - 1), side=st.sampled_from([32, 64, 100]))
def test_random_pictures_hash_as_by_imagehash(seed, side) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    assert perceptual_hashes(grey).tolist() == by_imagehash(grey)


@pytest.mark.parametrize("seed", range(5))
def test_lesions_hash_as_by_imagehash(seed) -> None:
    grey = small_grey(draw_lesion(seed).rgb)
    assert perceptual_hashes(grey).tolist() == by_imagehash(grey)
