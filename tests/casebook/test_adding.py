"""`add`: what goes in, what is told, and that a second time changes nothing."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from small_casebooks import (
    Process,
    contents,
    make_cases,
    make_encoder,
    picture,
    state,
    write_dataset,
)

from dermtwin.casebook import Casebook
from dermtwin.errors import CasebookError, DatasetError, EncoderError
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check


@pytest.fixture
def cases() -> list:
    return make_cases(12)


@pytest.fixture
def folder(tmp_path, cases) -> Path:
    return write_dataset(tmp_path / "data", cases)


@pytest.fixture
def book(tmp_path) -> Path:
    return tmp_path / "book"


def line_of(cases, case) -> int:
    return 2 + [each.isic_id for each in cases].index(case.isic_id)


def test_every_case_goes_in_as_it_stands_in_the_table(folder, book, encoder_file) -> None:
    cases = [
        replace(each, attribution="Ä “clinic”, №1", extra={"image_manipulation": "synthetic"})
        for each in make_cases(12)
    ]
    write_dataset(folder, cases)
    report = add(folder, casebook=book, encoder=encoder_file)
    assert (report.added, report.faults, report.differing) == (12, (), 0)
    held = contents(book)
    assert list(held) == [case.isic_id for case in cases]
    for case in cases:
        assert held[case.isic_id] == replace(case, extra=held[case.isic_id].extra)
        assert held[case.isic_id].is_drawn
    with Casebook.open(book) as opened:
        for case in cases:
            assert opened.image(case.isic_id) == (folder / f"{case.isic_id}.jpg").read_bytes()
        assert opened.records(["absent"]) == {}
        with pytest.raises(CasebookError, match="holds no case absent"):
            opened.image("absent")
    assert check(casebook=book).problems == ()


def test_adding_twice_changes_nothing(folder, book, encoder_file) -> None:
    add(folder, casebook=book, encoder=encoder_file)
    with Casebook.open(book) as opened:
        version = opened.version()
    before = state(book)
    for encoder in (None, encoder_file):
        report = add(folder, casebook=book, encoder=encoder)
        assert (report.added, report.already_there, report.updated) == (0, 12, 0)
    assert state(book) == before
    with Casebook.open(book) as opened:
        assert opened.version() == version


def test_a_casebook_is_whole_by_itself(folder, book, tmp_path, encoder_file) -> None:
    own = shutil.copy(encoder_file, tmp_path / "own.onnx")
    add(folder, casebook=book, encoder=own)
    own.unlink()
    before = contents(book)
    shutil.rmtree(folder)
    shutil.move(book, tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == before
    more = write_dataset(tmp_path / "more", make_cases(3, start=50))
    assert add(more, casebook=tmp_path / "elsewhere").added == 3


def test_other_values_are_told_with_line_and_fields(folder, book, cases, encoder_file) -> None:
    add(folder, casebook=book, encoder=encoder_file)
    changed = replace(cases[4], sex="male", age_approx=85, extra={"note": "new"})
    table = [changed if each.isic_id == changed.isic_id else each for each in cases]
    write_dataset(folder, table)
    before = contents(book)
    report = add(folder, casebook=book)
    assert (report.added, report.already_there, report.differing) == (0, 11, 1)
    assert report.faults == ()
    (told,) = [each for each in report.warnings if changed.isic_id in each]
    assert f"metadata.csv:{line_of(cases, changed)}:" in told
    assert all(name in told for name in ("age_approx", "sex", "note"))
    assert "diagnosis_1" not in told
    assert contents(book) == before

    report = add(folder, casebook=book, update=True)
    assert (report.updated, report.differing, report.warnings) == (1, 0, ())
    after = contents(book)[changed.isic_id]
    assert (after.sex, after.age_approx, after.extra["note"]) == ("male", 85, "new")
    again = add(folder, casebook=book, update=True)
    assert (again.updated, again.already_there) == (0, 12)
    assert check(casebook=book).problems == ()


def test_an_update_leaves_no_unused_lesion_or_patient(folder, book, encoder_file) -> None:
    cases = [replace(make_cases(1)[0], lesion_id="L1", patient_id="P1")]
    write_dataset(folder, cases)
    add(folder, casebook=book, encoder=encoder_file)
    write_dataset(folder, [replace(cases[0], lesion_id="L2", patient_id="P2")])
    assert add(folder, casebook=book, update=True).updated == 1
    with Casebook.open(book) as opened:
        assert (opened.counts()["lesions"], opened.counts()["patients"]) == (1, 1)
    assert check(casebook=book).problems == ()


def test_another_image_under_a_known_name_is_a_bad_row(folder, book, cases, encoder_file) -> None:
    add(folder, casebook=book, encoder=encoder_file)
    before = state(book)
    (folder / f"{cases[3].isic_id}.jpg").write_bytes(picture(999))
    for update in (False, True):
        report = add(folder, casebook=book, update=update)
        (fault,) = report.faults
        assert (fault.line, report.already_there) == (line_of(cases, cases[3]), 11)
        assert "another image" in str(fault)
    assert state(book) == before


def test_a_lesion_of_another_patient_is_a_bad_row(tmp_path, book, encoder_file) -> None:
    first, second, third = (
        replace(each, lesion_id="L", patient_id=patient)
        for each, patient in zip(make_cases(3), ("P", "other", None), strict=True)
    )
    add(write_dataset(tmp_path / "a", [first]), casebook=book, encoder=encoder_file)
    report = add(write_dataset(tmp_path / "b", [second, third]), casebook=book)
    (fault,) = report.faults
    assert (fault.line, report.added) == (2, 1)
    assert all(word in str(fault) for word in ("lesion L", "patient P", "other"))
    assert sorted(contents(book)) == [first.isic_id, third.isic_id]
    # As an update it is refused too while another case says otherwise, and taken when none does.
    write_dataset(tmp_path / "b", [replace(third, patient_id="other")])
    assert len(add(tmp_path / "b", casebook=book, update=True).faults) == 1
    write_dataset(tmp_path / "b", [replace(third, patient_id="P")])
    assert add(tmp_path / "b", casebook=book, update=True).updated == 1
    assert check(casebook=book).problems == ()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "gif", "huge"])
def test_a_bad_picture_is_told_and_the_rest_goes_in(
    folder, book, cases, encoder_file, damage
) -> None:
    path = folder / f"{cases[5].isic_id}.jpg"
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("I am no picture")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gif":
        Image.new("P", (9, 9)).save(path, "GIF")
    else:
        Image.new("1", (50_000, 1700)).save(path, "PNG")
    report = add(folder, casebook=book, encoder=encoder_file)
    (fault,) = report.faults
    assert (fault.line, report.added) == (line_of(cases, cases[5]), 11)
    assert path.name in str(fault)
    assert check(casebook=book).problems == ()
    assert len(list((book / "images").rglob("*.*"))) == 11
    path.write_bytes(whole)
    report = add(folder, casebook=book)
    assert (report.added, report.already_there, report.faults) == (1, 11, ())


def test_faults_of_the_table_are_told_with_those_of_the_images(
    folder, book, cases, encoder_file
) -> None:
    (folder / f"{cases[2].isic_id}.jpg").unlink()
    (folder / f"{cases[7].isic_id}.jpg").write_text("no picture")
    report = add(folder, casebook=book, encoder=encoder_file)
    assert sorted(fault.line for fault in report.faults) == [4, 9]
    assert report.added == 10
    assert "2 left out" in str(report)


def test_identical_images_of_two_cases_are_kept_once(folder, book, cases, encoder_file) -> None:
    one, other = cases[1].isic_id, cases[8].isic_id
    shutil.copy(folder / f"{one}.jpg", folder / f"{other}.jpg")
    assert add(folder, casebook=book, encoder=encoder_file).added == 12
    with Casebook.open(book) as opened:
        counts = opened.counts()
        assert (counts["cases"], counts["images"]) == (12, 11)
        digest = opened.records([one])[one].sha256
        assert [each.case.isic_id for each in opened.records_of_image(digest)] == [one, other]
    assert check(casebook=book).problems == ()


def test_every_format_is_kept_byte_for_byte(folder, book, cases, encoder_file) -> None:
    formats = {"png": "PNG", "tif": "TIFF", "bmp": "BMP", "webp": "WEBP"}
    for case, (suffix, kind) in zip(cases, formats.items(), strict=False):
        with Image.open(folder / f"{case.isic_id}.jpg") as image:
            image.save(folder / f"{case.isic_id}.{suffix}", kind)
        (folder / f"{case.isic_id}.jpg").unlink()
    report = add(folder, casebook=book, encoder=encoder_file)
    assert (report.added, report.faults) == (12, ())
    with Casebook.open(book) as opened:
        for case, suffix in zip(cases, formats, strict=False):
            data = (folder / f"{case.isic_id}.{suffix}").read_bytes()
            assert opened.image(case.isic_id) == data
    assert {path.suffix for path in (book / "images").rglob("*.*")} == {
        ".jpg",
        *(f".{suffix}" for suffix in formats),
    }


def test_another_encoder_is_refused_by_both_names(folder, book, tmp_path, encoder_file) -> None:
    add(folder, casebook=book, encoder=encoder_file)
    before = state(book)
    other = make_encoder(tmp_path / "other.onnx", name="other", seed=1)
    with pytest.raises(CasebookError) as caught:
        add(folder, casebook=book, encoder=tmp_path / "other.onnx")
    assert "small (" in str(caught.value)
    assert other.label in str(caught.value)
    assert state(book) == before
    assert check(casebook=book).problems == ()


def test_a_first_add_needs_a_dataset_and_an_encoder_that_open(
    folder, book, tmp_path, encoder_file
) -> None:
    with pytest.raises(EncoderError):
        add(folder, casebook=book, encoder=tmp_path / "absent.onnx")
    with pytest.raises(DatasetError):
        add(tmp_path / "absent", casebook=book, encoder=encoder_file)
    assert not book.exists()


def test_a_folder_of_other_things_is_never_made_a_casebook(folder, encoder_file) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(CasebookError, match="not empty"):
        add(folder, casebook=folder, encoder=encoder_file)
    assert sorted(folder.iterdir()) == before


def test_two_processes_may_add_at_once(tmp_path, book, encoder_file) -> None:
    cases = make_cases(90)
    one = write_dataset(tmp_path / "one", cases[:60])
    other = write_dataset(tmp_path / "other", cases[30:])
    with Process() as first, Process() as second:
        for process in (first, second):  # both are up before either begins
            process.ask("check", casebook=tmp_path / "absent")
        first.begin("add", one, casebook=book, encoder=encoder_file)
        second.begin("add", other, casebook=book, encoder=encoder_file)
        reports = [process.answer() for process in (first, second)]
    assert [report["faults"] for report in reports] == [[], []]
    assert sum(report["added"] for report in reports) == 90
    assert sum(report["already_there"] for report in reports) == 30
    assert sorted(contents(book)) == [case.isic_id for case in cases]
    assert check(casebook=book).problems == ()
