"""What must hold in every casebook, looked after one by one."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, and_, func, select

from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.records import VECTOR, current_encoder
from dermtwin.casebook.schema import (
    CASES,
    CHANGES,
    CODES,
    ENCODERS,
    IMAGES,
    LESIONS,
    PATIENTS,
    UNSETTLED,
)
from dermtwin.casebook.store import Store, encoder_path, image_path
from dermtwin.casebook.writer import Writer
from dermtwin.errors import CasebookError
from dermtwin.running import Track, in_order, untracked

Problems = Iterator[str]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found.

    Attributes:
        problems: a sentence for each thing that should not be; empty: all is well.
        counts: how many of what the casebook holds; `unfinished` counts files that an interrupted
            writer left and the next one settles.
    """

    problems: tuple[str, ...]
    counts: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.problems

    def __str__(self) -> str:
        held = ", ".join(
            f"{self.counts[name]:,} {name}" for name in ("cases", "lesions", "patients", "images")
        )
        found = "all is well" if self.is_clean else f"{len(self.problems):,} problems"
        due = self.counts["unfinished"]
        left = f"; {due:,} files of unfinished work, to be settled" if due else ""
        return f"{held}: {found}{left}."


def check_casebook(casebook: Casebook, *, track: Track = untracked) -> CheckReport:
    """Look after every invariant; each file is read whole.

    What an interrupted writer left is no fault: it is settled first where nobody else writes and
    the casebook can be written, and counted as unfinished elsewhere.

    Args:
        casebook: an open casebook.
        track: looks on while files are read.
    """
    _settle(casebook)
    # Files before rows: what is written meanwhile has a row or an entry in the journal by then.
    lying = list(casebook.store.files())
    with casebook.reading() as connection:
        problems = [problem for look in _INVARIANTS for problem in look(connection)]
        named = _named_files(connection)
        unfinished = set(connection.scalars(select(UNSETTLED.c.path)))
    suspects = [path for path in lying if path not in named and not _is_due(path, unfinished)]
    problems += _confirmed_orphans(casebook, suspects)
    problems += _confirmed_faults(casebook, _faulty_files(casebook.store, named, track=track))
    counts = casebook.counts() | {"unfinished": len(unfinished)}
    return CheckReport(tuple(problems), counts)


def _settle(casebook: Casebook) -> None:
    try:
        with Writer(casebook):
            pass
    except CasebookError:
        # A casebook that cannot be written can be checked all the same.
        return


def _damage(connection: Connection) -> Problems:
    for (message,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if message != "ok":
            yield f"the database is damaged: {message}."
    for table, row, other, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} refers to a row of {other} that is not there."


def _encoders(connection: Connection) -> Problems:
    count = connection.scalar(
        select(func.count()).select_from(ENCODERS).where(ENCODERS.c.is_current)
    )
    cases = connection.scalar(select(func.count()).select_from(CASES)) or 0
    if count != 1 and (cases or count):
        yield f"{count} encoders are marked as the casebook's; expected one."


def _codes(connection: Connection) -> Problems:
    encoder = current_encoder(connection)
    if encoder is None:
        return
    coded = and_(CODES.c.case_key == CASES.c.key, CODES.c.encoder_key == encoder.key)
    without = select(CASES.c.isic_id).where(~select(CODES.c.case_key).where(coded).exists())
    for isic_id in connection.scalars(without.order_by(CASES.c.isic_id)):
        yield f"case {isic_id} has no code by {encoder.label}."
    rows = connection.execute(
        select(CASES.c.isic_id, CODES.c.vector)
        .select_from(CODES.join(CASES))
        .where(CODES.c.encoder_key == encoder.key)
        .order_by(CASES.c.key)
    )
    yield from _odd_codes((row.isic_id, row.vector) for row in rows)


