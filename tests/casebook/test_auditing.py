"""The audit log: who looked at or changed whom; whole, and naming nobody who was forgotten."""

import hashlib
import hmac
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_casebooks import contents, make_cases, picture_of, write_dataset
from sqlalchemy import delete, insert, select, update

from dermtwin.casebook import Casebook, HeldError, auditing
from dermtwin.casebook.schema import AUDIT, AUDIT_SUBJECTS, CASES, METADATA, PATIENTS
from dermtwin.consultation import Consultation
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.verbs.add import add
from dermtwin.verbs.audit import audit
from dermtwin.verbs.backup import backup
from dermtwin.verbs.check import check
from dermtwin.verbs.find import find
from dermtwin.verbs.forget import forget
from dermtwin.verbs.hold import hold


@pytest.fixture
def query(tmp_path) -> Path:
    path = tmp_path / "query.jpg"
    path.write_bytes(picture_of(make_cases(1, start=900)[0]))
    return path


def test_the_extract_of_a_patient_is_complete(
    place, dataset, encoder_file, query, monkeypatch
) -> None:
    monkeypatch.setenv("DERMTWIN_USER", "anna")
    add(dataset, casebook=place, encoder=encoder_file)
    cases = contents(place)
    lesions = {case.lesion_id for case in cases.values() if case.patient_id == "IP_0000002"}
    theirs = {name for name, case in cases.items() if case.lesion_id in lesions}
    monkeypatch.setenv("DERMTWIN_USER", "bert")
    came_back = []
    for where in ((), ("sex=female", "age_approx=40..60"), ("sex=male",), ("patient_id=?",)):
        answer = find(query, casebook=place, k=9, where=where, every_image=True)
        came_back.append({hit.case.isic_id for hit in answer.hits})
    hold(casebook=place, patient="IP_0000002", why="court", who="carl")
    hold(casebook=place, patient="IP_0000002", lift=True, who="carl")
    hold(casebook=place, patient="IP_0000001", why="another", who="carl")
    backup(query.parent / "all.backup", casebook=place)
    altered = cases["ISIC_0000012"]
    changed = write_dataset(
        query.parent / "changed", [replace(altered, sex="female", age_approx=85)]
    )
    add(changed, casebook=place, update=True)
    forget(casebook=place, case="ISIC_0000017", who="dora")

    found = audit(casebook=place, patient="IP_0000002")
    told = [(entry.who, entry.verb, set(entry.cases)) for entry in found.entries]
    left = theirs - {"ISIC_0000017"}
    # Whoever is forgotten is named no more: neither in older entries.
    looks = [
        ("bert", "find", theirs & back - {"ISIC_0000017"}) for back in came_back if theirs & back
    ]
    assert told == [
        ("anna", "add", left),
        *looks,
        ("carl", "hold", set()),
        ("carl", "lift", set()),
        ("bert", "backup", set()),
        ("bert", "add", {altered.isic_id}),
        ("dora", "forget", set()),
    ]
    assert found.broken == ()
    filtered = [entry for entry in audit(casebook=place).entries if entry.details.get("filter")]
    assert [entry.details["filter"] for entry in filtered] == [
        ["age_approx", "sex"],
        ["sex"],
        ["patient_id"],
    ]
    assert all(entry.encoder and entry.version for entry in filtered)
    one = audit(casebook=place, case=min(left))
    assert {entry.seq for entry in one.entries} <= {entry.seq for entry in found.entries}
    assert [entry.verb for entry in audit(casebook=place, user="dora").entries] == ["forget"]
    last = found.entries[-1].at
    assert audit(casebook=place, since=last).entries
    assert audit(casebook=place, until=last[:10]).entries
    assert not audit(casebook=place, since="2999-01-01").entries
    assert audit(casebook=place, expect=str(found.head)).head == found.head
    for wrong in ({"patient": "nobody"}, {"case": "nobody"}, {"expect": "3:" + "0" * 64}):
        with pytest.raises(CasebookError):
            audit(casebook=place, **wrong)
    for odd in (
        {"since": "yesterday"},
        {"since": "0001-01-01T00:00+23:00"},
        {"until": "9999-12-31"},
    ):
        with pytest.raises(SettingsError, match="no date"):
            audit(casebook=place, **odd)
    assert check(casebook=place).problems == ()


