"""Legal holds: patients who must not be erased until somebody lifts the hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select

from dermtwin.casebook import auditing
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import CASES, HOLDS, PATIENTS
from dermtwin.errors import CasebookError


class HeldError(CasebookError):
    """An erasure that a hold forbids."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A patient who must not be erased: why, by whose word, since when (ISO 8601, UTC)."""

    patient_id: str
    why: str
    who: str
    at: str

    def __str__(self) -> str:
        return f"patient {self.patient_id}: {self.why} (by {self.who}, {self.at})"


def holds(connection: Connection) -> list[Hold]:
    """All holds, by patient."""
    rows = connection.execute(_HOLDS.order_by(PATIENTS.c.patient_id))
    return [Hold(*row) for row in rows]


def hold(connection: Connection, patient_id: str, *, why: str, who: str) -> None:
    """Forbid the erasure of a patient; a hold that stands already takes the new reason.

    Raises:
        CasebookError: no such patient.
    """
    key = _key(connection, patient_id)
    connection.execute(delete(HOLDS).where(HOLDS.c.patient_key == key))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    connection.execute(insert(HOLDS).values(patient_key=key, why=why, who=who, at=now))
    auditing.note(connection, verb="hold", who=who, patients=[key])


def lift(connection: Connection, patient_id: str, *, who: str) -> None:
    """Allow the erasure of a patient again.

    Raises:
        CasebookError: no such patient, or no hold.
    """
    key = _key(connection, patient_id)
    if not connection.execute(delete(HOLDS).where(HOLDS.c.patient_key == key)).rowcount:
        raise CasebookError(f"patient {patient_id} is not held; nothing was lifted.")
    auditing.note(connection, verb="lift", who=who, patients=[key])


def held(connection: Connection, cases: Sequence[int]) -> list[Hold]:
    """The holds on patients whom cases of these keys belong to, by themselves or their lesion."""
    standing = {row.patient_key for row in connection.execute(select(HOLDS.c.patient_key))}
    if not standing:
        return []
    found: set[int] = set()
    for part in chunks(cases, size=MANY):
        chosen = CASES.c.key.in_(part)
        kin = select(CASES.c.lesion_key).where(chosen)
        for patients in (chosen, CASES.c.lesion_key.in_(kin)):
            found.update(
                connection.scalars(
                    select(CASES.c.patient_key).where(patients, CASES.c.patient_key.is_not(None))
                )
            )
    touched = HOLDS.c.patient_key.in_(found & standing)
    rows = connection.execute(_HOLDS.where(touched).order_by(PATIENTS.c.patient_id))
    return [Hold(*row) for row in rows]


def refuse_held(connection: Connection, cases: Sequence[int]) -> None:
    """See to it that no hold forbids the erasure of cases.

    Raises:
        HeldError: one does; says whose, and why.
    """
    if found := held(connection, cases):
        told = "; ".join(map(str, found))
        raise HeldError(
            f"a hold forbids this, nothing was forgotten: {told}. Lift it first: "
            f"dermtwin hold --lift --patient {found[0].patient_id}"
        )


def _key(connection: Connection, patient_id: str) -> int:
    key: int | None = connection.scalar(
        select(PATIENTS.c.key).where(PATIENTS.c.patient_id == patient_id)
    )
    if key is None:
        raise CasebookError(f"the casebook holds no patient {patient_id}; check the name.")
    return key


_HOLDS = select(PATIENTS.c.patient_id, HOLDS.c.why, HOLDS.c.who, HOLDS.c.at).select_from(
    HOLDS.join(PATIENTS)
)
