"""Erasure: from rows, codes, files, answers, and from every byte that is left."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_casebooks import Process, change, contents, make_cases, picture_of, state, write_dataset

from dermtwin.casebook import Casebook, Writer
from dermtwin.consultation import Consultation
from dermtwin.errors import CasebookError, DermtwinError, SettingsError
from dermtwin.images import digest
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.verbs.forget import forget

COUNT = 50


@pytest.fixture(scope="module")
def marked() -> list:
    """Many cases, each with marks of its own in every place for text.

    The notes go up to where PostgreSQL keeps them apart (TOAST), of letters that it cannot press.
    """
    letters = np.random.default_rng(5).integers(97, 123, (COUNT, 4000), dtype=np.uint8)
    notes = [row[: number * 80 % 4000].tobytes().decode() for number, row in enumerate(letters)]
    return [
        replace(
            case,
            attribution=f"mark-clinic-{case.isic_id}",
            copyright_license=f"mark-licence-{case.isic_id}",
            extra={"note": f"mark-note-{case.isic_id}-{notes[number]}"},
        )
        for number, case in enumerate(make_cases(COUNT, seed=1))
    ]


def marked_picture(case) -> bytes:
    """A case's picture with a text of its own in the file."""
    exif = Image.Exif()
    exif[0x010E] = f"mark-exif-{case.isic_id}"  # ImageDescription
    data = picture_of(case)
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]


def marked_dataset(folder: Path, cases: list) -> Path:
    write_dataset(folder, cases)
    for case in cases:
        (folder / f"{case.isic_id}.jpg").write_bytes(marked_picture(case))
    return folder


def marks_of(case, encoder) -> list[bytes]:
    data = marked_picture(case)
    vector = encoder.encode(data, name="mark").vectors()[0]
    places = ("clinic", "licence", "note", "exif")
    texts = [case.isic_id, digest(data), *(f"mark-{place}-{case.isic_id}" for place in places)]
    return [*(text.encode() for text in texts), vector.tobytes(), data[-60:]]


SCAN = """
import json, pathlib, sys
folders, marks = json.load(sys.stdin)
files = [path for each in folders for path in pathlib.Path(each).rglob("*") if path.is_file()]
data = b"".join(str(path).encode() + b"\\0" + path.read_bytes() for path in files)
json.dump([mark for mark in marks if bytes.fromhex(mark) in data], sys.stdout)
"""


def found_in(folders, marks) -> set[bytes]:
    """The marks that stand in some file or file's name in some folders.

    Read by another process: one that closes a database file by itself loses, by the rules of POSIX,
    the locks that SQLite holds on it in the same process.
    """
    asked = json.dumps([[str(each) for each in folders], [mark.hex() for mark in marks]])
    done = subprocess.run(
        [sys.executable, "-c", SCAN], input=asked, capture_output=True, check=True, text=True
    )
    return {bytes.fromhex(mark) for mark in json.loads(done.stdout)}


def gone_with(case, kind, cases) -> set[str]:
    """The cases that go with one, by hand."""
    theirs = {each.lesion_id for each in cases if each.patient_id == case.patient_id} - {None}
    return {
        each.isic_id
        for each in cases
        if each.isic_id == case.isic_id
        or (kind == "lesion" and each.lesion_id == case.lesion_id)
        or (kind == "patient" and each.patient_id == case.patient_id)
        or (kind == "patient" and each.lesion_id in theirs)
    }


