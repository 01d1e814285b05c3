"""A process that does verbs on a casebook, a line at a time, and may die where it is told to.

Each line of its input is JSON: a verb, its arguments, its options. Each case that `add` has put in
is told at once (`in ISIC_0000001 .`); each finished verb is answered by a line of JSON.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import dermtwin
from dermtwin.casebook import coding, journal, sqlite, store
from dermtwin.errors import DermtwinError


def told(items: Iterable[Any], *, label: str, total: int | None = None) -> Iterator[Any]:
    """A `Track` that tells each case when it is counted: then it is in."""
    del total
    for item in items:
        if label == "add":
            sys.stdout.write(f"in {item.case.isic_id} .\n")
            sys.stdout.flush()
        yield item


def die_at(place: str, count: int) -> None:
    """Let this process be killed when it comes to a place for the n-th time."""
    owner, name = {
        "fsync": (os, "fsync"),
        "fill": (coding, "_place"),
        "remove": (store.Store, "remove"),
        "strike_out": (journal, "strike_out"),
        "leave_no_traces": (sqlite.SqliteDatabase, "leave_no_traces"),
    }[place]
    whole: Callable[..., Any] = getattr(owner, name)
    times = iter(range(1, count + 1))

    def deadly(*arguments: Any, **options: Any) -> Any:
        if next(times, count) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*arguments, **options)

    setattr(owner, name, deadly)


def main() -> None:
    if sys.argv[1:]:
        die_at(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        verb, arguments, options = json.loads(line)
        further = {"track": told} if verb == "add" else {}
        try:
            done = getattr(dermtwin, verb)(*arguments, **options, **further)
            answer = done.to_json() if verb == "find" else asdict(done)
        except DermtwinError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
