import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtwin.running import in_order, untracked, usable_cores


@given(st.lists(st.integers(), max_size=60), st.integers(1, 5))
def test_results_come_in_the_items_order(items, workers) -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.0005 * (item % 2 == 0))
        return item * 2

    assert list(in_order(slow_when_even, items, workers=workers)) == [2 * item for item in items]


def test_few_items_are_taken_ahead() -> None:
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(lambda item: item, items(), workers=2)
    assert next(results) == 0
    assert len(taken) <= 10
    results.close()


def test_an_exception_comes_at_its_items_turn() -> None:
    def fail_at_three(item: int) -> int:
        if item == 3:
            raise KeyError(item)
        return item

    seen = []
    with pytest.raises(KeyError):
        seen.extend(each for each in _collect(seen, in_order(fail_at_three, range(9), workers=2)))
    assert seen == [0, 1, 2]


def _collect(seen, results):
    for each in results:
        seen.append(each)
    return []


def test_work_runs_on_several_threads() -> None:
    barrier = threading.Barrier(2, timeout=20)
    assert len(list(in_order(lambda _: barrier.wait(), range(4), workers=2))) == 4


def test_untracked_changes_nothing() -> None:
    assert list(untracked([3, 1, 2], label="x")) == [3, 1, 2]
    assert usable_cores() >= 1
