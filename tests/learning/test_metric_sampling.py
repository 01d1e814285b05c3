from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.errors import DatasetError, SettingsError
from dermtwin.learning.metric.sampling import BalancedSampler, _spread

# Photographs of each lesion, by class.
tables = st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=30), min_size=1, max_size=6)


def photographs(table: list[list[int]]) -> tuple[list[int], list[str]]:
    rows = [
        (kind, f"{kind}-{lesion}")
        for kind, of_class in enumerate(table)
        for lesion, count in enumerate(of_class)
        for _ in range(count)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[place][0] for place in order], [rows[place][1] for place in order]


def sampler(
    table: list[list[int]], *, power: float = 0.5, per_batch: int = 4, seed: int = 0
) -> BalancedSampler:
    diagnosis, lesions = photographs(table)
    names = [f"class {kind}" for kind in range(len(table))]
    return BalancedSampler(
        diagnosis, lesions, names=names, power=power, per_batch=per_batch, seed=seed
    )


@settings(max_examples=150, deadline=None)
@given(tables, st.floats(0, 1), st.data(), st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_an_epoch_is_as_promised(
    table: list[list[int]], power: float, data: st.DataObject, seed: int, number: int
) -> None:
    rarest = min(map(len, table))
    takes = [round(rarest * (len(of_class) / rarest) ** power) for of_class in table]
    per_batch = data.draw(st.integers(1, sum(takes)))
    drawn = sampler(table, power=power, per_batch=per_batch, seed=seed)
    batches = drawn.epoch(number)
    assert len(batches) == len(drawn) == sum(takes) // per_batch
    diagnosis, lesions = map(np.array, photographs(table))
    for batch in batches:
        assert batch.dtype == np.int64
        assert len(batch) == per_batch
        counts = np.bincount(diagnosis[batch], minlength=len(table))
        for count, take in zip(counts, takes, strict=True):
            share = Fraction(take * per_batch, sum(takes))
            assert floor(share) <= count <= ceil(share)
    seen = np.concatenate(batches)
    assert len(set(lesions[seen])) == len(seen)
    counts = np.bincount(diagnosis[seen], minlength=len(table))
    for count, take in zip(counts, takes, strict=True):
        # What the dropped batch would have held is missing, of each class its share.
        assert abs(count - Fraction(take * len(seen), sum(takes))) < 1


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 10**5), min_size=1, max_size=12), st.data())
def test_batches_are_full_and_ask_for_no_more_than_there_is(
    takes: list[int], data: st.DataObject
) -> None:
    per_batch = data.draw(st.integers(max(1, sum(takes) // 40), sum(takes)))
    batches = sum(takes) // per_batch
    order = np.array(data.draw(st.permutations(range(batches))))
    counts = _spread(np.array(takes), per_batch, order=order)
    whole = np.array(takes) * per_batch // sum(takes)
    assert (counts.sum(axis=1) == per_batch).all()
    assert ((counts == whole) | (counts == whole + 1)).all()
    assert (counts.sum(axis=0) <= takes).all()
    if sum(takes) % per_batch == 0:
        assert (counts.sum(axis=0) == takes).all()


def test_an_epoch_is_the_same_whenever_it_is_drawn_and_unlike_others() -> None:
    table = [[2] * 30, [1] * 9, [3] * 5]
    going = sampler(table)
    in_a_row = [np.concatenate(going.epoch(number)) for number in range(3)]
    assert np.array_equal(in_a_row[2], np.concatenate(sampler(table).epoch(2)))
    assert not np.array_equal(in_a_row[0], in_a_row[1])
    assert not np.array_equal(in_a_row[0], np.concatenate(sampler(table, seed=1).epoch(0)))


def test_all_photographs_of_all_lesions_have_their_turn() -> None:
    table = [[3] * 20, [2] * 4]
    drawn = sampler(table, power=0.0, per_batch=4)
    seen = np.concatenate([np.concatenate(drawn.epoch(number)) for number in range(400)])
    diagnosis, _ = photographs(table)
    counts = np.bincount(seen, minlength=len(diagnosis))
    for kind, expected in ((0, 400 * 4 / 60), (1, 400 * 4 / 8)):
        of_kind = counts[np.array(diagnosis) == kind]
        # Six standard deviations of a count.
        assert np.abs(of_kind - expected).max() < 6 * np.sqrt(expected)


def test_power_balances_or_takes_all() -> None:
    table = [[1] * 40, [1] * 10]
    diagnosis, _ = photographs(table)
    for power, expected in ((1.0, [40, 10]), (0.5, [20, 10]), (0.0, [10, 10])):
        batches = sampler(table, power=power, per_batch=10).epoch(0)
        counts = np.bincount(np.array(diagnosis)[np.concatenate(batches)])
        assert counts.tolist() == expected


def test_classes_that_do_not_occur_take_no_part() -> None:
    drawn = BalancedSampler(
        [3, 3, 1, 1], list("abcd"), names=list("wxyz"), power=1, per_batch=4, seed=0
    )
    assert sorted(drawn.epoch(0)[0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("diagnosis", "lesions", "told"),
    [
        ([0, 0, 1], ["a", "b", "c"], "^nevus: a single lesion each"),
        ([0, 0, 1, 1], ["a", "b", "c", "c"], "^nevus: a single lesion each"),
        ([0, 1], ["a", "b"], "^melanoma, nevus: a single lesion each"),
        ([0, 0, 1, 1], ["a", "b", "b", "c"], "lesion b is both melanoma and nevus"),
        ([], [], "no photographs"),
    ],
)
def test_photographs_that_cannot_be_balanced_are_refused(
    diagnosis: list[int], lesions: list[str], told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        BalancedSampler(
            diagnosis, lesions, names=("melanoma", "nevus"), power=0.5, per_batch=2, seed=0
        )


@pytest.mark.parametrize(
    ("power", "per_batch", "told"),
    [
        (-0.1, 4, "power must be from 0 to 1, got -0.1"),
        (float("nan"), 4, "power must be"),
        (0.0, 9, "from 1 to 8 photographs, the lesions of an epoch, got 9"),
        (1.0, 0, "from 1 to 14 photographs"),
    ],
)
def test_settings_out_of_bounds_are_refused(power: float, per_batch: int, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        sampler([[1] * 10, [1] * 4], power=power, per_batch=per_batch)
