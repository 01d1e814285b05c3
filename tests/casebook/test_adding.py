"""`add`: what goes in, what is told, and that a second time changes nothing."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
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

from dermtwin.casebook import Casebook, image_path, thumbnail_path
from dermtwin.datasets import draw_lesion, perceptual_hashes, small_grey
from dermtwin.encoders import Encoder
from dermtwin.errors import CasebookError, DatasetError, EncoderError
from dermtwin.images import load
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.vocabulary import BASE_ENCODER


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


def test_every_image_has_a_thumbnail_of_its_pixels_alone(folder, book, cases, encoder_file) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "Meier"  # turned by a quarter; a description
    wide = Image.fromarray(draw_lesion(3).rgb).resize((1200, 500))
    wide.save(folder / f"{cases[0].isic_id}.jpg", exif=exif)
    add(folder, casebook=book, encoder=encoder_file)
    with Casebook.open(book) as opened:
        records = opened.records([case.isic_id for case in cases])
    for record in records.values():
        path = book / thumbnail_path(record.sha256)
        original = load(book / image_path(record.sha256, format=record.format))
        with Image.open(path) as small:
            assert small.format == "JPEG"
            assert max(small.size) == min(256, max(original.shape[:2]))
            assert not small.getexif()
            shrunk = np.asarray(Image.fromarray(original).resize(small.size), dtype=float)
            # Two of the random pictures differ by 80.
            assert np.abs(shrunk - np.asarray(small)).mean() < 30
        assert b"Meier" not in path.read_bytes()
    with Image.open(book / thumbnail_path(records[cases[0].isic_id].sha256)) as turned:
        assert turned.size == (107, 256)
    assert len(list((book / "thumbnails").rglob("*.jpg"))) == 12


def test_codes_bits_and_hashes_are_those_of_each_picture_by_itself(tmp_path, book) -> None:
    """By the encoder that comes along, which has bits; eight pictures in one batch."""
    cases = make_cases(8)
    folder = write_dataset(tmp_path / "drawn", cases)
    for number, case in enumerate(cases):
        Image.fromarray(draw_lesion(number).rgb).save(folder / f"{case.isic_id}.jpg")
    add(folder, casebook=book)
    connection = sqlite3.connect(book / "casebook.sqlite")
    rows = connection.execute(
        "SELECT isic_id, vector, bits, phash, cases.audit_key FROM cases "
        "JOIN codes ON case_key = cases.key JOIN images ON image_key = images.key"
    ).fetchall()
    people = [key for (key,) in connection.execute("SELECT audit_key FROM patients")]
    connection.close()
    encoder = Encoder.open(BASE_ENCODER)
    assert len(rows) == 8
    for name, vector, bits, phash, _ in rows:
        path = folder / f"{name}.jpg"
        codes = encoder.encode(path.read_bytes(), name=name)
        assert vector == codes.vectors()[0].astype("<f4").tobytes()
        assert [bits.hex()] == codes.bits()
        assert phash % 2**64 == perceptual_hashes(small_grey(load(path, at_least=256)))[0]
    keys = [*people, *(key for *_, key in rows)]
    assert {len(key) for key in keys} == {16}
    assert len(set(keys)) == len(keys)


def test_what_is_counted_is_in_and_batches_stay_small(tmp_path, book, encoder_file) -> None:
    """Beside it, another reader sees each case when it is counted."""
    folder = write_dataset(tmp_path / "data", make_cases(100))
    seen = []

    def look(items, *, label, total=None) -> Iterator:
        del label, total
        for item in items:
            with Casebook.open(book) as opened:
                assert opened.image(item.case.isic_id)
                seen.append(opened.counts()["cases"])
            yield item

    assert add(folder, casebook=book, encoder=encoder_file, track=look).added == 100
    assert all(held >= place for place, held in enumerate(seen, start=1))
    assert seen[0] < 100


def test_an_encoder_that_changes_meanwhile_is_told(tmp_path, folder, book, encoder_file) -> None:
    add(folder, casebook=book, encoder=encoder_file)
    more = write_dataset(tmp_path / "more", make_cases(80, start=100))

    def switch(items, *, label, total=None) -> Iterator:
        del label, total
        for place, item in enumerate(items):
            if not place:
                connection = sqlite3.connect(book / "casebook.sqlite")
                connection.execute("UPDATE encoders SET id = 'another'")
                connection.commit()
                connection.close()
            yield item

    with pytest.raises(CasebookError, match="another encoder meanwhile"):
        add(more, casebook=book, track=switch)
