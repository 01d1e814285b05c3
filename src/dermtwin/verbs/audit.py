"""`dermtwin audit`: who looked at or changed what, and when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dermtwin.casebook import Casebook, Head
from dermtwin.casebook.auditing import goes_back_to
from dermtwin.casebook.extract import AuditExtract, extract
from dermtwin.errors import CasebookError, SettingsError


def audit(
    *,
    casebook: str | Path,
    case: str | None = None,
    patient: str | None = None,
    user: str | None = None,
    since: str | None = None,
    until: str | None = None,
    expect: str | None = None,
) -> AuditExtract:
    """Read the audit log; all conditions must be met.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        case: entries that name the case of this isic_id.
        patient: entries that name this patient or a case of this patient.
        user: entries of this user.
        since: from this date or time on (ISO 8601; UTC unless it says otherwise).
        until: up to this time, or to the end of this date.
        expect: where the log once ended, as a receipt or an earlier extract says (`N:CHAIN`).

    Raises:
        SettingsError: a time or `expect` that cannot be read.
        CasebookError: no such case or patient; or the log does not go back to `expect`: it was cut
            or written anew.
    """
    start, end = period(since, until)
    known = None if expect is None else _head(expect)
    with Casebook.open(casebook) as opened, opened.reading() as connection:
        if known is not None and not goes_back_to(connection, known):
            raise CasebookError(
                f"the audit log of {opened.path} does not go back to entry {known.entries} as it "
                "was known: it was cut or written anew; compare it with a backup."
            )
        return extract(connection, case=case, patient=patient, user=user, since=start, until=end)


def period(since: str | None, until: str | None) -> tuple[str | None, str | None]:
    """From and to when, as the log writes times; raises SettingsError."""
    start = _time(since, is_end=False) if since else None
    return start, _time(until, is_end=True) if until else None


def _time(text: str, *, is_end: bool) -> str:
    """A time as the log writes it; the end of a date is the beginning of the next."""
    try:
        time = datetime.fromisoformat(text)
        if is_end:
            is_date = len(text) <= len("2026-01-31")
            time += timedelta(days=1) if is_date else timedelta(seconds=1)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the last day there is has no next one
        raise SettingsError(
            f"{text!r} is no date or time; write 2026-01-31 or 2026-01-31T12:00."
        ) from error
    return time.isoformat(timespec="seconds")


def _head(text: str) -> Head:
    entries, _, chain = text.partition(":")
    if not (entries.isascii() and entries.isdigit() and len(chain) == 64):
        raise SettingsError(
            f"{text!r} is no end of an audit log; write N:CHAIN as `dermtwin audit` prints it."
        )
    return Head(int(entries), chain.lower())