def test_after_forgetting_no_byte_is_left(request, place, marked, encoder_file, encoder) -> None:
    tmp_path = request.getfixturevalue("tmp_path")
    folders, rounds = [tmp_path / "book"], 4
    if place.startswith("postgresql"):
        server = request.getfixturevalue("postgres")
        database = place.partition("@/")[2].partition("?")[0]
        ((oid,),) = server.ask(f"SELECT oid FROM pg_database WHERE datname = '{database}'")
        rounds = 2
        folders += [server.data / f"base/{oid}", server.data / "pg_wal"]
    add(marked_dataset(tmp_path / "data", marked), casebook=place, encoder=encoder_file)
    if place.startswith("postgresql"):
        server.ask("CHECKPOINT")  # a page of the log may end within a mark, a row's page never does
    by_name = {case.isic_id: case for case in marked}
    marks = {name: marks_of(case, encoder) for name, case in by_name.items()}
    everything = [mark for name in sorted(marks)[::5] for mark in marks[name]]
    # The marks can be found while the cases are there, so that finding none later says something.
    assert found_in(folders, everything) == set(everything)

    chance = np.random.default_rng(0)
    with Casebook.open(place) as reader, Process() as other:
        reading = Consultation(reader)  # a reader stays at it all the time
        query = picture_of(make_cases(1, start=9999)[0])
        for number, kind in enumerate(("patient", "image", "lesion", "case")[:rounds]):
            suited = [
                each for each in sorted(by_name) if by_name[each].patient_id or kind == "case"
            ]
            case = by_name[str(chance.choice(suited))]
            gone = gone_with(case, kind, by_name.values())
            name = {
                "patient": case.patient_id,
                "lesion": case.lesion_id,
                "case": case.isic_id,
                "image": digest(marked_picture(case)),
            }[kind]
            if number == 1:
                report = other.ask("forget", casebook=place, **{kind: name})
                assert report["cases"] == len(gone)
                assert not report["looked"]["left"]
            else:
                wanted = forget(casebook=place, **{kind: name}, dry_run=True)
                assert set(wanted.cases) == gone
                report = forget(casebook=place, **{kind: name})
                assert (report.cases, report.codes, report.images) == (len(gone),) * 3
                assert report.is_gone
                assert report.looked.bytes > 100_000
                assert report.looked.marks["digests"] == len(gone)
                assert not report.looked.elsewhere
            gone_marks = [mark for each in gone for mark in marks[each]]
            for each in gone:
                del by_name[each]
            answer = reading.ask(query, name="query", k=COUNT, every_image=True)
            assert {hit.case.isic_id for hit in answer.hits} == by_name.keys()
            names = [str(name).encode()] if kind in ("patient", "lesion") else []
            assert not found_in(folders, gone_marks + names)
            with pytest.raises(CasebookError, match="Nothing left of it"):
                forget(casebook=place, **{kind: name})
    assert contents(place).keys() == by_name.keys()
    assert check(casebook=place).problems == ()
    left = [mark for name in sorted(by_name)[::5] for mark in marks[name]]
    assert found_in(folders, left) == set(left)


def test_the_look_finds_what_is_left(tmp_path, marked, encoder_file, place) -> None:
    """A receipt says "gone" after looking, not because rows were deleted."""
    book = tmp_path / "book"
    cases = marked[:12]
    add(marked_dataset(tmp_path / "data", cases), casebook=place, encoder=encoder_file)
    (book / "notes.txt").write_bytes(b"\0" * 4_194_300 + b"about IP_0000001, seen twice")
    report = forget(casebook=place, patient="IP_0000001")
    assert report.looked.left == ("notes.txt",)
    assert not report.is_gone
    with pytest.raises(CasebookError, match=r"name stands in notes.txt"):
        forget(casebook=place, patient="IP_0000001")
    (book / "notes.txt").unlink()
    # A name that is part of what stays: told, and no fault.
    stays = next(each for each in cases if each.lesion_id and each.patient_id == "IP_0000000")
    again = replace(stays, extra={"note": "the same as ISIC_0000009"})
    other = write_dataset(tmp_path / "other", [again, cases[9]])
    (other / f"{stays.isic_id}.jpg").write_bytes(marked_picture(stays))
    add(other, casebook=place, update=True)
    report = forget(casebook=place, case="ISIC_0000009")
    assert report.looked.elsewhere == {"cases.extra": 1}
    assert report.is_gone


