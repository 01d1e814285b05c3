"""The audit log for admins: which entries are asked for, in words, and as a file of any length."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from fastapi.responses import Response, StreamingResponse

from dermtwin.casebook import accounts, auditing, extract
from dermtwin.casebook.extract import Asked, AuditEntry
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.verbs.audit import period
from dermtwin.web.gate import Person
from dermtwin.web.problems import missing
from dermtwin.web.service import Service

COLUMNS = ("number", "when (UTC)", "who", "verb", "cases", "encoder", "version", "details")
_SUBJECTS = ("case", "patient")


def asked_for(service: Service, person: Person, given: Mapping[str, str | None]) -> Asked:
    """The entries that a form asks for; asking for a case's or patient's is entered too.

    Args:
        service: of the server.
        person: who asks.
        given: as `extract.asked` takes them, times as a person writes them; "" is None, but no
            patient's name.

    Raises:
        SettingsError: a time that cannot be read, or a patient without a name.
        ProblemError: no such case, patient or user (404).
    """
    wanted = {name: (value or "").strip() or None for name, value in given.items()}
    if given.get("patient") is not None and wanted["patient"] is None:
        # Without the name it would be everybody's entries, and they are handed over.
        raise SettingsError("an extract of one patient needs the patient's name; give it.")
    since, until = period(wanted.pop("since", None), wanted.pop("until", None))
    _refuse_nobody(service, wanted.get("user"))
    with service.casebook.reading() as connection:
        try:
            found = extract.asked(connection, since=since, until=until, **wanted)
        except CasebookError as error:
            raise missing(str(error)) from error
        count = extract.count(connection, found) if found.naming is not None else 0
    if any(wanted.get(name) for name in _SUBJECTS):
        with service.casebook.writing() as connection:
            details = {"entries": count}
            auditing.note(connection, verb="audit", who=person.name, details=details)
    return found


def _refuse_nobody(service: Service, name: str | None) -> None:
    """Refuse a mistyped name: that it did nothing would read as if somebody had done nothing."""
    if name is None or accounts.account(service.casebook, name) is not None:
        return
    with service.casebook.reading() as connection:
        # Who was removed, or came by the command line, has no account.
        if not extract.entries(connection, extract.asked(connection, user=name), limit=1):
            raise missing(f"the log names nobody {name!r}, and no user is called so; check it.")


def as_csv(service: Service, wanted: Asked) -> Response:
    """All entries as a table; its last row says where the log ends, and what is wrong with it."""
    return _file(_csv(service, wanted), "audit.csv", media_type="text/csv; charset=utf-8")


def as_lines(service: Service, wanted: Asked) -> Response:
    """All entries, a JSON object a line; the last says where the log ends, and what is wrong."""
    return _file(_lines(service, wanted), "audit.jsonl", media_type="application/jsonl")


def in_words(entry: AuditEntry) -> str:
    """What an entry's counts and settings say, as a person would; "" where they say nothing."""
    told = _WORDS.get(entry.verb)
    if told is not None:
        return told(entry.details)
    kept = {name: value for name, value in entry.details.items() if value not in ([], {}, None)}
    return "; ".join(f"{name}: {value}" for name, value in kept.items())


def row_of(entry: AuditEntry) -> dict[str, str]:
    """An entry as a row of `COLUMNS`."""
    values = (
        str(entry.seq),
        entry.at[:19].replace("T", " "),
        entry.who,
        entry.verb,
        ", ".join(entry.cases),
        (entry.encoder or "")[:12],
        str(entry.version),
        in_words(entry),
    )
    return dict(zip(COLUMNS, values, strict=True))


# --- in words

_FIELDS = {
    "age_approx": "age",
    "anatom_site_general": "site",
    "diagnosis_1": "class",
    "diagnosis_confirm_type": "confirmation",
    "fitzpatrick_skin_type": "skin type",
    "copyright_license": "licence",
}


def _many(count: object, one: str, many: str = "") -> str:
    if count == "all":
        return f"all {many or one + 's'}"
    number = count if isinstance(count, int) else 0
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _find(details: Mapping[str, Any]) -> str:
    fields = [_FIELDS.get(each, each.replace("_", " ")) for each in details.get("filter", [])]
    parts = (
        f"{_many(details.get('cases'), 'case')} of {details.get('eligible', 0):,} eligible",
        f"filtered by {', '.join(fields)}" if fields else "",
        *_steered(details),
    )
    return "; ".join(each for each in parts if each)


def _steered(details: Mapping[str, Any]) -> Iterator[str]:
    if details.get("region"):
        yield "by a part of the picture"
    if count := details.get("liked"):
        yield f"{_many(count, 'case')} marked as like it"
    if count := details.get("unliked"):
        yield f"{_many(count, 'case')} marked as not like it"


def _look(details: Mapping[str, Any]) -> str:
    cases = _many(details.get("cases"), "case")
    return f"the map of {cases}" if details.get("map") else cases


def _forget(details: Mapping[str, Any]) -> str:
    cases, images = (_many(details.get(f"{each}s"), each) for each in ("case", "image"))
    return f"a {details.get('by')}: {cases}, {images}"


def _map(details: Mapping[str, Any]) -> str:
    count = details.get("placed")
    if details.get("anew"):
        return f"drawn anew with {_many(count, 'case')}"
    return f"{_many(count, 'new case')} placed"


def _user(details: Mapping[str, Any]) -> str:
    token = f"token {details['token']} of " if "token" in details else ""
    role = f", {details['role']}" if "role" in details else ""
    known = f", known to another server as {details['openid']}" if details.get("openid") else ""
    return f"{token}{details.get('user')}{role}{known}"


def _cases(details: Mapping[str, Any]) -> str:
    return _many(details.get("cases"), "case")


def _nothing(details: Mapping[str, Any]) -> str:
    del details
    return ""


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "add": _cases,
    "audit": lambda details: _many(details.get("entries"), "entry", "entries"),
    "backup": _cases,
    "compare": lambda details: "; ".join(_steered(details)),
    "export": _cases,
    "find": _find,
    "forget": _forget,
    "hold": _nothing,
    "lift": _nothing,
    "look": _look,
    "map": _map,
    "reencode": lambda details: (
        f"{_cases(details)}; {_many(details.get('made'), 'code')} made in the last run"
    ),
    **dict.fromkeys(
        (
            "sign in",
            "sign out",
            "token add",
            "token remove",
            "user add",
            "user locked",
            "user openid",
            "user password",
            "user remove",
            "user role",
        ),
        _user,
    ),
}

VERBS = tuple(_WORDS)
"""What entries are of; by the alphabet."""


# --- as a file


def _file(parts: Iterator[str], name: str, *, media_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=media_type, headers=headers)


def _csv(service: Service, wanted: Asked) -> Iterator[str]:
    with service.casebook.reading() as connection:
        head = auditing.head(connection)
    yield _written([COLUMNS])
    for part in extract.in_parts(service.casebook, wanted, until=head):
        yield _written(row_of(entry).values() for entry in part)
    yield _written([(), ("end of the log", str(head), *_broken(service))])


def _lines(service: Service, wanted: Asked) -> Iterator[str]:
    with service.casebook.reading() as connection:
        head = auditing.head(connection)
    for part in extract.in_parts(service.casebook, wanted, until=head):
        yield "".join(_line(asdict(entry)) for entry in part)
    yield _line({"head": asdict(head), "broken": _broken(service)})


def _broken(service: Service) -> list[str]:
    with service.casebook.reading() as connection:
        return list(auditing.broken(connection))


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _written(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue()


def _plain(value: str) -> str:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
