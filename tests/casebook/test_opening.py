"""Opening: what is a casebook, what is none, what is too new, what is brought up to date."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from small_casebooks import all_entries, contents, make_cases, picture_of, state, write_dataset
from sqlalchemy import inspect, select

from dermtwin.casebook import Casebook, migrations
from dermtwin.casebook.schema import CASES, METADATA, PATIENTS
from dermtwin.casebook.store import encoder_path, image_path
from dermtwin.errors import CasebookError
from dermtwin.images import digest
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.verbs.find import find
from dermtwin.verbs.forget import forget
from dermtwin.vocabulary import Case


@pytest.fixture
def book(tmp_path, dataset, encoder_file) -> Path:
    add(dataset, casebook=tmp_path / "book", encoder=encoder_file)
    return tmp_path / "book"


def verbs_on(book, query) -> tuple[Callable[[], object], ...]:
    return (
        lambda: find(query, casebook=book),
        lambda: check(casebook=book),
        lambda: forget(casebook=book, case="ISIC_0000001"),
    )


def test_the_record_is_kept_as_carefully_as_promised(book) -> None:
    with Casebook.open(book) as opened:
        for engine in (opened.database.reading, opened.database.writing):
            with engine.connect() as connection:
                settings = {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
                }
            assert settings == {
                "journal_mode": "wal",
                "synchronous": 2,
                "secure_delete": 1,
                "foreign_keys": 1,
            }


def test_the_migrations_make_what_the_queries_speak_of(place) -> None:
    with Casebook.open_or_make(place) as opened, opened.reading() as connection:
        made = inspect(connection)
        assert set(made.get_table_names()) - {"sqlite_sequence"} == set(METADATA.tables)
        for name, table in METADATA.tables.items():
            columns = {each["name"]: each for each in made.get_columns(name)}
            assert list(columns) == [column.name for column in table.columns]
            for column in table.columns:
                there = columns[column.name]
                type_ = column.type.dialect_impl(connection.dialect)
                assert there["type"]._type_affinity is type_._type_affinity, column
                assert column.primary_key or there["nullable"] is column.nullable, column
            foreign = {
                (
                    key["constrained_columns"][0],
                    f"{key['referred_table']}.{key['referred_columns'][0]}",
                )
                for key in made.get_foreign_keys(name)
            }
            assert foreign == {(key.parent.name, key.target_fullname) for key in table.foreign_keys}


def test_an_empty_record_is_brought_to_the_newest_shape_once(place) -> None:
    with Casebook.open_or_make(place) as opened:
        with opened.reading() as connection:
            assert migrations.applied(connection) == set(migrations.STEPS)
            assert migrations.pending(connection, where="here") == []
        assert list(migrations.migrate(opened.database.writing, where="here")) == []
    assert check(casebook=place).problems == ()


def test_an_older_casebook_is_brought_up_by_itself(book, dataset, monkeypatch) -> None:
    before = contents(book)

    def add_notes(connection) -> None:
        connection.exec_driver_sql("CREATE TABLE notes (text TEXT)")

    steps = {**migrations.STEPS, "0009-notes": add_notes}
    monkeypatch.setattr(migrations, "STEPS", steps)
    assert find(min(dataset.glob("*.jpg")), casebook=book).hits
    with Casebook.open(book) as opened, opened.reading() as connection:
        assert migrations.applied(connection) == set(steps)
        assert inspect(connection).has_table("notes")
    assert contents(book) == before


def test_a_step_that_fails_leaves_nothing_behind(book, monkeypatch) -> None:
    def half(connection) -> None:
        connection.exec_driver_sql("CREATE TABLE notes (text TEXT)")
        connection.exec_driver_sql("DROP TABLE cases_that_are_not_there")

    before = contents(book)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", {**migrations.STEPS, "0002-half": half})
        with pytest.raises(CasebookError):
            Casebook.open(book)
    with Casebook.open(book) as opened, opened.reading() as connection:
        assert not inspect(connection).has_table("notes")
    assert contents(book) == before


def first_casebook(book, encoder, cases, monkeypatch) -> None:
    """A casebook as the first release left it: cases, codes and images, none of what came later."""
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", {"0001-record": migrations.STEPS["0001-record"]})
        Casebook.open_or_make(book).close()
    (book / encoder_path(encoder.id)).write_bytes(encoder.data)
    connection = sqlite3.connect(book / "casebook.sqlite")
    connection.execute(
        "INSERT INTO encoders (id, card, is_current) VALUES (?, ?, TRUE)",
        (encoder.id, encoder.card.to_json()),
    )
    for case in cases:
        data = picture_of(case)
        image = book / image_path(digest(data), format="JPEG")
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(data)
        vector = encoder.encode(data, name=case.isic_id).vectors()[0].tobytes()
        for statement, values in (
            ("INSERT OR IGNORE INTO lesions (lesion_id) VALUES (?)", (case.lesion_id,)),
            ("INSERT OR IGNORE INTO patients (patient_id) VALUES (?)", (case.patient_id,)),
            (
                "INSERT INTO images (sha256, format, width, height, bytes) VALUES (?, ?, ?, ?, ?)",
                (digest(data), "JPEG", 48, 36, len(data)),
            ),
            (
                """
                INSERT INTO cases (isic_id, image_key, lesion_key, patient_key, sex, extra)
                SELECT ?, max(images.key), l.key, p.key, ?, '{}' FROM images, lesions l, patients p
                WHERE l.lesion_id = ? AND p.patient_id = ?
                """,
                (case.isic_id, case.sex, case.lesion_id, case.patient_id),
            ),
            ("INSERT INTO codes SELECT max(cases.key), 1, ? FROM cases", (vector,)),
            ("INSERT INTO changes (case_key, kind) SELECT max(key), 'added' FROM cases", ()),
        ):
            connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_a_casebook_of_the_first_shape_is_brought_up_with_its_cases(
    tmp_path, encoder, monkeypatch
) -> None:
    cases = [
        Case(isic_id=f"ISIC_{n:07d}", lesion_id=f"L{n // 2}", patient_id="P", sex="male")
        for n in range(5)
    ]
    book = tmp_path / "book"
    first_casebook(book, encoder, cases, monkeypatch)
    assert contents(book) == {case.isic_id: case for case in cases}
    with Casebook.open(book) as opened, opened.reading() as connection:
        assert migrations.applied(connection) == set(migrations.STEPS)
        for table, count in ((CASES, 5), (PATIENTS, 1)):
            keys = connection.scalars(select(table.c.audit_key)).all()
            assert len({*keys}) == len(keys) == count
            assert {len(key) for key in keys} == {16}
        assert all_entries(opened).bits is None
    query = tmp_path / "query.jpg"
    query.write_bytes(picture_of(cases[0]))
    assert {hit.case.isic_id for hit in find(query, casebook=book).hits} == set()
    assert add(write_dataset(tmp_path / "data", make_cases(3, start=70)), casebook=book).added == 3


def test_a_newer_casebook_is_refused(book, dataset, encoder_file) -> None:
    connection = sqlite3.connect(book / "casebook.sqlite")
    connection.execute("INSERT INTO migrations VALUES ('0009-later', '2099-01-01')")
    connection.commit()
    connection.close()
    before = state(book)
    query = min(dataset.glob("*.jpg"))
    for verb in (
        *verbs_on(book, query),
        lambda: add(dataset, casebook=book),
        lambda: add(dataset, casebook=book, encoder=encoder_file),
    ):
        with pytest.raises(CasebookError, match=r"newer dermtwin .*0009-later"):
            verb()
    assert state(book) == before


def test_a_folder_that_is_no_casebook_is_never_made_one(tmp_path, dataset) -> None:
    data = shutil.copytree(dataset, tmp_path / "data")
    query = min(data.glob("*.jpg"))
    before = sorted(data.iterdir())
    for folder in (data, tmp_path / "absent", query):
        for verb in verbs_on(folder, query):
            with pytest.raises(CasebookError, match="there is no casebook at"):
                verb()
    assert sorted(data.iterdir()) == before
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["images", "thumbnails", "encoders"])
def test_a_folder_with_files_of_somebody_else_is_never_made_a_casebook(
    tmp_path, dataset, encoder_file, name
) -> None:
    mine = tmp_path / "photos" / name / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"the only one")
    with pytest.raises(CasebookError, match=f"is no casebook and is not empty .*{name}/mine.jpg"):
        add(dataset, casebook=tmp_path / "photos", encoder=encoder_file)
    assert [each for each in (tmp_path / "photos").rglob("*") if each.is_file()] == [mine]
    mine.unlink()  # what an `add` leaves that was killed at its very beginning
    assert add(dataset, casebook=tmp_path / "photos", encoder=encoder_file).added == 40


def test_a_casebook_whose_record_was_lost_is_not_made_anew(book, dataset, encoder_file) -> None:
    (book / "casebook.sqlite").unlink()
    before = state(book)
    with pytest.raises(CasebookError, match="is no casebook and is not empty"):
        add(dataset, casebook=book, encoder=encoder_file)
    assert state(book) == before


@pytest.mark.parametrize("kind", ["text", "another database", "empty"])
def test_a_file_of_that_name_is_not_enough(tmp_path, dataset, encoder_file, kind) -> None:
    file = tmp_path / "casebook.sqlite"
    if kind == "text":
        file.write_text("I am a text file, and I am long enough to be read as a header. " * 20)
    elif kind == "another database":
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()
        connection.close()
    else:
        file.touch()
    before = file.read_bytes()
    for verb in verbs_on(tmp_path, min(dataset.glob("*.jpg"))):
        with pytest.raises(CasebookError, match="no casebook"):
            verb()
    assert file.read_bytes() == before
    if kind == "empty":  # what an `add` leaves that was killed at its very beginning
        assert add(dataset, casebook=tmp_path, encoder=encoder_file).added == 40
    else:
        with pytest.raises(CasebookError, match="no casebook"):
            add(dataset, casebook=tmp_path, encoder=encoder_file)
        assert file.read_bytes() == before


def test_a_casebook_without_cases_says_what_to_do(tmp_path, dataset) -> None:
    Casebook.open_or_make(tmp_path / "book").close()
    with pytest.raises(CasebookError, match="no case and no encoder yet"):
        find(min(dataset.glob("*.jpg")), casebook=tmp_path / "book")


def test_a_path_with_odd_characters(tmp_path, encoder_file) -> None:
    book = tmp_path / "a b?c#d%20e&ü"
    data = write_dataset(tmp_path / "data", make_cases(3))
    add(data, casebook=book, encoder=encoder_file)
    assert len(contents(book)) == 3
    names = sorted(path.name for path in book.iterdir())
    assert names == ["casebook.sqlite", "encoders", "images", "thumbnails"]
