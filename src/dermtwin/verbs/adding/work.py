"""The work of `add`: rows read and encoded on threads, put in by one writer, a batch at a time."""

import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dermtwin.casebook import Casebook, EncoderRecord, Outcome, Placed, Record, Writer, compare
from dermtwin.datasets import Fault, FaultKind, Row
from dermtwin.encoders import Encoder
from dermtwin.running import in_order
from dermtwin.verbs.adding import OnDuplicate
from dermtwin.verbs.adding.pictures import Ready, make_ready
from dermtwin.verbs.adding.repeats import Repeat, Repeats

# Rows whose cases are looked up at once.
_PAGE = 64
# A batch is committed when it has so many rows, bytes of images, or seconds.
_ROWS, _BYTES, _SECONDS = 32, 32 * 2**20, 1.0
# Batches that may wait while one is committed.
_WAITING = 2


@dataclass(slots=True)
class Work:
    """One run of `add`, and what became of its rows.

    Attributes:
        outcomes: how many rows ended each way.
        repeating: cases that were added though they show another case's photograph.
        skipped: rows that were left out because of that.
        faults: rows that did not go in.
        warnings: what was noticed and kept.
    """

    casebook: Casebook
    writer: Writer
    encoder: Encoder
    record: EncoderRecord
    update: bool = field(kw_only=True)
    on_duplicate: OnDuplicate = field(kw_only=True)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    repeating: int = 0
    skipped: int = 0
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _repeats: Repeats = field(init=False)

    def __post_init__(self) -> None:
        self._repeats = Repeats(self.casebook)

    def committed(self, rows: Sequence[Row], *, table: Path) -> Generator[Row, None, None]:
        """Put rows in, and yield each when that is done for good (or it is known to be bad)."""
        make = partial(_make_ready, encoder=self.encoder)
        with closing(in_order(make, self._with_known(rows))) as ready:
            commit = partial(self.commit, table=table)
            # One thread commits while the others encode what comes after.
            done = in_order(commit, _batches(ready), workers=1, ahead=_WAITING)
            with closing(done):
                for batch in done:
                    yield from batch

    def _with_known(self, rows: Sequence[Row]) -> Iterator[tuple[Row, Record | None]]:
        for start in range(0, len(rows), _PAGE):
            page = rows[start : start + _PAGE]
            known = self.casebook.records([row.case.isic_id for row in page])
            yield from ((row, known.get(row.case.isic_id)) for row in page)

    def commit(self, batch: Sequence[Ready], *, table: Path) -> list[Row]:
        """Put a batch in; its rows, without their pictures."""
        new = [(each.row.case, each.picture) for each in batch if each.picture is not None]
        repeats = self._repeats.among(new)
        # Those noticed later are left out too.
        left_out = {} if self.on_duplicate is OnDuplicate.REPORT else repeats
        going = [(case, picture.image) for case, picture in new if case.isic_id not in left_out]

        def look_again() -> Collection[str]:
            repeats.update(self._repeats.missed(new))
            return left_out

        placed: dict[str, Placed] = {}
        if going:
            self.writer.write_images([image for _, image in going])
            placed = self.writer.place_all(going, encoder=self.record, leave_out=look_again)
        for each in batch:
            name = each.row.case.isic_id
            if each.error:
                self._refuse(each.row, FaultKind.BROKEN, each.error, table=table)
            elif name in left_out:
                self._leave_out(each.row, left_out[name], table=table)
            else:
                self._note(each, placed.get(name), repeats.get(name), table=table)
        return [each.row for each in batch]

    def _note(
        self, ready: Ready, placed: Placed | None, repeat: Repeat | None, *, table: Path
    ) -> None:
        """Note what became of a row; a known case is only compared, or altered."""
        row, sha256 = ready.row, ready.sha256
        if ready.known is not None:
            placed = compare(row.case, sha256=sha256, there=ready.known)
        assert placed is not None
        if placed.outcome is Outcome.DIFFERS and self.update:
            placed = self.writer.alter(row.case, sha256=sha256)
        self.outcomes[placed.outcome] += 1
        if placed.outcome is Outcome.REFUSED:
            self._refuse(row, FaultKind.CONTRADICTS, placed.message, table=table)
        elif placed.outcome is Outcome.DIFFERS:
            self._warn(row, placed.message, table=table)
        elif placed.outcome is Outcome.ADDED:
            if ready.picture is not None and ready.picture.remarks:
                said = " ".join(ready.picture.remarks)
                self._warn(row, f"{row.case.isic_id}: {said}", table=table)
            if repeat is not None:
                self.repeating += 1
                self._warn(row, str(repeat), table=table)

    def _leave_out(self, row: Row, repeat: Repeat, *, table: Path) -> None:
        told = f"{repeat} It was left out."
        if self.on_duplicate is OnDuplicate.REFUSE:
            self._refuse(row, FaultKind.REPEATS, told, table=table)
        else:
            self.skipped += 1
            self._warn(row, told, table=table)

    def _refuse(self, row: Row, kind: FaultKind, message: str, *, table: Path) -> None:
        self.faults.append(Fault(kind, table, row.line, message))

    def _warn(self, row: Row, message: str, *, table: Path) -> None:
        self.warnings.append(f"{table}:{row.line}: {message}")


def _make_ready(row: tuple[Row, Record | None], *, encoder: Encoder) -> Ready:
    return make_ready(*row, encoder=encoder)


def _batches(ready: Iterable[Ready]) -> Iterator[list[Ready]]:
    """Part rows into batches, small enough to be held and to be lost."""
    batch: list[Ready] = []
    held, began = 0, time.monotonic()
    for each in ready:
        batch.append(each)
        held += 0 if each.picture is None else len(each.picture.image.data)
        if len(batch) >= _ROWS or held >= _BYTES or time.monotonic() - began >= _SECONDS:
            yield batch
            batch, held, began = [], 0, time.monotonic()
    if batch:
        yield batch
