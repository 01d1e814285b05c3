"""Keeping a casebook: backup and restore, export, another encoder, repair, counts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_casebooks import (
    Process,
    all_entries,
    change,
    contents,
    make_cases,
    make_encoder,
    nearest_by_hand,
    picture,
    picture_of,
    write_dataset,
)

import dermtwin
from dermtwin.casebook import Casebook, dump
from dermtwin.casebook.copies import copies
from dermtwin.casebook.schema import METADATA
from dermtwin.consultation import Consultation
from dermtwin.datasets import Row, write_table
from dermtwin.encoders import Encoder
from dermtwin.errors import CasebookError, DatasetError, DermtwinError
from dermtwin.images import digest
from dermtwin.running import untracked
from dermtwin.vocabulary import Case, vocabulary_of


@pytest.fixture(scope="module")
def made(tmp_path_factory, encoder_file) -> Path:
    """Thirty cases, never to be changed."""
    folder = tmp_path_factory.mktemp("made")
    data = write_dataset(folder / "data", make_cases(30))
    dermtwin.add(data, casebook=folder / "book", encoder=encoder_file)
    return folder / "book"


@pytest.fixture
def book(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "cases")


@pytest.fixture(scope="session")
def other_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("encoders") / "other.onnx"
    make_encoder(path, name="other", seed=1)
    return path


def rows(path) -> dict[str, list[bytes]]:
    with Casebook.open(path) as opened, opened.reading() as connection:
        return {name: list(dump.lines(connection, table)) for name, table in dump.TABLES.items()}


def files(path) -> dict[str, bytes]:
    with Casebook.open(path) as opened:
        return {name: opened.store.path(name).read_bytes() for name in opened.store.files()}


def everything(path) -> dict[str, tuple]:
    """Each case with its image's digest and its code, whatever their numbers are."""
    with Casebook.open(path) as opened:
        entries = all_entries(opened)
        codes = dict(zip(entries.keys.tolist(), entries.codes.tolist(), strict=True))
        found = opened.all_records()
        assert opened.counts()["cases"] == len(found)
        return {each.case.isic_id: (each.case, each.sha256, codes[each.key]) for each in found}


# --- backup and restore


def test_every_table_is_backed_up_but_those_of_one_place() -> None:
    left_out = METADATA.tables.keys() - dump.TABLES.keys()
    assert left_out <= {"unsettled", "migrations", "identity"}


def test_a_backup_restored_is_the_same_casebook_to_the_last_byte(book, tmp_path) -> None:
    dermtwin.forget(casebook=book, patient="IP_0000001")
    report = dermtwin.backup(tmp_path / "book.zip", casebook=book)
    restored = dermtwin.restore(tmp_path / "book.zip", casebook=tmp_path / "again")
    assert restored.check.problems == ()
    assert rows(tmp_path / "again") == rows(book)
    assert files(tmp_path / "again") == files(book)
    assert report.cases == restored.check.counts["cases"] == len(everything(book))
    with Casebook.open(tmp_path / "again") as opened:
        (known,) = copies(opened)
        assert (known.kind, known.path) == ("backup", str(tmp_path / "book.zip"))


def test_a_restored_casebook_gives_no_old_number_again(book, tmp_path, encoder_file) -> None:
    before = {each.key for each in Casebook.open(book).all_records()}
    dermtwin.forget(casebook=book, lesion="IL_0000009")
    dermtwin.backup(tmp_path / "book.zip", casebook=book)
    dermtwin.restore(tmp_path / "book.zip", casebook=tmp_path / "again")
    more = write_dataset(tmp_path / "more", make_cases(2, start=50))
    dermtwin.add(more, casebook=tmp_path / "again", encoder=encoder_file)
    with Casebook.open(tmp_path / "again") as opened:
        records = opened.records(["ISIC_0000050", "ISIC_0000051"]).values()
    assert {each.key for each in records}.isdisjoint(before)


