import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.errors import DatasetError
from dermtwin.learning.pairs import PairSampler

# Each image: its class and which of a few lesions it shows. The classes' lesions are apart.
images = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=4, max_size=30).filter(
    lambda rows: all(
        len({lesion for found, lesion in rows if found == kind}) > 1 for kind in (False, True)
    )
)


@settings(max_examples=60, deadline=None)
@given(images, st.integers(1, 60), st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_pairs_are_as_promised(
    rows: list[tuple[bool, int]], count: int, seed: int, epoch: int
) -> None:
    malignant = np.array([kind for kind, _ in rows])
    lesions = [f"{kind}-{lesion}" for kind, lesion in rows]
    pairs = PairSampler(malignant.tolist(), lesions, seed=seed).draw(count, epoch=epoch)
    quarter = -(-count // 4)
    assert len(pairs) == 4 * quarter
    differ = malignant[pairs.first] != malignant[pairs.second]
    assert np.array_equal(pairs.dissimilar, differ)
    assert differ.sum() == 2 * quarter
    for kind in (False, True):
        alike = (malignant[pairs.first] == kind) & (malignant[pairs.second] == kind)
        assert alike.sum() == quarter
    shown = np.array(lesions)
    assert not (shown[pairs.first] == shown[pairs.second]).any()


def test_a_lesion_with_both_classes_makes_no_pair_with_itself() -> None:
    sampler = PairSampler([False, False, True, True], ["a", "b", "a", "c"], seed=0)
    for epoch in range(50):
        pairs = sampler.draw(8, epoch=epoch)
        assert not {(0, 2), (2, 0)} & set(
            zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        )


def sampler_of(count: int = 40, *, seed: int = 0) -> PairSampler:
    return PairSampler(
        [n % 2 == 0 for n in range(count)], [str(n) for n in range(count)], seed=seed
    )


def test_an_epoch_is_the_same_whenever_it_is_drawn_and_unlike_others() -> None:
    def drawn(sampler: PairSampler, epoch: int) -> list[int]:
        pairs = sampler.draw(40, epoch=epoch)
        return [*pairs.images.tolist(), *pairs.dissimilar.tolist()]

    going = sampler_of()
    in_a_row = [drawn(going, epoch) for epoch in range(3)]
    assert in_a_row[2] == drawn(sampler_of(), 2)
    assert in_a_row[0] != in_a_row[1]
    assert in_a_row[0] != drawn(sampler_of(seed=1), 0)


def test_every_image_is_an_anchor_before_any_is_twice() -> None:
    pairs = sampler_of(40).draw(80, epoch=0)
    assert set(np.bincount(pairs.first, minlength=40)) == {2}


def test_partners_are_equally_likely() -> None:
    # Image 0 shares its lesion with 1; its benign partners are 2, 3, 4.
    sampler = PairSampler([False] * 5 + [True] * 2, ["x", "x", "y", "z", "z", "u", "v"], seed=3)
    counts = np.zeros(7, int)
    for epoch in range(600):
        pairs = sampler.draw(20, epoch=epoch)
        chosen = (pairs.first == 0) & (pairs.dissimilar == 0)
        np.add.at(counts, pairs.second[chosen], 1)
    assert counts[[0, 1, 5, 6]].sum() == 0
    assert counts[2:5].sum() == 600
    # Five standard deviations of a binomial count.
    assert np.abs(counts[2:5] - 200).max() < 5 * np.sqrt(600 * 2 / 9)


def test_batches_keep_the_order_and_lose_nothing() -> None:
    pairs = sampler_of().draw(40, epoch=0)
    batches = list(pairs.batches(12))
    assert [len(batch) for batch in batches] == [12, 12, 12, 4]
    assert np.array_equal(np.concatenate([batch.second for batch in batches]), pairs.second)


@pytest.mark.parametrize(
    ("malignant", "lesions", "told"),
    [
        ([True, True], ["a", "b"], "all training images are malignant; pairs need benign ones"),
        ([False, False], ["a", "b"], "all training images are benign; pairs need malignant ones"),
        ([False, False, True], ["a", "b", "c"], "show only one malignant lesion"),
        ([False, False, True, True], ["a", "a", "b", "c"], "show only one benign lesion"),
    ],
)
def test_images_that_make_no_pairs_are_refused(
    malignant: list[bool], lesions: list[str], told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        PairSampler(malignant, lesions, seed=0)