@given(
    st.lists(st.binary(min_size=8, max_size=60), min_size=1, max_size=12),
    st.lists(st.binary(max_size=40), max_size=12),
    st.integers(0, 2**20),
)
def test_marks_are_found_wherever_they_stand(marks, filling, seed) -> None:
    from dermtwin.casebook.scanning import Scan, is_searchable

    chance = np.random.default_rng(seed)
    planted = [mark for mark in marks if chance.random() < 0.5]
    parts = [*filling, *planted]
    data = b"".join(parts[each] for each in chance.permutation(len(parts)))
    by_hand = {mark for mark in marks if is_searchable(mark) and mark in data}
    assert Scan(marks).data(data) == by_hand


def test_marks_are_found_across_the_pieces_of_a_file(tmp_path, monkeypatch) -> None:
    from dermtwin.casebook import scanning

    monkeypatch.setattr(scanning, "_CHUNK", 64)
    mark, path = bytes(range(100, 140)), tmp_path / "file"
    for at in range(200):
        path.write_bytes(bytes(at) + mark + bytes(300 - at))
        assert scanning.Scan([mark, b"another mark"]).file(path) == {mark}


def test_a_receipt_names_the_copies_and_nobody(tmp_path, marked, encoder_file) -> None:
    from dermtwin.casebook.copies import known_copy

    book, receipt = tmp_path / "book", tmp_path / "receipt.json"
    add(marked_dataset(tmp_path / "data", marked[:12]), casebook=book, encoder=encoder_file)
    with (
        Casebook.open(book) as opened,
        known_copy(opened, kind="backup", path=tmp_path / "old.zip"),
    ):
        pass
    report = forget(casebook=book, patient="IP_0000001", receipt=receipt, who="a clerk")
    assert f"backup of {report.copies[0].at}: {tmp_path / 'old.zip'}" in str(report)
    text = receipt.read_text()
    assert json.loads(text) == json.loads(json.dumps(report.to_json()))
    assert "old.zip" in text
    for told in (text, str(report)):
        assert "IP_0000001" not in told
        assert "ISIC_" not in told


def test_a_receipt_that_cannot_be_written_is_told_before_anything_is_erased(
    tmp_path, dataset, encoder_file
) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    before = state(book)
    (tmp_path / "file").touch()
    for receipt in (tmp_path, tmp_path / "file/x"):
        with pytest.raises(DermtwinError, match=f"{receipt} cannot be written"):
            forget(casebook=book, case="ISIC_0000001", receipt=receipt)
    assert state(book) == before
    assert forget(casebook=book, case="ISIC_0000001").cases == 1


def test_what_cannot_be_read_after_an_erasure_stands_in_the_receipt(
    tmp_path, dataset, encoder_file, place
) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=place, encoder=encoder_file)
    unread = book / "note"
    unread.symlink_to("/proc/self/mem")  # a file that fails to be read, to root too
    report = forget(casebook=place, case="ISIC_0000001")
    assert (report.cases, report.looked.left, report.looked.unread) == (1, (), (str(unread),))
    assert not report.is_gone
    assert f"NOT READ, look there by hand: {unread}" in str(report)
    with pytest.raises(CasebookError, match=r"But .*note could not be read"):
        forget(casebook=place, case="ISIC_0000001")
    unread.unlink()
    with pytest.raises(CasebookError, match="Nothing left of it"):
        forget(casebook=place, case="ISIC_0000001")