def test_a_backup_made_while_others_add_and_forget_is_one_whole_moment(book, tmp_path) -> None:
    more = write_dataset(tmp_path / "more", make_cases(120, start=100))
    with Process() as adding, Process() as forgetting:
        adding.begin("add", more, casebook=book)
        for number in range(2):
            adding.line()
            forgetting.begin("forget", casebook=book, patient=f"IP_000000{number}")
            dermtwin.backup(tmp_path / f"{number}.zip", casebook=book)
            forgetting.answer()
        adding.answer()
    assert dermtwin.check(casebook=book).is_clean
    sizes = []
    for number in range(2):
        again = tmp_path / f"again{number}"
        report = dermtwin.restore(tmp_path / f"{number}.zip", casebook=again)
        assert report.check.problems == ()
        sizes.append(len(contents(again)))
    assert max(sizes) <= 150


def test_a_backup_that_cannot_be_whole_is_not_made(book, tmp_path) -> None:
    lost = min((book / "images").rglob("*.jpg"))
    lost.unlink()
    with pytest.raises(CasebookError, match="is missing, so that a backup would not be whole"):
        dermtwin.backup(tmp_path / "book.zip", casebook=book)
    assert not list(tmp_path.glob("*.zip"))
    assert not list(tmp_path.glob(".*"))
    with Casebook.open(book) as opened:
        assert copies(opened) == []


@pytest.mark.parametrize("verb", ["backup", "export"])
def test_who_is_told_to_end_leaves_nothing_half_made(book, tmp_path, verb) -> None:
    stuck = min((book / "images").rglob("*.jpg"))
    stuck.unlink()
    os.mkfifo(stuck)  # who reads it waits
    copy = tmp_path / "out" / "copy.zip"
    words = [sys.executable, "-c", "from dermtwin.cli import main; main()", verb, copy]
    with subprocess.Popen([*words, "--casebook", book], stderr=subprocess.PIPE) as process:
        while not list(copy.parent.glob(".copy*")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        time.sleep(0.2)  # it is in the middle by now
        process.terminate()
        while process.poll() is None:  # threads end what they began
            os.close(os.open(stuck, os.O_RDWR))
            time.sleep(0.01)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(copy.parent.iterdir()) == []
    with Casebook.open(book) as opened:
        assert copies(opened) == []


@pytest.fixture(scope="module")
def backup_file(tmp_path_factory, encoder_file) -> Path:
    folder = tmp_path_factory.mktemp("backup")
    data = write_dataset(folder / "data", make_cases(2))
    dermtwin.add(data, casebook=folder / "book", encoder=encoder_file)
    dermtwin.backup(folder / "book.zip", casebook=folder / "book")
    return folder / "book.zip"


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_backup_is_refused_in_a_sentence(backup_file, data) -> None:
    whole = backup_file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    flipped = bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))])
    spoilt = whole[:place] + (b"" if cut else flipped + whole[place + 1 :])
    with tempfile.TemporaryDirectory() as folder:
        path, again = Path(folder, "spoilt.zip"), Path(folder, "again")
        path.write_bytes(spoilt)
        try:
            dermtwin.restore(path, casebook=again)
        except CasebookError as error:
            assert "spoilt.zip" in str(error)  # noqa: PT017 - either way is right
            assert not again.exists()
        else:
            # The byte was of the archive's own book-keeping: a time, a flag.
            assert members(path) == members(backup_file)


def rewritten(backup_file, path, change) -> Path:
    """A backup whose members were changed by somebody who keeps its digests right."""
    found = members(backup_file)
    change(found)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in found.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def climb(found) -> None:
    found["../evil.txt"] = b"x"
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    found["SHA256SUMS"] += f"{digest}  ../evil.txt\n".encode()


