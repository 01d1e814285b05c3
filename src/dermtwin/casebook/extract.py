"""What the audit log says of a case, a patient, a user or a time; fit to be handed over."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from dermtwin.casebook import auditing
from dermtwin.casebook.auditing import Head, seqs_of, subject
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.forgetting import cases_of
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import AUDIT, CASES, CHANGES, PATIENTS
from dermtwin.errors import CasebookError


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One look or change.

    Attributes:
        seq: its number.
        at: when (ISO 8601, UTC).
        who: by whom.
        verb: what was done.
        encoder: id of the encoder in use, where one was.
        version: number of the last change that was seen.
        details: counts and settings.
        cases: of the case or patient that was asked for, the cases that the entry names; of
            others it tells nothing.
    """

    seq: int
    at: str
    who: str
    verb: str
    encoder: str | None
    version: int
    details: Mapping[str, Any]
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditExtract:
    """The entries that were asked for, in their order.

    Attributes:
        entries: those.
        head: where the whole log ends: write it down elsewhere, and a cut will show.
        broken: why the log cannot be trusted; empty: every entry is as it was written.
    """

    entries: tuple[AuditEntry, ...]
    head: Head
    broken: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which entries of the log: those that meet every condition.

    Attributes:
        conditions: on what an entry says itself.
        naming: the numbers of the entries that name a case or patient, each with the cases that
            it names; None: whomever they name.
    """

    conditions: tuple[ColumnElement[bool], ...] = ()
    naming: Mapping[int, tuple[str, ...]] | None = None


def asked(  # noqa: PLR0913 - all that one can ask for
    connection: Connection,
    *,
    case: str | None = None,
    patient: str | None = None,
    user: str | None = None,
    verb: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Asked:
    """The entries that meet every condition.

    Args:
        connection: one moment of the record.
        case: name this case.
        patient: name this patient, or a case of this patient.
        user: by this user.
        verb: of this verb.
        since: at this time or after, as the log writes it.
        until: before this time.

    Raises:
        CasebookError: no such case or patient: the log cannot say whom it names then.
    """
    conditions = (
        None if user is None else AUDIT.c.who == user,
        None if verb is None else AUDIT.c.verb == verb,
        None if since is None else AUDIT.c.at >= since,
        None if until is None else AUDIT.c.at < until,
    )
    return Asked(
        conditions=tuple(each for each in conditions if each is not None),
        naming=_chosen(connection, case=case, patient=patient),
    )


def extract(  # noqa: PLR0913 - all that one can ask for
    connection: Connection,
    *,
    case: str | None = None,
    patient: str | None = None,
    user: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> AuditExtract:
    """All entries that meet every condition, as `asked` has them, and whether the log is whole.

    Raises:
        CasebookError: no such case or patient.
    """
    wanted = asked(connection, case=case, patient=patient, user=user, since=since, until=until)
    return AuditExtract(
        entries=tuple(entries(connection, wanted)),
        head=auditing.head(connection),
        broken=tuple(auditing.broken(connection)),
    )


def entries(
    connection: Connection,
    wanted: Asked,
    *,
    after: int = 0,
    limit: int | None = None,
) -> list[AuditEntry]:
    """Entries in their order.

    Args:
        connection: one moment of the record.
        wanted: which entries.
        after: those with a higher number than this.
        limit: so many of them, the first; None: all.
    """
    found = select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq)
    naming = None if wanted.naming is None else sorted(n for n in wanted.naming if n > after)
    return _read(connection, wanted, found, naming=naming, limit=limit)


def newest(
    connection: Connection, wanted: Asked, *, before: int | None = None, limit: int
) -> list[AuditEntry]:
    """The last entries, the newest first; `before`: those with a lower number than this."""
    found = select(AUDIT).order_by(AUDIT.c.seq.desc())
    found = found if before is None else found.where(AUDIT.c.seq < before)
    naming = None
    if wanted.naming is not None:
        older = (each for each in wanted.naming if before is None or each < before)
        naming = sorted(older, reverse=True)
    return _read(connection, wanted, found, naming=naming, limit=limit)


def count(connection: Connection, wanted: Asked) -> int:
    """How many entries those are."""
    if not wanted.conditions:
        naming = wanted.naming
        return auditing.head(connection).entries if naming is None else len(naming)
    counted = select(func.count()).select_from(AUDIT).where(*wanted.conditions)
    if wanted.naming is None:
        return connection.scalar(counted) or 0
    parts = chunks(wanted.naming, size=MANY)
    return sum(connection.scalar(counted.where(AUDIT.c.seq.in_(part))) or 0 for part in parts)


def in_parts(casebook: Casebook, wanted: Asked, *, until: Head) -> Iterator[list[AuditEntry]]:
    """All entries up to an end of the log, in their order.

    Each part is read by itself: nothing is kept in memory, and no transaction waits for whoever
    reads slowly. Entries never change, so it is one moment all the same.
    """
    ended = replace(wanted, conditions=(*wanted.conditions, AUDIT.c.seq <= until.entries))
    after = 0
    while True:
        with casebook.reading() as connection:
            part = entries(connection, ended, after=after, limit=_PART)
        if part:
            yield part
        if len(part) < _PART:
            return
        after = part[-1].seq


_PART = 1_000


def _read(
    connection: Connection,
    wanted: Asked,
    found: Select[Any],
    *,
    naming: Iterable[int] | None,
    limit: int | None,
) -> list[AuditEntry]:
    """The first entries of a statement; `naming`: only of these numbers, in the same order."""
    found = found.where(*wanted.conditions).limit(limit)
    if naming is None or wanted.naming is None:
        return [_entry(row) for row in connection.execute(found)]
    rows = (
        row
        for part in chunks(naming, size=MANY)
        for row in connection.execute(found.where(AUDIT.c.seq.in_(part)))
    )
    return [_entry(row, cases=wanted.naming[row.seq]) for row in islice(rows, limit)]


def _entry(row: Row[Any], *, cases: tuple[str, ...] = ()) -> AuditEntry:
    return AuditEntry(
        seq=row.seq,
        at=row.at,
        who=row.who,
        verb=row.verb,
        encoder=row.encoder,
        version=row.version,
        details=json.loads(row.details),
        cases=cases,
    )


def _chosen(
    connection: Connection, *, case: str | None, patient: str | None
) -> dict[int, tuple[str, ...]] | None:
    """The entries of a case and of a patient, each with the cases it names; None: of everybody."""
    if case is None and patient is None:
        return None
    found: list[dict[int, set[str]]] = []
    for kind, name in (("case", case), ("patient", patient)):
        if name is None:
            continue
        subjects, keys = _subjects(connection, kind, name)
        of_all = _entries_of_all(connection, keys)
        found.append(
            {seq: set[str]() for seq in of_all}
            | {
                seq: {subjects[each] for each in named}
                for seq, named in seqs_of(connection, subjects).items()
            }
        )
    seqs = set.intersection(*(set(each) for each in found))
    return {seq: tuple(sorted(set().union(*(each[seq] for each in found)) - {""})) for seq in seqs}


def _entries_of_all(connection: Connection, keys: Iterable[int]) -> list[int]:
    """The entries that speak of all cases, from the first of these on."""
    first = min(
        (
            seq
            for part in chunks(keys, size=MANY)
            for seq in connection.scalars(
                select(CHANGES.c.seq).where(CHANGES.c.case_key.in_(part), CHANGES.c.kind == "added")
            )
        ),
        default=None,
    )
    if first is None:
        return []
    seqs = list(seqs_of(connection, [auditing.EVERYONE]))
    return [
        seq
        for part in chunks(seqs, size=MANY)
        for seq in connection.scalars(
            select(AUDIT.c.seq).where(AUDIT.c.seq.in_(part), AUDIT.c.version >= first)
        )
    ]


def _subjects(connection: Connection, kind: str, name: str) -> tuple[dict[bytes, str], list[int]]:
    """How the log names a case, or a patient and the patient's cases; and the cases' keys."""
    patient = select(PATIENTS).where(PATIENTS.c.patient_id == name)
    row = connection.execute(patient).one_or_none() if kind == "patient" else None
    keys = cases_of(connection, "case" if row is None else "patient", name)
    wanted = select(CASES.c.isic_id, CASES.c.audit_key)
    cases = [
        case
        for part in chunks(keys, size=MANY)
        for case in connection.execute(wanted.where(CASES.c.key.in_(part)))
    ]
    if (kind == "patient" and row is None) or (kind == "case" and not cases):
        raise CasebookError(
            f"the casebook holds no {kind} {name}; of somebody forgotten the audit log cannot say "
            "who it was."
        )
    subjects = {
        subject(each.audit_key, each.isic_id): each.isic_id
        for each in cases
        if each.audit_key is not None
    }
    if row is not None and row.audit_key is not None:
        subjects[subject(row.audit_key, row.patient_id)] = ""
    return subjects, keys


def history(casebook: Casebook, case: str) -> tuple[AuditEntry, ...]:
    """The entries that name a case; whether the log is whole is not looked at.

    Raises:
        CasebookError: no such case.
    """
    with casebook.reading() as connection:
        return tuple(entries(connection, asked(connection, case=case)))
