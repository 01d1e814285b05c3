"""Codes made anew: those that are missing, and all of them by another encoder.

The new codes grow beside the present ones, which answer meanwhile; then one transaction switches
and removes the old. A run that was cut short is taken up where it stopped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from dermtwin.casebook import auditing, journal, records
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.database import told
from dermtwin.casebook.records import VECTOR, Record, chunks
from dermtwin.casebook.schema import CASES, CHANGES, CODES, ENCODERS, MAP_POINTS, MAPS
from dermtwin.casebook.store import ENCODERS as ENCODER_FOLDER
from dermtwin.casebook.store import WriterLock, encoder_path
from dermtwin.casebook.writer import Writer
from dermtwin.errors import CasebookError, ImageError
from dermtwin.running import Track, in_order, untracked

_AT_ONCE = 64  # cases that go into one transaction
_PAGE = 1000  # cases whose names are read at once
_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """What an encoder says of one picture.

    Attributes:
        vector: float32 [D].
        bits: the signs of its bits, packed; None: the encoder has none.
    """

    vector: NDArray[np.float32]
    bits: bytes | None


Encode = Callable[[bytes, str], Coded]
"""From an image file's bytes, and what to call it in errors, to its code; raises ImageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEncoder:
    """An encoder that a casebook is to have.

    Attributes:
        id: SHA-256 of its file.
        card: its card, JSON.
        data: its file.
        encode: gives a picture's code by it; called from threads.
    """

    id: str
    card: str
    data: bytes
    encode: Encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What became of cases without a code.

    Attributes:
        made: how many have one now.
        faults: a sentence for each case that still has none.
    """

    made: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReencodeReport:
    """What a casebook's codes are now.

    Attributes:
        encoder: by which encoder, for people.
        before: by which they were.
        cases: how many cases have them.
        made: how many of their codes were made in this run.
    """

    encoder: str
    before: str
    cases: int
    made: int

    def __str__(self) -> str:
        if self.encoder == self.before:
            return f"the casebook's {self.cases:,} cases have codes by {self.encoder} already."
        return (
            f"{self.cases:,} cases have codes by {self.encoder} now ({self.made:,} made in this "
            f"run); those by {self.before} are removed."
        )


def reencode(
    casebook: Casebook, encoder: NewEncoder, *, track: Track = untracked
) -> ReencodeReport:
    """Give every case a code by another encoder, and make that the casebook's.

    Cases that are added meanwhile are taken along. Until the switch the old codes answer; after it
    only the new ones are there.

    Args:
        casebook: an open casebook.
        encoder: the other encoder.
        track: looks on while pictures are encoded.

    Raises:
        CasebookError: there is no case yet, an image cannot be read, the casebook cannot be
            written, or another process re-encodes it.
    """
    owner = token_hex(8)
    made = 0
    with _alone(casebook), Writer(casebook):
        # Its file may be lost: this is a way to do without it.
        before = casebook.encoder() or casebook.encoder_data()[0]
        _keep(casebook, encoder, owner=owner)
        while True:
            filled = fill(casebook, encoder_id=encoder.id, encode=encoder.encode, track=track)
            made += filled.made
            if filled.faults:
                raise _refused(casebook, filled.faults)
            with casebook.writing() as connection:
                if not _count(connection, encoder.id):
                    _switch(connection, encoder.id, owner=owner)
                    done = {"cases": "all", "made": made}
                    auditing.note(
                        connection,
                        verb="reencode",
                        subjects=[auditing.EVERYONE],
                        encoder=encoder.id,
                        details=done,
                    )
                    break
        with told(casebook.store.database):
            journal.settle(casebook.database, casebook.store, owner=owner)
        now = casebook.encoder_data()[0]
    return ReencodeReport(
        encoder=now.label, before=before.label, cases=casebook.counts()["cases"], made=made
    )


def fill(
    casebook: Casebook, *, encoder_id: str, encode: Encode, track: Track = untracked
) -> Filled:
    """Give every case without a code by an encoder one; a batch at a time is there for good.

    Args:
        casebook: an open casebook, within a `Writer`.
        encoder_id: an encoder of the casebook, the current one or another.
        encode: gives a picture's code by it; called from threads.
        track: looks on while pictures are encoded.
    """

    def work(record: Record) -> tuple[Record, Coded | str]:
        name = record.case.isic_id
        try:
            return record, encode(casebook.image_of(record), name)
        except (CasebookError, ImageError) as error:
            return record, f"case {name}: {error}"

    with casebook.reading() as connection:
        total = _count(connection, encoder_id)
    results = in_order(work, _pages(casebook, encoder_id))
    made = 0
    faults: dict[str, str] = {}
    for batch in chunks(track(results, label="encode", total=total), size=_AT_ONCE):
        codes = {record.key: coded for record, coded in batch if isinstance(coded, Coded)}
        faults |= {record.case.isic_id: words for record, words in batch if isinstance(words, str)}
        with casebook.writing() as connection:
            made += _place(connection, codes, encoder_id=encoder_id)
    # Who was forgotten meanwhile needs no code any more.
    still = casebook.records(faults.keys())
    return Filled(made=made, faults=tuple(faults[name] for name in sorted(still)))


def _pages(casebook: Casebook, encoder_id: str) -> Iterator[Record]:
    """The cases without a code, by their keys; each page as of its own moment."""
    last = 0
    while True:
        with casebook.reading() as connection:
            page = (
                select(CASES.c.key, CASES.c.isic_id)
                .where(_lacks_code(encoder_id), CASES.c.key > last)
                .order_by(CASES.c.key)
                .limit(_PAGE)
            )
            rows = connection.execute(page).all()
            found = records.records(connection, [row.isic_id for row in rows])
        if not rows:
            return
        yield from (found[row.isic_id] for row in rows)
        last = rows[-1].key


def _lacks_code(encoder_id: str) -> ColumnElement[bool]:
    encoder = select(ENCODERS.c.key).where(ENCODERS.c.id == encoder_id).scalar_subquery()
    has = select(CODES.c.case_key).where(
        CODES.c.case_key == CASES.c.key, CODES.c.encoder_key == encoder
    )
    return ~has.exists()


def _count(connection: Connection, encoder_id: str) -> int:
    lacking = select(func.count()).select_from(CASES).where(_lacks_code(encoder_id))
    return connection.scalar(lacking) or 0


def _place(connection: Connection, codes: dict[int, Coded], *, encoder_id: str) -> int:
    """Put codes in, of cases that are there still and lack them still; tells how many."""
    encoder = connection.execute(select(ENCODERS).where(ENCODERS.c.id == encoder_id)).one()
    wanted = select(CASES.c.key).where(CASES.c.key.in_(codes), _lacks_code(encoder_id))
    rows = [
        {
            "case_key": key,
            "encoder_key": encoder.key,
            "vector": codes[key].vector.astype(VECTOR).tobytes(),
            "bits": codes[key].bits,
        }
        for key in connection.scalars(wanted)
    ]
    if rows:
        connection.execute(insert(CODES), rows)
    if rows and encoder.is_current:
        # Galleries that have been without these cases read them again.
        told_of = [{"case_key": row["case_key"], "kind": "altered"} for row in rows]
        connection.execute(insert(CHANGES), told_of)
    return len(rows)


def _keep(casebook: Casebook, encoder: NewEncoder, *, owner: str) -> None:
    """Keep an encoder's file beside the current one's, with its row."""
    path = encoder_path(encoder.id)
    with casebook.writing() as connection:
        journal.note(connection, [path], owner=owner)
    with told(casebook.store.database):
        casebook.store.write(path, encoder.data, owner=owner)
    with casebook.writing() as connection:
        if connection.scalar(select(ENCODERS.c.key).where(ENCODERS.c.id == encoder.id)) is None:
            row = {"id": encoder.id, "card": encoder.card, "is_current": False}
            connection.execute(insert(ENCODERS), row)
        journal.strike_out(connection, path, owner=owner)


def _switch(connection: Connection, encoder_id: str, *, owner: str) -> None:
    """Make an encoder the casebook's, and remove all others with their codes and maps."""
    if (current := records.current_encoder(connection)) and current.id != encoder_id:
        # One after the other: at no moment may two be current.
        for chosen in (False, True):
            which = ENCODERS.c.id == (encoder_id if chosen else current.id)
            connection.execute(update(ENCODERS).where(which).values(is_current=chosen))
    others = ENCODERS.c.id != encoder_id
    ids = connection.scalars(select(ENCODERS.c.id).where(others)).all()
    keys = select(ENCODERS.c.key).where(others)
    for table in (MAP_POINTS, MAPS, CODES):
        connection.execute(delete(table).where(table.c.encoder_key.in_(keys)))
    connection.execute(delete(ENCODERS).where(others))
    journal.note(connection, map(encoder_path, ids), owner=owner)


@contextmanager
def _alone(casebook: Casebook) -> Iterator[None]:
    """Be the only one who gives this casebook another encoder.

    Raises:
        CasebookError: another process is.
    """
    with told(casebook.store.database):
        lock = WriterLock(casebook.store.path(ENCODER_FOLDER))
    try:
        if not lock.take_alone():
            raise CasebookError(
                f"the casebook {casebook.path} is being re-encoded by another process; "
                "wait until that is done."
            )
        yield
    finally:
        lock.release()


def _refused(casebook: Casebook, faults: tuple[str, ...]) -> CasebookError:
    shown = "".join(f"\n  {fault}" for fault in faults[:_EXAMPLES])
    more = f"\n  … and {len(faults) - _EXAMPLES} more" if len(faults) > _EXAMPLES else ""
    return CasebookError(
        f"{len(faults):,} cases of {casebook.path} cannot be encoded, so it keeps its encoder; "
        f"mend or forget them and run the same again:{shown}{more}"
    )