def test_a_look_that_fails_says_what_is_gone_all_the_same(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    change(book, "DROP TABLE copies")
    words = "case ISIC_0000001 is gone from every answer, but could not be looked for: .*copies"
    with pytest.raises(CasebookError, match=words):
        forget(casebook=book, case="ISIC_0000001")
    assert "ISIC_0000001" not in contents(book)


def test_a_folder_that_hides_its_files_is_not_called_empty(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    hidden = book / "hidden"
    hidden.mkdir()
    (hidden / "note").write_text("of ISIC_0000001")
    for case, mode, unread in (
        ("ISIC_0000001", 0o000, hidden),
        ("ISIC_0000002", 0o444, hidden / "note"),  # its names may be listed, and no more
    ):
        hidden.chmod(mode)
        with Process(as_everybody=True) as process:
            report = process.ask("forget", casebook=book, case=case)
        assert report["looked"]["unread"] == [str(unread)]
    hidden.chmod(0o755)


def test_what_would_go_is_listed_and_nothing_changed(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    before = state(book)
    wanted = forget(casebook=book, lesion="IL_0000001", dry_run=True)
    assert wanted.cases == ("ISIC_0000003", "ISIC_0000004", "ISIC_0000005")
    assert wanted.lesions == ("IL_0000001",)
    assert wanted.patients == ()  # other lesions of the patient stay
    assert [(book / f"thumbnails/{each[:2]}/{each}.jpg").is_file() for each in wanted.images] == [
        True
    ] * 3
    assert state(book) == before
    report = forget(casebook=book, lesion="IL_0000001")
    assert (report.codes, report.thumbnails) == (wanted.codes, 3)
    assert report.audit_keys == wanted.audit_keys
    assert not any((book / "thumbnails").rglob(f"{wanted.images[0]}*"))


def test_an_image_that_another_case_shares_stays(tmp_path, encoder_file) -> None:
    one, other = make_cases(2)
    folder = write_dataset(tmp_path / "data", [one, other])
    (folder / f"{other.isic_id}.jpg").write_bytes(picture_of(one))
    book = tmp_path / "book"
    add(folder, casebook=book, encoder=encoder_file)
    assert forget(casebook=book, case=one.isic_id).images == 0
    assert contents(book).keys() == {other.isic_id}
    assert forget(casebook=book, case=other.isic_id).images == 1
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
        forget(casebook=book, case=cases[-1].isic_id)
        add(folder, casebook=book)
        again = opened.records([cases[-1].isic_id])[cases[-1].isic_id].key
    assert again not in keys


def test_what_is_not_there_is_not_forgotten(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    before = state(book)
    for kind in ("patient", "lesion", "case"):
        with pytest.raises(CasebookError, match=f"no {kind} nobody"):
            forget(casebook=book, **{kind: "nobody"})
    with pytest.raises(SettingsError, match="exactly one"):
        forget(casebook=book)
    with pytest.raises(SettingsError, match="exactly one"):
        forget(casebook=book, patient="a", lesion="b")
    with pytest.raises(CasebookError, match="no casebook"):
        forget(casebook=tmp_path / "absent", case="a")
    assert state(book) == before


def test_a_reader_that_never_ends_is_told_and_the_log_emptied_later(
    tmp_path, dataset, encoder_file, monkeypatch
) -> None:
    from dermtwin.casebook import sqlite

    waits = ("PRAGMA busy_timeout = 100", *sqlite._SETTINGS[1:])
    monkeypatch.setattr(sqlite, "_SETTINGS", waits)
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    with Casebook.open(book) as reader:
        with reader.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM cases").scalar()
            with pytest.raises(CasebookError, match="another program reads"):
                forget(casebook=book, case="ISIC_0000001")
        assert found_in([book], [b"ISIC_0000001"])
        assert check(casebook=book).problems == ()
        assert not found_in([book], [b"ISIC_0000001"])


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
        thumbnail=data,
        vector=encoder.encode(data, name="image").vectors()[0],
    )
    with Casebook.open(book) as opened, Writer(opened) as writer:
        record = opened.encoder()
        path = image_path(image.sha256, format="JPEG")
        writer.write_images([image])
        forget(casebook=book, case=one.isic_id)
        assert not (book / path).exists()
        assert writer.place_all([(other, image)], encoder=record).keys() == {other.isic_id}
        assert (book / path).exists()
    assert contents(book) == {other.isic_id: other}
    assert check(casebook=book).problems == ()