def come_from_the_future(found) -> None:
    import hashlib

    old = hashlib.sha256(found["manifest.json"]).hexdigest()
    manifest = json.loads(found["manifest.json"])
    found["manifest.json"] = json.dumps(manifest | {"steps": ["9999-later"]}).encode()
    new = hashlib.sha256(found["manifest.json"]).hexdigest()
    found["SHA256SUMS"] = found["SHA256SUMS"].replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (climb, "'../evil.txt', which belongs to no casebook"),
        (come_from_the_future, "made by a newer dermtwin"),
        (lambda found: found.pop("manifest.json"), "manifest"),
        (lambda found: found.pop("record/holds.jsonl"), "its members are not those"),
    ],
)
def test_a_backup_that_was_tampered_with_is_refused(backup_file, tmp_path, change, words) -> None:
    path = rewritten(backup_file, tmp_path / "tampered.zip", change)
    with pytest.raises(CasebookError, match=words):
        dermtwin.restore(path, casebook=tmp_path / "in" / "book")
    assert list(tmp_path.iterdir()) == [path]


def test_a_restore_never_goes_into_a_casebook_that_holds_something(book, tmp_path) -> None:
    dermtwin.backup(tmp_path / "book.zip", casebook=book)
    before = everything(book)
    with pytest.raises(CasebookError, match="holds a casebook already"):
        dermtwin.restore(tmp_path / "book.zip", casebook=book)
    with pytest.raises(CasebookError, match="is there already"):
        dermtwin.backup(tmp_path / "book.zip", casebook=book)
    assert everything(book) == before


def test_a_restore_that_is_killed_can_be_run_again(book, tmp_path) -> None:
    dermtwin.backup(tmp_path / "book.zip", casebook=book)
    for count in (5, 60):
        with Process("fsync", count) as process:
            process.begin("restore", tmp_path / "book.zip", casebook=tmp_path / "again")
            assert process.end()[0] < 0
    report = dermtwin.restore(tmp_path / "book.zip", casebook=tmp_path / "again")
    assert report.check.problems == ()
    assert rows(tmp_path / "again") == rows(book)


def test_a_backup_goes_from_one_database_to_the_other_and_back(
    book, tmp_path, postgres_url, other_file
) -> None:
    dermtwin.backup(tmp_path / "one.zip", casebook=book)
    restored = dermtwin.restore(tmp_path / "one.zip", casebook=postgres_url)
    assert restored.check.problems == ()
    assert everything(postgres_url) == everything(book)
    # It is a casebook like any other: it grows, gets another encoder, and is mended.
    more = write_dataset(tmp_path / "more", make_cases(5, start=100))
    assert dermtwin.add(more, casebook=postgres_url).added == 5
    dermtwin.reencode(casebook=postgres_url, encoder=other_file)
    with Casebook.open(postgres_url) as opened:
        spoil_thumbnail(opened.store.folder)
        stray_files(opened.store.folder)
    assert len(dermtwin.check(casebook=postgres_url, repair=True).repaired) == 2
    assert dermtwin.stats(casebook=postgres_url).cases == 35
    dermtwin.backup(tmp_path / "two.zip", casebook=postgres_url)
    back = dermtwin.restore(tmp_path / "two.zip", casebook=tmp_path / "back")
    assert back.check.problems == ()
    assert everything(tmp_path / "back") == everything(postgres_url)
    assert rows(tmp_path / "back") == rows(postgres_url)
    with pytest.raises(CasebookError, match="holds a casebook already"):
        dermtwin.restore(tmp_path / "one.zip", casebook=postgres_url)


# --- export

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
NAMES = st.text("abcXYZ019_-éß/. ", min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and not name.startswith(".")
)
FURTHER = st.sampled_from(["note", "clin_size", "odd, name", 'quo"te', "größe"])


