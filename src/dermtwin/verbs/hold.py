"""`dermtwin hold`: patients who must not be erased."""

from pathlib import Path

from dermtwin.casebook import Casebook, Hold, auditing, holding
from dermtwin.errors import SettingsError


def hold(
    *,
    casebook: str | Path,
    patient: str | None = None,
    why: str | None = None,
    lift: bool = False,
    who: str | None = None,
) -> tuple[Hold, ...]:
    """Forbid the erasure of a patient until the hold is lifted; without a patient, list all holds.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        patient: whose erasure is forbidden, or allowed again.
        why: the reason, told to whoever wants to erase; a second hold takes the new reason.
        lift: allow it again.
        who: who says so, for the audit log; None: the operating system's user.

    Returns:
        All holds that stand now, by patient.

    Raises:
        SettingsError: a patient without a reason, or a reason or `lift` without a patient.
        CasebookError: no such patient, nothing to lift, or the casebook cannot be written.
    """
    if patient is None and (why is not None or lift):
        raise SettingsError("name the patient whose hold is meant (--patient ID).")
    if patient is not None and lift is (why is not None):
        raise SettingsError("a hold needs a reason (--why TEXT); to end one, --lift alone.")
    with Casebook.open(casebook) as opened:
        if patient is not None:
            with opened.writing() as connection:
                by = who or auditing.user()
                if why is not None:
                    holding.hold(connection, patient, why=why, who=by)
                else:
                    holding.lift(connection, patient, who=by)
        with opened.reading() as connection:
            return tuple(holding.holds(connection))
