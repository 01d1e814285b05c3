"""What every verb prints alike: results on standard output, everything else on standard error."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

# What is printed holds names of files and cases: in those, `[/2]` and `:ok:` are no markup.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

_ROOMY = 100  # columns of a terminal


def is_narrow() -> bool:
    """Whether wide tables need to stand closer together, lest their words break over more lines."""
    return out.width < _ROOMY


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    err.print("dermtwin:", style="bold red", end=" ")
    err.print(message, soft_wrap=True)


def note(message: str) -> None:
    """Say on standard error what a person may want to know."""
    err.print(message, soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object on one line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def track(items: Iterable[T], *, label: str, total: int | None = None) -> Iterator[T]:
    """A progress bar on a terminal; elsewhere a line when the work is done."""
    if err.is_terminal:
        yield from _bar(items, label=label, total=total)
    else:
        yield from _line(items, label=label)


def _bar(items: Iterable[T], *, label: str, total: int | None) -> Iterator[T]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=err, transient=False) as progress:
        task = progress.add_task(label, total=total, rate="")
        for done, item in enumerate(items, start=1):
            yield item
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed and speed >= 1 else ""
            progress.update(task, completed=done, rate=rate)


def _line(items: Iterable[T], *, label: str) -> Iterator[T]:
    started, done = time.perf_counter(), 0
    for item in items:
        yield item
        done += 1
    note(f"{label}: {done:,} in {time.perf_counter() - started:.1f} s")