def test_nobody_who_was_forgotten_can_be_named(tmp_path, place, encoder_file, query) -> None:
    """Even who has every column, and the log of before, cannot tell who an entry speaks of."""
    cases = make_cases(30)
    add(write_dataset(tmp_path / "data", cases), casebook=place, encoder=encoder_file)
    find(query, casebook=place, k=30, every_image=True)
    names = {"IP_0000001", *(each.isic_id for each in cases if each.patient_id == "IP_0000001")}
    with Casebook.open(place) as opened, opened.reading() as connection:
        kept = [
            *connection.execute(select(PATIENTS.c.patient_id, PATIENTS.c.audit_key)),
            *connection.execute(select(CASES.c.isic_id, CASES.c.audit_key)),
        ]
    before = {name: bytes(key) for name, key in kept}
    forget(casebook=place, patient="IP_0000001")
    with Casebook.open(place) as opened, opened.reading() as connection:
        everything = [
            bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
            for table in METADATA.sorted_tables
            for row in connection.execute(select(table))
            for value in row
            if value is not None
        ]
        subjects = {
            bytes(value)[at : at + 16]
            for value in connection.scalars(select(AUDIT_SUBJECTS.c.subject))
            for at in range(0, len(value), 16)
        }
        assert list(auditing.broken(connection)) == []
    # With its key each is named; with everything that is left, nobody.
    assert {auditing.subject(before[name], name) for name in names} <= subjects
    for name in names:
        assert not [
            value for value in everything if name.encode() in value or before[name] in value
        ]
        tried = {hmac.digest(key, name.encode(), "sha256")[:16] for key in everything}
        tried |= {hashlib.sha256(name.encode() + key).digest()[:16] for key in everything}
        assert not tried & subjects
    with pytest.raises(CasebookError, match="cannot say who it was"):
        audit(casebook=place, patient="IP_0000001")


@pytest.fixture(scope="module")
def logged(tmp_path_factory, dataset, encoder_file) -> Path:
    """A casebook with a log of several entries, one of them with many names."""
    folder = tmp_path_factory.mktemp("logged")
    add(dataset, casebook=folder / "book", encoder=encoder_file)
    path = folder / "query.jpg"
    path.write_bytes(picture_of(make_cases(1, start=900)[0]))
    for k in (1, 3, 40):
        find(path, casebook=folder / "book", k=k)
    return folder / "book"


def broken_after(book, change) -> list[str]:
    """What the chain says after a change; the change is taken back."""
    with Casebook.open(book) as opened, opened.database.writing.connect() as connection:
        transaction = connection.begin()
        change(connection)
        told = list(auditing.broken(connection))
        transaction.rollback()
    return told


@given(st.data())
@settings(max_examples=60)
def test_every_alteration_of_the_log_is_seen(logged, data) -> None:
    with Casebook.open(logged) as opened, opened.reading() as connection:
        rows = connection.execute(select(AUDIT).order_by(AUDIT.c.seq)).all()
        names = connection.execute(select(AUDIT_SUBJECTS)).all()
        assert list(auditing.broken(connection)) == []
    row = data.draw(st.sampled_from(rows))
    name = data.draw(st.sampled_from(names))
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
    values = {
        "at": text,
        "who": text,
        "verb": text,
        "encoder": st.none() | text,
        "version": st.integers(0, 2**40),
        "details": text,
        "chain": st.binary(min_size=32, max_size=32),
    }
    field = data.draw(st.sampled_from(sorted(values)))
    value = data.draw(values[field].filter(lambda each: each != getattr(row, field)))

    def alter(connection) -> None:
        connection.execute(update(AUDIT).where(AUDIT.c.seq == row.seq).values({field: value}))

    def cut(connection) -> None:
        """One entry, or all from there on: the last one too."""
        gone = AUDIT.c.seq >= row.seq if data.draw(st.booleans()) else AUDIT.c.seq == row.seq
        seqs = connection.scalars(select(AUDIT.c.seq).where(gone)).all()
        connection.execute(delete(AUDIT_SUBJECTS).where(AUDIT_SUBJECTS.c.seq.in_(seqs)))
        connection.execute(delete(AUDIT).where(gone))

    def unname(connection) -> None:
        connection.execute(delete(AUDIT_SUBJECTS).where(AUDIT_SUBJECTS.c.subject == name.subject))

    def rename(connection) -> None:
        connection.execute(insert(AUDIT_SUBJECTS).values(subject=bytes(16), seq=row.seq))

    change = data.draw(st.sampled_from([alter, cut, unname, rename]))
    assert broken_after(logged, change)


def test_entries_with_many_names_are_found_by_each(logged) -> None:
    cases = contents(logged)
    for name in cases:
        entries = audit(casebook=logged, case=name).entries
        assert entries[0].verb == "add"
        assert entries[0].cases == (name,)


