"""`check`: clean when all holds; each broken invariant named."""

import shutil
from pathlib import Path

import pytest
from small_casebooks import change, make_cases, write_dataset

from dermtwin.errors import CasebookError
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check


@pytest.fixture(scope="module")
def made(tmp_path_factory, encoder_file) -> Path:
    folder = tmp_path_factory.mktemp("made")
    data = write_dataset(folder / "data", make_cases(6))
    add(data, casebook=folder / "book", encoder=encoder_file)
    return folder / "book"


@pytest.fixture
def book(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "book")


def test_a_whole_casebook_is_clean_and_counted(book) -> None:
    report = check(casebook=book)
    assert report.is_clean
    assert report.counts["cases"] == report.counts["images"] == report.counts["codes"] == 6
    assert report.counts["unfinished"] == 0
    assert report.counts["image_bytes"] == sum(
        path.stat().st_size for path in (book / "images").rglob("*.jpg")
    )
    assert "6 cases" in str(report)
    assert "all is well" in str(report)


def first_image(book) -> Path:
    return min((book / "images").rglob("*.jpg"))


def delete_image(book) -> None:
    first_image(book).unlink()


def alter_image(book) -> None:
    first_image(book).write_bytes(first_image(book).read_bytes()[:-1] + b"x")


def stray_image(book) -> None:
    shutil.copy(first_image(book), book / "images/ab.jpg")


def stray_part(book) -> None:
    (book / "images/.ab.jpg.nobody-0.part").write_bytes(b"half")


def delete_encoder(book) -> None:
    next((book / "encoders").iterdir()).unlink()


def alter_encoder(book) -> None:
    path = next((book / "encoders").iterdir())
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (delete_image, ".jpg cannot be read: no such file"),
        (alter_image, ".jpg was altered"),
        (stray_image, "images/ab.jpg belongs to no row"),
        (stray_part, "images/.ab.jpg.nobody-0.part belongs to no row"),
        (delete_encoder, ".onnx cannot be read"),
        (alter_encoder, ".onnx was altered"),
    ],
)
def test_spoilt_files_are_named(book, spoil, words) -> None:
    spoil(book)
    (problem,) = check(casebook=book).problems
    assert words in problem


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM codes WHERE case_key = 2", "ISIC_0000001 has no code by small"),
        ("UPDATE codes SET vector = x'00' WHERE case_key = 2", "code of case ISIC_0000001 has 1"),
        (
            f"UPDATE codes SET vector = x'{'0' * 12}c07f{'0' * 24}' WHERE case_key = 2",
            "ISIC_0000001 holds a value that is not a finite number",
        ),
        ("UPDATE codes SET encoder_key = 7 WHERE case_key = 2", "refers to a row of encoders"),
        ("UPDATE cases SET image_key = 99 WHERE key = 2", "refers to a row of images"),
        ("UPDATE cases SET lesion_key = 99 WHERE key = 2", "refers to a row of lesions"),
        ("INSERT INTO lesions (lesion_id) VALUES ('alone')", "alone stands in lesions"),
        ("INSERT INTO patients (patient_id) VALUES ('alone')", "alone stands in patients"),
        ("UPDATE encoders SET is_current = 0", "0 encoders are marked"),
        (
            "DELETE FROM changes WHERE case_key = 2",
            "ISIC_0000001 is missing in the list of changes",
        ),
        (
            "UPDATE cases SET patient_key = 2 WHERE key = 3",
            "belongs to 2 patients",
        ),
    ],
)
def test_spoilt_rows_are_named(book, statement, words) -> None:
    change(book, "INSERT INTO patients (patient_id) VALUES ('second')", statement)
    assert [problem for problem in check(casebook=book).problems if words in problem]


def test_a_damaged_database_is_told(book) -> None:
    path = book / "casebook.sqlite"
    data = bytearray(path.read_bytes())
    data[4096 * 6 :] = bytes(byte ^ 0xFF for byte in data[4096 * 6 :])
    path.write_bytes(data)
    try:
        problems = check(casebook=book).problems
    except CasebookError as error:
        problems = (str(error),)
    assert [problem for problem in problems if "damaged" in problem]


def test_what_an_interrupted_writer_left_is_settled_and_no_fault(book) -> None:
    left = book / "images/aa" / ("aa" + "0" * 62 + ".jpg")
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"written, no row yet")
    part = left.with_name(f".{left.name}.gone-3.part")
    part.write_bytes(b"half written")
    kept = first_image(book).relative_to(book).as_posix()
    change(
        book,
        f"INSERT INTO unsettled VALUES ('images/aa/{left.name}', 'gone')",
        f"INSERT INTO unsettled VALUES ('{kept}', 'gone')",
        "INSERT INTO unsettled VALUES ('images/bb/never-written.jpg', 'gone')",
    )
    report = check(casebook=book)
    assert (report.problems, report.counts["unfinished"]) == ((), 0)
    assert not left.exists()
    assert not part.exists()
    assert (book / kept).exists()