def _odd_codes(rows: Iterable[tuple[str, bytes]]) -> Problems:
    length = None
    for isic_id, vector in rows:
        length = length or len(vector)
        if len(vector) != length or length % VECTOR.itemsize:
            yield f"the code of case {isic_id} has {len(vector)} bytes, others have {length}."
        elif not np.isfinite(np.frombuffer(vector, dtype=VECTOR)).all():
            yield f"the code of case {isic_id} holds a value that is not a finite number."


def _unused(connection: Connection) -> Problems:
    for table, name, column in (
        (LESIONS, "lesion_id", CASES.c.lesion_key),
        (PATIENTS, "patient_id", CASES.c.patient_key),
        (IMAGES, "sha256", CASES.c.image_key),
    ):
        used = select(column).where(column == table.c.key).exists()
        for value in connection.scalars(select(table.c[name]).where(~used)):
            yield f"{value} stands in {table.name}, but no case has it."


def _lesions(connection: Connection) -> Problems:
    patients = func.count(CASES.c.patient_key.distinct())
    shared = (
        select(LESIONS.c.lesion_id, patients)
        .select_from(LESIONS.join(CASES))
        .group_by(LESIONS.c.lesion_id)
        .having(patients > 1)
    )
    for lesion, count in connection.execute(shared):
        yield f"lesion {lesion} belongs to {count} patients."


def _changes(connection: Connection) -> Problems:
    told = select(CHANGES.c.seq).where(CHANGES.c.case_key == CASES.c.key).exists()
    for isic_id in connection.scalars(select(CASES.c.isic_id).where(~told)):
        yield f"case {isic_id} is missing in the list of changes; galleries may not know it."


_INVARIANTS: tuple[Callable[[Connection], Problems], ...] = (
    _damage,
    _encoders,
    _codes,
    _unused,
    _lesions,
    _changes,
)


def _named_files(connection: Connection) -> dict[str, str]:
    """The path of every file that a row names, with the digest that it must have."""
    images = connection.execute(select(IMAGES.c.sha256, IMAGES.c.format).order_by(IMAGES.c.sha256))
    named = {image_path(row.sha256, format=row.format): row.sha256 for row in images}
    return named | {encoder_path(each): each for each in connection.scalars(select(ENCODERS.c.id))}


def _is_due(path: str, unfinished: Iterable[str]) -> bool:
    """Whether the journal speaks of a file, under its own or a temporary name."""
    folder, _, name = path.rpartition("/")
    if not name.startswith("."):
        return path in unfinished
    stem, _, _ = name[1:].rpartition(".part")[0].rpartition(".")
    return f"{folder}/{stem}" in unfinished


def _faulty_files(
    store: Store, named: Mapping[str, str], *, track: Track
) -> Iterator[tuple[str, str]]:
    """Path and problem of every named file that is missing or altered."""

    def look(item: tuple[str, str]) -> tuple[str, str] | None:
        path, expected = item
        try:
            with store.path(path).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return path, f"{path} cannot be read: {reason}."
        return None if found == expected else (path, f"{path} was altered: its hash is {found}.")

    results = in_order(look, named.items())
    yield from (found for found in track(results, label="check", total=len(named)) if found)


def _confirmed_orphans(casebook: Casebook, suspects: Iterable[str]) -> list[str]:
    """Look again: a file may have been forgotten while the rows were read."""
    still = [path for path in suspects if casebook.store.exists(path)]
    with casebook.reading() as connection:
        named = _named_files(connection) if still else {}
        unfinished = set(connection.scalars(select(UNSETTLED.c.path)))
    return [
        f"{path} belongs to no row."
        for path in still
        if path not in named and not _is_due(path, unfinished)
    ]


def _confirmed_faults(casebook: Casebook, faults: Iterable[tuple[str, str]]) -> list[str]:
    """Look again: a file that is gone may have been forgotten with its row meanwhile."""
    found = list(faults)
    with casebook.reading() as connection:
        named = _named_files(connection) if found else {}
    return [problem for path, problem in found if path in named]
