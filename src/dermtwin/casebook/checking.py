"""What must hold in every casebook, looked after one by one."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, and_, func, select

from dermtwin.casebook import auditing, mapping
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
from dermtwin.casebook.store import Store, encoder_path, final_path, image_path, thumbnail_path
from dermtwin.casebook.writer import Writer
from dermtwin.errors import CasebookError
from dermtwin.running import Track, in_order, untracked

Problems = Iterator[str]

_AT_ONCE = 1000  # rows in memory


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found.

    Attributes:
        problems: a sentence for each thing that should not be; empty: all is well.
        counts: how many of what the casebook holds; `unfinished` counts files that an interrupted
            writer left and the next one settles, `codes_beside` codes by an encoder that is not
            the casebook's: a re-encoding that was cut short and can be taken up.
        repaired: a sentence for each thing that was put right before.
    """

    problems: tuple[str, ...]
    counts: Mapping[str, int]
    repaired: tuple[str, ...] = ()

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
        if beside := self.counts["codes_beside"]:
            left += f"; {beside:,} codes of an unfinished reencode"
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
        suspects = unnamed(connection, lying)
        beside = _codes_beside(connection)
    problems += _confirmed_orphans(casebook, suspects)
    problems += _confirmed_faults(casebook, _faulty_files(casebook.store, named, track=track))
    problems += _missing_thumbnails(casebook, named)
    counts = casebook.counts() | {"unfinished": len(unfinished), "codes_beside": beside}
    return CheckReport(tuple(problems), counts)


def unnamed(connection: Connection, paths: Iterable[str]) -> list[str]:
    """Those of some files that no row names and no writer is about to name."""
    named = _named_files(connection)
    unfinished = set(connection.scalars(select(UNSETTLED.c.path)))
    return [path for path in paths if path not in named and not _is_due(path, unfinished)]


def _settle(casebook: Casebook) -> None:
    try:
        with Writer(casebook):
            pass
    except CasebookError:
        # A casebook that cannot be written can be checked all the same.
        return


def _damage(connection: Connection) -> Problems:
    # PostgreSQL keeps references by itself, and has page checksums and amcheck for its files.
    if connection.dialect.name != "sqlite":
        return
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
    without_bits = 0
    for odd in odd_codes(connection):
        if odd.problem:
            yield odd.problem
        else:
            without_bits += 1
    if without_bits:
        yield (
            f"{without_bits:,} codes lack the bits that {encoder.label} gives; "
            "dermtwin check --repair makes them."
        )


@dataclass(frozen=True, slots=True)
class OddCode:
    """A code that cannot be by its encoder: whose, and what is wrong with it.

    Without a problem it only lacks the bits: it was made before they were kept.
    """

    case_key: int
    problem: str


def odd_codes(connection: Connection) -> Iterator[OddCode]:
    """The codes by the current encoder that are not as its card says."""
    encoder = current_encoder(connection)
    if encoder is None:
        return
    card = connection.scalar(select(ENCODERS.c.card).where(ENCODERS.c.key == encoder.key))
    numbers, bits = _lengths(card or "{}")
    rows = connection.execute(
        select(CASES.c.key, CASES.c.isic_id, CODES.c.vector, CODES.c.bits)
        .select_from(CODES.join(CASES))
        .where(CODES.c.encoder_key == encoder.key)
        .order_by(CASES.c.key)
        .execution_options(yield_per=_AT_ONCE)
    )
    for row in rows:
        name, length = f"the code of case {row.isic_id}", len(row.vector)
        if length != numbers:
            yield OddCode(row.key, f"{name} has {length} bytes, others have {numbers}.")
        elif not np.isfinite(np.frombuffer(row.vector, dtype=VECTOR)).all():
            yield OddCode(row.key, f"{name} holds a value that is not a finite number.")
        elif row.bits is None:
            if bits:
                yield OddCode(row.key, "")
        elif len(row.bits) != bits:
            found = len(row.bits)
            yield OddCode(row.key, f"{name} has {found} bytes of bits; its encoder gives {bits}.")


