import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtwin import running
from dermtwin.running import in_order, untracked, usable_cores, with_help


@pytest.fixture
def two_cores(monkeypatch) -> Iterator[None]:
    """One helper a call, two in all."""
    monkeypatch.setattr(running, "usable_cores", lambda: 2)
    running._helpers.cache_clear()
    yield
    running._helpers.cache_clear()


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


def drain(left: deque, seen: list) -> list:
    while left:
        with contextlib.suppress(IndexError):
            seen.append(left.popleft())
    return seen


def test_all_that_help_share_one_piece_of_work() -> None:
    for _ in range(50):
        left = deque(range(200))
        seen = with_help(lambda left=left: drain(left, []), pieces=200)
        assert 1 <= len(seen) <= usable_cores()
        assert sorted(each for part in seen for each in part) == list(range(200))


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("pieces", [0, 1])
def test_one_piece_needs_no_help(pieces) -> None:
    assert with_help(threading.get_ident, pieces=pieces) == [threading.get_ident()]


@pytest.mark.usefixtures("two_cores")
def test_a_helper_that_has_begun_is_waited_for() -> None:
    both = threading.Barrier(2, timeout=20)
    ended = []

    def work() -> None:
        both.wait()
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.05)
        ended.append(threading.current_thread())

    assert len(with_help(work, pieces=2)) == len(ended) == 2


@pytest.mark.usefixtures("two_cores")
def test_a_helper_that_is_busy_elsewhere_is_not_waited_for() -> None:
    release = threading.Event()
    here = threading.get_ident()
    released = []

    def hold() -> None:
        release.wait(20)
        released.append(threading.get_ident())

    busy = [threading.Thread(target=lambda: with_help(hold, pieces=2)) for _ in range(2)]
    for each in busy:
        each.start()
    try:
        assert with_help(threading.get_ident, pieces=2)[0] == here
        assert not released
    finally:
        release.set()
        for each in busy:
            each.join()


@pytest.mark.usefixtures("two_cores")
def test_what_goes_wrong_in_a_helper_is_raised() -> None:
    both = threading.Barrier(2, timeout=20)

    def work() -> None:
        both.wait()
        if threading.current_thread() is not threading.main_thread():
            raise KeyError("in a helper")

    with pytest.raises(KeyError, match="in a helper"):
        with_help(work, pieces=2)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_helpers_of_its_own() -> None:
    with_help(threading.get_ident, pieces=2)
    child = os.fork()
    if child == 0:
        both = threading.Barrier(2, timeout=20)
        try:
            os._exit(len(with_help(both.wait, pieces=2)) - 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_untracked_changes_nothing() -> None:
    assert list(untracked([3, 1, 2], label="x")) == [3, 1, 2]
    assert usable_cores() >= 1
