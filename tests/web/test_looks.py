"""Looks of several workers: entered once for each person and case, never not at all."""

from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import update

from dermtwin.casebook import auditing
from dermtwin.casebook.schema import AUDIT
from dermtwin.verbs.audit import audit
from dermtwin.web.looks import Looks


def looks(clinic) -> list[tuple[str, int]]:
    entries = audit(casebook=clinic.book).entries
    return [(each.who, each.details["cases"]) for each in entries if each.verb == "look"]


def test_another_workers_entry_is_not_made_again(clinic) -> None:
    names = sorted(each.case.isic_id for each in clinic.casebook.all_records())
    one, other, third = (Looks(clinic.casebook) for _ in range(3))
    one.note(names[:3], who="dora")
    other.note(names[:3], who="dora")
    assert looks(clinic) == [("dora", 3)]
    other.note(names[:5], who="dora")  # of which two are new to it
    assert looks(clinic) == [("dora", 3), ("dora", 2)]
    other.note(names[:1], who="max")
    assert looks(clinic)[2:] == [("max", 1)]
    earlier = datetime.now(UTC) - timedelta(minutes=11)
    with clinic.casebook.writing() as connection:
        connection.execute(update(AUDIT).values(at=earlier.isoformat(timespec="seconds")))
    third.note(names[:1], who="dora")
    assert looks(clinic)[3:] == [("dora", 1)]


def test_what_a_search_showed_is_known_to_every_worker(clinic, drawn) -> None:
    data = min(drawn.rglob("*.jpg")).read_bytes()
    hits = clinic.client().post("/api/v1/search", files={"image": data}).json()
    Looks(clinic.casebook).note([each["isic_id"] for each in hits["hits"]], who=auditing.user())
    assert looks(clinic) == []


def test_hits_that_could_not_be_entered_are_entered_at_the_next_look(clinic, drawn, caplog) -> None:
    data = min(drawn.rglob("*.jpg")).read_bytes()
    # A database that refuses every entry, as one on a read-only disk does.
    refusal = "SELECT RAISE(ABORT, 'attempt to write a readonly database')"
    with clinic.casebook.writing() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER no_entry BEFORE INSERT ON audit BEGIN {refusal}; END"
        )
    client = clinic.client()
    answer = client.post("/api/v1/search", files={"image": data}).json()
    names = [each["isic_id"] for each in answer["hits"]]
    compared = client.post("/api/v1/compare", files={"image": data}, data={"with": names[0]}).json()
    for told in (answer, compared):
        assert told["remarks"][-1] == "This look could not be entered in the audit log."
        assert str(clinic.book) not in str(told)
    assert f"the casebook {clinic.book} " in caplog.text
    assert looks(clinic) == []
    with clinic.casebook.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER no_entry")
    for name in names[:2]:
        client.get(f"/api/v1/cases/{name}/thumbnail")
    assert looks(clinic) == [(auditing.user(), 1)] * 2


def test_seen_lately_is_what_the_entries_say(clinic) -> None:
    names = sorted(each.case.isic_id for each in clinic.casebook.all_records())
    drawn = np.random.default_rng(0)
    expected = {who: set() for who in ("dora", "max")}
    for verb in ("look", "find", "add", "compare", "look"):
        for who in expected:
            some = drawn.choice(names, 4, replace=False).tolist()
            with clinic.casebook.writing() as connection:
                keys = auditing.keys_of(connection, some)
                auditing.note(connection, verb=verb, who=who, cases=keys)
            if verb != "add":
                expected[who] |= set(some)
    since = datetime.now(UTC) - timedelta(minutes=1)
    with clinic.casebook.reading() as connection:
        for who, some in expected.items():
            assert auditing.seen_lately(connection, names, who=who, since=since) == some
        assert not auditing.seen_lately(connection, ["nobody"], who="dora", since=since)
