"""Long work: how it is spread over threads, and how it is watched."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Track(Protocol):
    """Something that looks on while items go by, such as a progress bar."""

    def __call__(self, items: Iterable[T], *, label: str, total: int | None = None) -> Iterator[T]:
        """Yield the items unchanged; `label` names the work, `total` counts it where known."""
        ...


def untracked(items: Iterable[T], *, label: str, total: int | None = None) -> Iterator[T]:
    """Look on in silence: the `Track` of callers that show nothing."""
    del label, total
    yield from items


def usable_cores() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def with_help(function: Callable[[], R], *, pieces: int) -> list[R]:
    """Run a function on this thread and, as far as cores are idle, on helpers beside it.

    For work that all of them take from, piece by piece, until nothing is left. A helper that has
    not begun by the time this thread is done is not waited for; one that has, for its last piece.

    Args:
        function: takes pieces until none is left.
        pieces: how many there are: of more helpers some would find none.

    Returns:
        What each one that ran returned, this thread's first.
    """
    helpers = min(usable_cores(), pieces) - 1
    helping = [_helpers().submit(function) for _ in range(helpers)]
    results = [function()]
    results.extend(each.result() for each in helping if not each.cancel())
    return results


def in_background(function: Callable[[], R]) -> Future[R]:
    """Run a function on a helper, while this thread goes on; the process ends after it has."""
    return _helpers().submit(function)


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="dermtwin-helper")


if hasattr(os, "register_at_fork"):
    # Threads do not come along into a forked process, which would queue work for them forever.
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int | None = None,
    ahead: int | None = None,
) -> Generator[R, None, None]:
    """Apply a function on threads and yield the results in the items' order.

    Only a few items are taken ahead of the consumer, so memory stays constant however many there
    are. An exception of the function is raised at its item's turn.

    Args:
        function: called once an item; Pillow and ONNX Runtime let other threads run meanwhile.
        items: taken from the caller's thread.
        workers: threads; None: one a core.
        ahead: how many items are taken ahead; None: four a worker.
    """
    workers = workers or usable_cores()
    ahead = ahead or 4 * workers
    pending: deque[Future[R]] = deque()
    remaining = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        try:
            pending.extend(pool.submit(function, item) for item in islice(remaining, ahead))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