@st.composite
def cases(draw: st.DrawFn) -> list[Case]:
    def of(name: str) -> str | None:
        words = vocabulary_of(name)
        assert words is not None
        return draw(st.none() | st.sampled_from(sorted(words)))

    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.casefold))
    lesions = draw(st.lists(st.none() | TEXT, min_size=len(names), max_size=len(names)))
    patients = {lesion: draw(st.none() | TEXT) for lesion in {*lesions}}
    return [
        Case(
            isic_id=name,
            lesion_id=lesion,
            patient_id=patients[lesion],
            diagnosis_1=of("diagnosis_1"),
            age_approx=draw(st.none() | st.integers(0, 120)),
            sex=of("sex"),
            anatom_site_general=of("anatom_site_general"),
            attribution=draw(st.none() | TEXT),
            extra=draw(st.dictionaries(FURTHER, TEXT, max_size=3)),
        )
        for name, lesion in zip(names, lesions, strict=True)
    ]


@settings(max_examples=6)
@given(written=cases(), pictures=st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_what_is_added_exported_and_added_again_is_the_same(
    written, pictures, encoder_file
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Some cases share one image.
        paths = [folder / f"{seed}.jpg" for seed in range(3)]
        for seed, path in enumerate(paths):
            path.write_bytes(picture(seed))
        lines = [Row(case, paths[seed], 0) for case, seed in zip(written, pictures, strict=False)]
        write_table(folder / "metadata.csv", lines)
        added = dermtwin.add(folder, casebook=folder / "one", encoder=encoder_file)
        assert not added.faults
        dermtwin.export(folder / "out", casebook=folder / "one")
        again = dermtwin.add(folder / "out", casebook=folder / "two", encoder=encoder_file)
        assert not again.faults
        first, second = everything(folder / "one"), everything(folder / "two")
        assert first == second
        assert [case for case, _, _ in first.values()] == written
        counts = [dermtwin.check(casebook=folder / each).counts for each in ("one", "two")]
        assert counts[0] == counts[1]


def test_an_export_holds_what_the_conditions_let_through_and_is_known(book, tmp_path) -> None:
    dermtwin.export(tmp_path / "out", casebook=book, where=["sex=female"])
    with Casebook.open(book) as opened:
        wanted = [each.case for each in opened.all_records() if each.case.sex == "female"]
        (known,) = copies(opened)
    assert (known.kind, known.path) == ("export", str(tmp_path / "out"))
    images = {path.stem: path.read_bytes() for path in (tmp_path / "out/images").iterdir()}
    assert images == {case.isic_id: picture_of(case) for case in wanted}
    with pytest.raises(DatasetError, match="holds things already"):
        dermtwin.export(tmp_path / "out", casebook=book)
    with pytest.raises(DatasetError, match="no case of"):
        dermtwin.export(tmp_path / "none", casebook=book, where=["age_approx=99"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases", "out"]


# --- another encoder


def answers_by_hand(book, encoder: Encoder, data: bytes) -> list[tuple[str, float]]:
    with Casebook.open(book) as opened:
        known = [each.case for each in opened.all_records()]
    return nearest_by_hand(known, encoder, data, k=10, every_image=True)


def asked(consultation, data: bytes) -> tuple[str, list[tuple[str, float]]]:
    answer = consultation.ask(data, name="query.jpg", k=10, every_image=True)
    return answer.encoder, [(each.hit.isic_id, each.hit.distance) for each in answer.hits]


def test_no_answer_mixes_two_encoders_while_the_casebook_gets_another(
    book, encoder, other_file
) -> None:
    data, other = picture(1234), Encoder.open(other_file)
    expected = {each.id: answers_by_hand(book, each, data) for each in (encoder, other)}
    assert expected[encoder.id] != expected[other.id]
    seen: list[tuple[str, list[tuple[str, float]]]] = []
    done = threading.Event()

    def ask_on(consultation: Consultation) -> None:
        while not done.is_set():
            seen.append(asked(consultation, data))

    with Casebook.open(book) as opened:
        consultation = Consultation(opened)
        assert asked(consultation, data) == (encoder.id, expected[encoder.id])
        threads = [threading.Thread(target=ask_on, args=(consultation,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        with Process() as process:
            for path in (other_file, book.parent / "back.onnx", other_file):
                if not path.exists():
                    path.write_bytes(encoder.data)
                assert "error" not in process.ask("reencode", casebook=book, encoder=path)
            # What was committed before a question is in its answer.
            assert asked(consultation, data) == (other.id, expected[other.id])
        done.set()
        for thread in threads:
            thread.join()
    assert {name for name, _ in seen} == {encoder.id, other.id}
    for name, found in seen:
        assert found == expected[name]
    assert [path.stem for path in (book / "encoders").iterdir()] == [other.id]
    assert dermtwin.check(casebook=book).problems == ()


def test_a_reencoding_that_is_killed_leaves_the_old_codes_and_is_taken_up(
    book, tmp_path, other_file
) -> None:
    more = write_dataset(tmp_path / "more", make_cases(150, start=200))
    dermtwin.add(more, casebook=book)
    before = everything(book)
    with Process("fill", 2) as process:
        process.begin("reencode", casebook=book, encoder=other_file)
        assert process.end()[0] < 0
    report = dermtwin.check(casebook=book)
    assert report.problems == ()
    assert report.counts["codes_beside"] == 64
    assert everything(book) == before
    done = dermtwin.reencode(casebook=book, encoder=other_file)
    assert (done.made, done.cases) == (180 - 64, 180)
    report = dermtwin.check(casebook=book)
    assert (report.problems, report.counts["codes_beside"]) == ((), 0)
    other = Encoder.open(other_file)
    for case, _, code in everything(book).values():
        by_hand = other.encode(picture_of(case), name=case.isic_id).vectors()[0]
        assert code == by_hand.tolist()
    assert "already" in str(dermtwin.reencode(casebook=book, encoder=other_file))


def test_cases_added_and_forgotten_meanwhile_are_taken_along(
    book, tmp_path, encoder_file, other_file
) -> None:
    more = write_dataset(tmp_path / "more", make_cases(10, start=100))
    late = write_dataset(tmp_path / "late", make_cases(10, start=200))
    times = 0

    def disturb(items, *, label, total=None):
        nonlocal times
        for item in untracked(items, label=label, total=total):
            yield item
            if times == 3:
                dermtwin.add(more, casebook=book)
                dermtwin.forget(casebook=book, lesion="IL_0000000")
                dermtwin.forget(casebook=book, lesion="IL_0000009")
            times += 1

    with Process() as process:
        dermtwin.reencode(casebook=book, encoder=other_file, track=disturb)
        # An `add` of the old encoder is refused now, and nothing of it is half there.
        refused = process.ask("add", late, casebook=str(book), encoder=str(encoder_file))
    assert "cannot be compared" in refused["error"]
    names = everything(book).keys()
    assert len(names) == 30 + 10 - 2 - 3
    assert dermtwin.check(casebook=book).problems == ()


def test_a_casebook_with_a_lost_image_keeps_its_encoder(book, encoder, other_file) -> None:
    lost = min((book / "images").rglob("*.jpg"))
    lost.unlink()
    with pytest.raises(CasebookError, match=r"1 cases of .* cannot be encoded, so it keeps"):
        dermtwin.reencode(casebook=book, encoder=other_file)
    with Casebook.open(book) as opened:
        assert opened.encoder_data()[0].id == encoder.id


# --- repair


def spoil_thumbnail(book) -> None:
    min((book / "thumbnails").rglob("*.jpg")).unlink()


def stray_files(book) -> None:
    name = digest(b"x")
    for path in (
        f"images/{name[:2]}/{name}.jpg",
        f"images/{name[:2]}/.{name}.png.nobody-0.part",
        f"thumbnails/{name[:2]}/{name}.jpg",
    ):
        (book / path).parent.mkdir(exist_ok=True)
        (book / path).write_bytes(b"x")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_thumbnail, "1 missing thumbnails made."),
        (lambda book: shutil.rmtree(book / "thumbnails"), "30 missing thumbnails made."),
        (stray_files, "3 files without a row removed."),
        ("DELETE FROM codes WHERE case_key = 2", "1 codes made."),
        ("UPDATE codes SET vector = x'00' WHERE case_key < 4", "3 codes made."),
        ("UPDATE codes SET bits = x'00' WHERE case_key = 4", "1 codes made."),
        ("UPDATE codes SET encoder_key = 7 WHERE case_key = 2", "1 codes made."),
        ("INSERT INTO lesions (lesion_id) VALUES ('x')", "1 rows of lesions, patients and images"),
        ("INSERT INTO patients (patient_id) VALUES ('x')", "1 rows of lesions, patients and im"),
        ("DELETE FROM changes WHERE case_key = 2", "1 cases entered in the list of changes."),
    ],
)
def test_what_can_be_repaired_is(book, spoil, words) -> None:
    before = everything(book)
    if isinstance(spoil, str):
        change(book, spoil)
    else:
        spoil(book)
    assert dermtwin.check(casebook=book).problems
    report = dermtwin.check(casebook=book, repair=True)
    assert report.problems == ()
    assert [done for done in report.repaired if words in done] == list(report.repaired)
    assert everything(book) == before
    assert dermtwin.check(casebook=book, repair=True).repaired == ()


def test_what_dermtwin_did_not_write_is_told_and_never_removed(book) -> None:
    name = digest(b"of somebody else")
    others = [
        "images/holiday.jpg",
        "images/.ab.jpg.nobody-0.part",
        f"images/{name}.jpg",
        f"images/{name[:2]}/{name}.jpg",  # not its own digest
        f"encoders/{name}.onnx",
        "thumbnails/ab/holiday.jpg",
    ]
    for path in others:
        (book / path).parent.mkdir(exist_ok=True)
        (book / path).write_bytes(b"mine")
    report = dermtwin.check(casebook=book, repair=True)
    assert report.repaired == ()
    assert sorted(problem.split()[0] for problem in report.problems) == sorted(others)
    assert all("nothing shows that dermtwin wrote it" in each for each in report.problems)
    assert [(book / path).read_bytes() for path in others] == [b"mine"] * len(others)


def test_a_lost_image_is_told_and_left(book) -> None:
    lost = min((book / "images").rglob("*.jpg"))
    lost.unlink()
    spoil_thumbnail(book)
    report = dermtwin.check(casebook=book, repair=True)
    assert [problem for problem in report.problems if f"{lost.name} cannot be read" in problem]


# --- counts


def test_statistics_are_what_a_loop_counts(book) -> None:
    found = dermtwin.stats(casebook=book)
    with Casebook.open(book) as opened:
        known = [each.case for each in opened.all_records()]
    assert found.cases == len(known)
    assert found.lesions == len({case.lesion_id for case in known} - {None})
    assert found.patients == len({case.patient_id for case in known} - {None})
    for name in ("sex", "diagnosis_1", "anatom_site_general"):
        assert found.fields[name] == Counter(getattr(case, name) for case in known)
    bands = Counter(
        None if case.age_approx is None else f"{case.age_approx // 10}0" for case in known
    )
    told = {value and value[:2]: count for value, count in found.fields["age_approx"].items()}
    assert told == bands
    assert found.bytes["images"] == sum(
        path.stat().st_size for path in (book / "images").rglob("*.jpg")
    )
    assert json.loads(json.dumps(found.to_json()))["fields"]["sex"][""] == bands.total() - sum(
        case.sex is not None for case in known
    )


def test_there_is_nothing_to_keep_where_there_is_no_casebook(tmp_path) -> None:
    for verb, arguments in {
        "backup": {"path": tmp_path / "b.zip"},
        "export": {"folder": tmp_path / "out"},
        "stats": {},
    }.items():
        with pytest.raises(DermtwinError, match="there is no casebook at"):
            getattr(dermtwin, verb)(**arguments, casebook=tmp_path / "none")
    assert np.array_equal(list(tmp_path.iterdir()), [])