def _lengths(card: str) -> tuple[int, int]:
    """How many bytes a code has by an encoder of this card, and how many its bits."""
    outputs = json.loads(card)["outputs"]
    bits = math.prod(outputs["bits"]["shape"]) if "bits" in outputs else 0
    return math.prod(outputs["code"]["shape"]) * VECTOR.itemsize, -(-bits // 8)


def _codes_beside(connection: Connection) -> int:
    encoder = current_encoder(connection)
    if encoder is None:
        return 0
    beside = select(func.count()).select_from(CODES).where(CODES.c.encoder_key != encoder.key)
    return connection.scalar(beside) or 0


def _map(connection: Connection) -> Problems:
    yield from (problem for *_, problem in mapping.odd_points(connection))


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
    # The list has no index by case: a set of all its cases is quicker than a look for each.
    untold = CASES.c.key.not_in(select(CHANGES.c.case_key))
    for isic_id in connection.scalars(select(CASES.c.isic_id).where(untold)):
        yield f"case {isic_id} is missing in the list of changes; galleries may not know it."


_INVARIANTS: tuple[Callable[[Connection], Problems], ...] = (
    _damage,
    _encoders,
    _codes,
    _map,
    _unused,
    _lesions,
    _changes,
    auditing.broken,
)


def _named_files(connection: Connection) -> dict[str, str | None]:
    """The path of every file that a row names, with its digest; None: of a thumbnail."""
    images = connection.execute(select(IMAGES.c.sha256, IMAGES.c.format).order_by(IMAGES.c.sha256))
    named: dict[str, str | None] = {}
    for row in images:
        named[image_path(row.sha256, format=row.format)] = row.sha256
        named[thumbnail_path(row.sha256)] = None
    return named | {encoder_path(each): each for each in connection.scalars(select(ENCODERS.c.id))}


def _is_due(path: str, unfinished: Iterable[str]) -> bool:
    """Whether the journal speaks of a file, under its own or a temporary name."""
    return final_path(path) in unfinished


def _faulty_files(
    store: Store, named: Mapping[str, str | None], *, track: Track
) -> Iterator[tuple[str, str]]:
    """Path and problem of every named file that is missing or altered."""

    def look(item: tuple[str, str]) -> tuple[str, str] | None:
        path, expected = item
        try:
            found = store.digest(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return path, f"{path} cannot be read: {reason}."
        return None if found == expected else (path, f"{path} was altered: its hash is {found}.")

    files = [(path, digest) for path, digest in named.items() if digest is not None]
    results = in_order(look, files)
    yield from (found for found in track(results, label="check", total=len(files)) if found)


def _missing_thumbnails(casebook: Casebook, named: Mapping[str, str | None]) -> Problems:
    lacking = [
        path for path, digest in named.items() if digest is None and not casebook.store.exists(path)
    ]
    if not lacking:
        return
    with casebook.reading() as connection:
        still = _named_files(connection)
    if lacking := [path for path in lacking if path in still]:
        yield (
            f"{len(lacking):,} thumbnails are missing, the first {lacking[0]}; "
            "dermtwin check --repair makes them."
        )


def _confirmed_orphans(casebook: Casebook, suspects: Iterable[str]) -> list[str]:
    """Look again: a file may have been forgotten while the rows were read."""
    still = [path for path in suspects if casebook.store.exists(path)]
    if not still:
        return []
    with casebook.reading() as connection:
        orphans = unnamed(connection, still)
    return [f"{path} belongs to no row{_what_to_do(casebook.store, path)}" for path in orphans]


def _what_to_do(store: Store, orphan: str) -> str:
    if store.is_ours(orphan):
        return "; dermtwin check --repair removes it."
    return ", and nothing shows that dermtwin wrote it; move it elsewhere."


def _confirmed_faults(casebook: Casebook, faults: Iterable[tuple[str, str]]) -> list[str]:
    """Look again: a file that is gone may have been forgotten with its row meanwhile."""
    found = list(faults)
    with casebook.reading() as connection:
        named = _named_files(connection) if found else {}
    return [problem for path, problem in found if path in named]
