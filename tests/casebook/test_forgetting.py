"""Erasure: from rows, codes, files, answers, and from every byte that is left."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from small_casebooks import Process, contents, make_cases, picture_of, state, write_dataset

from dermtwin.casebook import Casebook, Writer
from dermtwin.consultation import Consultation
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.images import digest
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.verbs.forget import forget

COUNT = 240


@pytest.fixture(scope="module")
def marked() -> list:
    """Many cases, each with marks of its own in every place for text."""
    return [
        replace(
            case,
            attribution=f"mark-clinic-{case.isic_id}",
            copyright_license=f"mark-licence-{case.isic_id}",
            extra={"note": f"mark-note-{case.isic_id}-" + "x" * (number % 400)},
        )
        for number, case in enumerate(make_cases(COUNT, seed=1))
    ]


def marks_of(case, encoder) -> list[bytes]:
    data = picture_of(case)
    vector = encoder.encode(data, name="mark").vectors()[0]
    texts = [
        f"mark-clinic-{case.isic_id}",
        f"mark-licence-{case.isic_id}",
        f"mark-note-{case.isic_id}",
        case.isic_id,
        digest(data),
    ]
    return [*(text.encode() for text in texts), vector.tobytes(), data[-60:]]


SCAN = """
import json, pathlib, sys
book, marks = json.load(sys.stdin)
files = [path for path in pathlib.Path(book).rglob("*") if path.is_file()]
data = b"".join(str(path).encode() + b"\\0" + path.read_bytes() for path in files)
json.dump([mark for mark in marks if bytes.fromhex(mark) in data], sys.stdout)
"""


def found_in(book, marks) -> set[bytes]:
    """The marks that stand in some file or name of a casebook.

    Read by another process: one that closes a database file by itself loses, by the rules of POSIX,
    the locks that SQLite holds on it in the same process.
    """
    asked = json.dumps([str(book), [mark.hex() for mark in marks]])
    done = subprocess.run(
        [sys.executable, "-c", SCAN], input=asked, capture_output=True, check=True, text=True
    )
    return {bytes.fromhex(mark) for mark in json.loads(done.stdout)}


def test_after_forgetting_no_byte_is_left(tmp_path, marked, encoder, encoder_file) -> None:
    book = tmp_path / "book"
    add(write_dataset(tmp_path / "data", marked), casebook=book, encoder=encoder_file)
    by_name = {case.isic_id: case for case in marked}
    marks = {name: marks_of(case, encoder) for name, case in by_name.items()}
    everything = [mark for each in marks.values() for mark in each]
    # The marks can be found while the cases are there, so that finding none later says something.
    assert found_in(book, everything) == set(everything)

    chance = np.random.default_rng(0)
    with Casebook.open(book) as reader, Process() as other:
        reading = Consultation(reader)  # a reader stays at it all the time
        query = picture_of(make_cases(1, start=9999)[0])
        while len(by_name) > 60:
            case = by_name[str(chance.choice(sorted(by_name)))]
            kinds = {
                "patient": case.patient_id,
                "lesion": case.lesion_id,
                "image": case.isic_id,
            }
            kind = str(chance.choice([each for each, name in kinds.items() if name is not None]))
            lesions = {
                each.lesion_id
                for each in by_name.values()
                if each.patient_id == case.patient_id and each.lesion_id is not None
            }
            gone = {
                each.isic_id
                for each in by_name.values()
                if each.isic_id == case.isic_id
                or (kind == "lesion" and each.lesion_id == case.lesion_id)
                or (kind == "patient" and each.patient_id == case.patient_id)
                or (kind == "patient" and each.lesion_id in lesions)
            }
            if chance.random() < 0.3:
                report = other.ask("forget", casebook=book, **{kind: kinds[kind]})
                assert report["cases"] == len(gone)
            else:
                report = forget(casebook=book, **{kind: kinds[kind]})
                assert (report.cases, report.codes, report.images) == (len(gone),) * 3
            for name in gone:
                del by_name[name]
            answer = reading.ask(query, name="query", k=COUNT, every_image=True)
            assert {hit.case.isic_id for hit in answer.hits} == by_name.keys()
            gone_marks = [mark for name in gone for mark in marks[name]]
            names = {kinds[kind]} if kind != "image" else set()
            assert not found_in(book, gone_marks + [str(name).encode() for name in names])
    assert contents(book).keys() == by_name.keys()
    assert check(casebook=book).problems == ()
    left = [mark for name in by_name for mark in marks[name]]
    assert found_in(book, left) == set(left)


def test_an_image_that_another_case_shares_stays(tmp_path, encoder_file) -> None:
    one, other = make_cases(2)
    folder = write_dataset(tmp_path / "data", [one, other])
    (folder / f"{other.isic_id}.jpg").write_bytes(picture_of(one))
    book = tmp_path / "book"
    add(folder, casebook=book, encoder=encoder_file)
    assert forget(casebook=book, image=one.isic_id).images == 0
    assert contents(book).keys() == {other.isic_id}
    assert forget(casebook=book, image=other.isic_id).images == 1
    assert contents(book) == {}
    assert not list((book / "images").rglob("*.jpg"))
    assert check(casebook=book).problems == ()


def test_numbers_of_forgotten_cases_are_never_given_again(tmp_path, encoder_file) -> None:
    cases = make_cases(4)
    folder = write_dataset(tmp_path / "data", cases)
    book = tmp_path / "book"
    add(folder, casebook=book, encoder=encoder_file)
    with Casebook.open(book) as opened:
        keys = {each.key for each in opened.records([case.isic_id for case in cases]).values()}
        forget(casebook=book, image=cases[-1].isic_id)
        add(folder, casebook=book)
        again = opened.records([cases[-1].isic_id])[cases[-1].isic_id].key
    assert again not in keys


def test_what_is_not_there_is_not_forgotten(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    before = state(book)
    for kind in ("patient", "lesion", "image"):
        with pytest.raises(CasebookError, match=f"no {kind} nobody"):
            forget(casebook=book, **{kind: "nobody"})
    with pytest.raises(SettingsError, match="exactly one"):
        forget(casebook=book)
    with pytest.raises(SettingsError, match="exactly one"):
        forget(casebook=book, patient="a", lesion="b")
    with pytest.raises(CasebookError, match="no casebook"):
        forget(casebook=tmp_path / "absent", image="a")
    assert state(book) == before


def test_a_reader_that_never_ends_is_told_and_the_log_emptied_later(
    tmp_path, dataset, encoder_file, monkeypatch
) -> None:
    from dermtwin.casebook import database

    waits = ("PRAGMA busy_timeout = 100", *database._SETTINGS[1:])
    monkeypatch.setattr(database, "_SETTINGS", waits)
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    with Casebook.open(book) as reader:
        with reader.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM cases").scalar()
            with pytest.raises(CasebookError, match="another program reads"):
                forget(casebook=book, image="ISIC_0000001")
        assert found_in(book, [b"ISIC_0000001"])
        assert check(casebook=book).problems == ()
        assert not found_in(book, [b"ISIC_0000001"])


def test_an_image_forgotten_between_its_writing_and_its_row(
    tmp_path, encoder, encoder_file
) -> None:
    """Two cases share an image: one is forgotten while the other is about to go in."""
    from dermtwin.casebook import NewImage, image_path
    from dermtwin.images import read_header

    one, other = make_cases(2)
    book = tmp_path / "book"
    add(write_dataset(tmp_path / "data", [one]), casebook=book, encoder=encoder_file)
    data = picture_of(one)
    image = NewImage(
        data=data,
        sha256=digest(data),
        header=read_header(data, name="image"),
        vector=encoder.encode(data, name="image").vectors()[0],
    )
    with Casebook.open(book) as opened, Writer(opened) as writer:
        record = opened.encoder()
        path = image_path(image.sha256, format="JPEG")
        writer.expect([path])
        writer.write_image(image)
        forget(casebook=book, image=one.isic_id)
        assert not (book / path).exists()
        writer.place(other, image=image, encoder=record)
        assert (book / path).exists()
    assert contents(book) == {other.isic_id: other}
    assert check(casebook=book).problems == ()
