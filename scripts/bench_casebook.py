"""The casebook's table, from what `bench_gallery` and `bench_record` measured in the same run."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Report(Protocol):
    """Something that prints one line of a table."""

    def __call__(
        self, what: str, *, ours: float, theirs: float, unit: str, more_is_better: bool
    ) -> dict:
        """Ours beside theirs."""


def gallery_rows(figures: Mapping[str, Any], *, report: Report) -> Iterator[dict]:
    """Medians of ours beside reading the same bytes, and beside each other engine."""
    rows = {row["what"]: row for row in figures["rows"]}
    for what, row in rows.items():
        for own in _same_search(what):
            recall = "" if row["recall"] is None else f", recall {row['recall']:.3f}"
            other = what.partition(" of ")[0]
            yield report(
                f"top-10, {own.removeprefix('dermtwin, ')} ({other}{recall})",
                ours=rows[own]["median_ms"],
                theirs=row["median_ms"],
                unit="ms",
                more_is_better=False,
            )
    yield _alone("a case in the gallery", figures["bytes_a_case"], "bytes")


def record_rows(figures: Mapping[str, Any], *, report: Report) -> Iterator[dict]:
    """Rows in, first answer, answers meanwhile, a patient out."""
    yield report(
        "rows in, with ready codes (durable / not)",
        ours=figures["add_s"],
        theirs=figures["add_plainly_s"],
        unit="s",
        more_is_better=False,
    )
    yield _alone("opened, to the first answer", figures["first_answer_s"], "s")
    yield report(
        "p95 of a question while others add (while nobody does)",
        ours=figures["busy_p95_ms"],
        theirs=figures["quiet_p95_ms"],
        unit="ms",
        more_is_better=False,
    )
    yield _alone("forget a patient, to the next answer", figures["forgotten_s"], "s")
    yield _alone("  until nothing of them is on the disk", figures["erased_s"], "s")


def _same_search(what: str) -> tuple[str, ...]:
    """Our rows of the same search as another's; none: the row is our own."""
    if what.startswith("dermtwin"):
        return ()
    if "bits" in what:
        return (f"dermtwin, bits{''.join(what.partition(' of ')[1:])}",)
    if what.startswith("reading"):
        return tuple(f"dermtwin, floats{share}" for share in ("", ", 10 %", ", 1 %"))
    return ("dermtwin, floats, 10 %" if "10 %" in what else "dermtwin, floats",)


def _alone(what: str, value: float, unit: str) -> dict:
    """A line that nothing stands beside."""
    print(f"{what:<58} {value:>9.4g} {'':>9} {unit}", flush=True)
    return {"what": what, "ours": value, "unit": unit}