def test_a_hold_refuses_every_erasure_that_touches_the_patient(
    tmp_path, dataset, encoder_file
) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    held = hold(casebook=book, patient="IP_0000000", why="court order 12/34")
    assert [(each.patient_id, each.why) for each in held] == [("IP_0000000", "court order 12/34")]
    before = contents(book)
    with Casebook.open(book) as opened:
        sha256 = opened.records(["ISIC_0000001"])["ISIC_0000001"].sha256
    touching = (
        {"patient": "IP_0000000"},
        {"lesion": "IL_0000000"},
        {"case": "ISIC_0000001"},
        {"image": sha256},
        {"image": dataset / "ISIC_0000001.jpg"},
        {"lesion": "IL_0000001"},  # another lesion of the same patient
    )
    for names in touching:
        assert forget(casebook=book, **names, dry_run=True).held == held
        with pytest.raises(HeldError, match=r"a hold forbids this.*IP_0000000: court order 12/34"):
            forget(casebook=book, **names)
    moved = replace(before["ISIC_0000001"], patient_id="IP_9999999", lesion_id=None)
    report = add(write_dataset(tmp_path / "moved", [moved]), casebook=book, update=True)
    assert "a hold stands on patient IP_0000000" in report.faults[0].message
    assert contents(book) == before
    assert forget(casebook=book, patient="IP_0000003").cases
    assert hold(casebook=book, patient="IP_0000000", lift=True) == ()
    assert forget(casebook=book, **touching[0]).is_gone
    assert check(casebook=book).problems == ()


def test_holds_say_what_is_wrong(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    with pytest.raises(CasebookError, match="no patient nobody"):
        hold(casebook=book, patient="nobody", why="court")
    with pytest.raises(CasebookError, match="not held"):
        hold(casebook=book, patient="IP_0000000", lift=True)
    for wrong in ({"patient": "IP_0000000"}, {"why": "court"}, {"lift": True}):
        with pytest.raises(SettingsError):
            hold(casebook=book, **wrong)
    assert hold(casebook=book) == ()


def test_an_entry_needs_no_user_of_the_system(monkeypatch) -> None:
    monkeypatch.setattr(auditing.getpass, "getuser", lambda: {}["no such user"])
    monkeypatch.delenv("DERMTWIN_USER", raising=False)
    assert auditing.user() == "unknown"


def test_a_casebook_that_cannot_be_written_answers_and_says_so(
    tmp_path, dataset, encoder_file, query
) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    before = find(query, casebook=book)
    assert not [each for each in before.remarks if "audit" in each]
    # A database that refuses every entry, as one on a read-only disk does.
    refusal = "SELECT RAISE(ABORT, 'attempt to write a readonly database')"
    with Casebook.open(book) as opened, opened.writing() as connection:
        length = auditing.head(connection).entries
        connection.exec_driver_sql(
            f"CREATE TRIGGER no_entry BEFORE INSERT ON audit BEGIN {refusal}; END"
        )
    answer = find(query, casebook=book)
    assert [found.hit for found in answer.hits] == [found.hit for found in before.hits]
    assert "could not be entered in the audit log" in answer.remarks[-1]
    with Casebook.open(book) as opened, opened.reading() as connection:
        assert auditing.head(connection).entries == length


def test_a_clock_set_back_changes_nothing(place, dataset, encoder_file, query, monkeypatch) -> None:
    """Order is by number: nothing is lost, passed over or called altered."""
    later = write_dataset(query.parent / "later", make_cases(3, start=500))
    add(dataset, casebook=place, encoder=encoder_file)
    with Casebook.open(place) as opened:
        consultation = Consultation(opened)
        consultation.refresh()

        class Back(datetime):
            @classmethod
            def now(cls, tz=None) -> datetime:
                return datetime(1999, 1, 1, tzinfo=tz)

        monkeypatch.setattr(auditing, "datetime", Back)
        add(later, casebook=place)
        names = {hit.case.isic_id for hit in consultation.ask(
            query.read_bytes(), name="query", k=99, every_image=True
        ).hits}  # fmt: skip
    assert {"ISIC_0000500", "ISIC_0000501", "ISIC_0000502"} <= names
    assert [entry.at[:4] for entry in audit(casebook=place).entries[-2:]] == ["1999", "1999"]
    forget(casebook=place, case="ISIC_0000500")
    report = check(casebook=place)
    assert report.problems == ()
    assert report.counts["cases"] == len(names) - 1
