"""The audit log: who looked at or changed which cases, when, and by which verb.

Each entry's `chain` is the SHA-256 of the entry before's chain and of the entry itself, so that an
entry altered, put in or taken out breaks every chain after it. Cases and patients are named by
16 bytes of HMAC-SHA256 under a random key that stands in their own row: whoever has the row can
look for its entries, and once the row is erased nobody can tell whom an entry speaks of, while the
chain stays whole.
"""

import getpass
import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, func, insert, select

from dermtwin.casebook import records
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import AUDIT, AUDIT_SUBJECTS, CASES, PATIENTS

SUBJECT_BYTES = 16

START = bytes(32)
"""The chain before the first entry."""

EVERYONE = bytes(SUBJECT_BYTES)
"""The subject of an entry that speaks of all cases there are, such as a backup's."""

# An entry of a bulk `add` names thousands: each in a row of its own would cost a page of the index
# each. Rows of up to 60 names stay below what an index of either database takes as one key.
_PACKED = 60


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: how many entries, and the last one's chain in hex."""

    entries: int
    chain: str

    def __str__(self) -> str:
        return f"{self.entries}:{self.chain}"


def user() -> str:
    """Who is at work: the variable DERMTWIN_USER, or the operating system's user."""
    try:
        return os.environ.get("DERMTWIN_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def subject(audit_key: bytes, name: str) -> bytes:
    """How the log names a case or patient; needs the key in its row."""
    return hmac.digest(audit_key, name.encode(), "sha256")[:SUBJECT_BYTES]


def note(  # noqa: PLR0913 - all that may be said of a look
    connection: Connection,
    *,
    verb: str,
    who: str | None = None,
    cases: Iterable[int] = (),
    patients: Iterable[int] = (),
    subjects: Iterable[bytes] = (),
    encoder: str | None = None,
    version: int | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Append an entry; to be called in a writing transaction, a change's own where it changes.

    Args:
        connection: a transaction that holds the right to write.
        verb: what was done.
        who: by whom; None: `user()`.
        cases: keys of the cases looked at or changed; their patients are named with them.
        patients: keys of further patients.
        subjects: names already hashed (`subject`), for who has the keys at hand.
        encoder: the id of the encoder in use.
        version: the number of the last change that was seen; None: the last there is.
        details: counts and settings. Never names or values of a case: the log outlives them.
    """
    named = sorted({*subjects, *_of_cases(connection, cases), *_of_patients(connection, patients)})
    before = _last(connection)
    values = {
        "seq": 1 if before is None else before[0] + 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": who or user(),
        "verb": verb,
        "encoder": encoder,
        "version": records.version(connection) if version is None else version,
        "details": json.dumps(dict(details or {}), sort_keys=True, ensure_ascii=False),
    }
    chain = _chain(START if before is None else before[1], values, named)
    connection.execute(_NEW_ENTRY, values | {"chain": chain})
    rows = [{"subject": each, "seq": values["seq"]} for each in _packed(named)]
    if rows:
        connection.execute(_NEW_SUBJECT, rows)


def keys_of(connection: Connection, isic_ids: Iterable[str]) -> list[int]:
    """The keys of the cases of these names, those that are there."""
    return [
        key
        for part in chunks(isic_ids, size=MANY)
        for key in connection.scalars(_KEYS_OF, {"part": part})
    ]


def head(connection: Connection) -> Head:
    """Where the log ends now."""
    last = _last(connection)
    return Head(0, START.hex()) if last is None else Head(last[0], last[1].hex())


def broken(connection: Connection) -> Iterator[str]:
    """A sentence for the first entry that is not as it was written, and for an end cut off."""
    chain, seq = START, 0
    for values, named, written in _entries(connection):
        seq += 1
        if values["seq"] != seq:
            yield f"the audit log lacks entry {seq}: it was taken out."
            return
        chain = _chain(chain, values, named)
        if chain != written:
            yield f"the audit log was altered: entry {seq}, or what it names, is not as written."
            return
    given = _given(connection)
    if given > seq:
        yield f"the audit log was cut: it ends with entry {seq}, but {given} were written."


def goes_back_to(connection: Connection, known: Head) -> bool:
    """Whether the log still holds the entry that was its end at some earlier time."""
    if known.entries == 0:
        return True
    chain = connection.scalar(select(AUDIT.c.chain).where(AUDIT.c.seq == known.entries))
    return chain is not None and bytes(chain).hex() == known.chain


def seqs_of(connection: Connection, subjects: Iterable[bytes]) -> dict[int, set[bytes]]:
    """The numbers of the entries that name one of these, each with those that it names."""
    wanted = set(subjects)
    found: dict[int, set[bytes]] = {}
    alone = (
        row
        for part in chunks(sorted(wanted), size=MANY)
        for row in connection.execute(
            select(AUDIT_SUBJECTS).where(AUDIT_SUBJECTS.c.subject.in_(part))
        )
    )
    packed = connection.execute(
        select(AUDIT_SUBJECTS).where(func.length(AUDIT_SUBJECTS.c.subject) > SUBJECT_BYTES)
    )
    for rows in (alone, packed):
        for row in rows:
            if named := wanted.intersection(_unpacked(row.subject)):
                found.setdefault(row.seq, set()).update(named)
    return found


def seen_lately(
    connection: Connection, isic_ids: Iterable[str], *, who: str, since: datetime
) -> set[str]:
    """Of these cases, those that somebody's own looks and searches name since a time.

    Found by the index, so that entries that pack many names into a row are passed over.

    Args:
        connection: the record.
        isic_ids: names of cases; those that are not there are not among the found.
        who: whose looks.
        since: with its time zone.
    """
    by_subject = {
        subject(row.audit_key, row.isic_id): row.isic_id
        for part in chunks(isic_ids, size=MANY)
        for row in connection.execute(_KEYED, {"part": part})
        if row.audit_key is not None
    }
    at_least = since.astimezone(UTC).isoformat(timespec="seconds")
    return {
        by_subject[bytes(found)]
        for part in chunks(by_subject, size=MANY)
        for found in connection.scalars(_SEEN, {"part": part, "who": who, "since": at_least})
    }


def _of_cases(connection: Connection, keys: Iterable[int]) -> Iterator[bytes]:
    """The subjects of cases and of their patients; keys that are not there are passed over."""
    for part in chunks(keys, size=MANY):
        for row in connection.execute(_HASHED, {"part": part}):
            if row.audit_key is not None:
                yield subject(row.audit_key, row.isic_id)
            if row.patient_audit_key is not None:
                yield subject(row.patient_audit_key, row.patient_id)


def _of_patients(connection: Connection, keys: Iterable[int]) -> Iterator[bytes]:
    wanted = select(PATIENTS.c.patient_id, PATIENTS.c.audit_key)
    for part in chunks(keys, size=MANY):
        for row in connection.execute(wanted.where(PATIENTS.c.key.in_(part))):
            if row.audit_key is not None:
                yield subject(row.audit_key, row.patient_id)


def _packed(subjects: list[bytes]) -> list[bytes]:
    if len(subjects) <= _PACKED:
        return subjects
    return [b"".join(part) for part in chunks(subjects, size=_PACKED)]


def _unpacked(value: bytes) -> list[bytes]:
    data = bytes(value)
    return [data[at : at + SUBJECT_BYTES] for at in range(0, len(data), SUBJECT_BYTES)]


_FIELDS = ("seq", "at", "who", "verb", "encoder", "version", "details")


def _chain(before: bytes, values: Mapping[str, Any], subjects: Iterable[bytes]) -> bytes:
    entry = [*(values[name] for name in _FIELDS), [each.hex() for each in subjects]]
    written = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(before + written.encode()).digest()


def _entries(connection: Connection) -> Iterator[tuple[dict[str, Any], list[bytes], bytes]]:
    """Each entry in its order, with its subjects sorted and the chain as it was written."""
    rows: Iterable[Row[Any]] = connection.execution_options(yield_per=10_000).execute(
        select(AUDIT, AUDIT_SUBJECTS.c.subject)
        .select_from(AUDIT.outerjoin(AUDIT_SUBJECTS))
        .order_by(AUDIT.c.seq)
    )
    for _, group in groupby(rows, key=attrgetter("seq")):
        parts = list(group)
        first = parts[0]
        values = {name: getattr(first, name) for name in _FIELDS}
        named = [
            each for row in parts if row.subject is not None for each in _unpacked(row.subject)
        ]
        yield values, sorted(named), bytes(first.chain)


def _given(connection: Connection) -> int:
    """The highest number that an entry ever had, where the database remembers it; else 0."""
    if connection.dialect.name != "sqlite":
        return 0
    found = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
    return int(found.scalar() or 0)


def _last(connection: Connection) -> tuple[int, bytes] | None:
    """Number and chain of the last entry."""
    row = connection.execute(_LAST).one_or_none()
    return None if row is None else (row.seq, bytes(row.chain))


# Made once: to build a statement takes longer than to run it.
_PART: BindParameter[Any] = bindparam("part", expanding=True)
_KEYS_OF = select(CASES.c.key).where(CASES.c.isic_id.in_(_PART))
_KEYED = select(CASES.c.isic_id, CASES.c.audit_key).where(CASES.c.isic_id.in_(_PART))
_SEEN = (
    select(AUDIT_SUBJECTS.c.subject)
    .select_from(AUDIT_SUBJECTS.join(AUDIT))
    .where(
        AUDIT_SUBJECTS.c.subject.in_(_PART),
        AUDIT.c.verb.in_(("look", "find", "compare")),
        AUDIT.c.who == bindparam("who"),
        AUDIT.c.at >= bindparam("since"),
    )
    .distinct()
)
_HASHED = (
    select(
        CASES.c.isic_id,
        CASES.c.audit_key,
        PATIENTS.c.patient_id,
        PATIENTS.c.audit_key.label("patient_audit_key"),
    )
    .select_from(CASES.outerjoin(PATIENTS))
    .where(CASES.c.key.in_(_PART))
)
_NEW_ENTRY = insert(AUDIT)
_NEW_SUBJECT = insert(AUDIT_SUBJECTS)
_LAST = select(AUDIT.c.seq, AUDIT.c.chain).order_by(AUDIT.c.seq.desc()).limit(1)
