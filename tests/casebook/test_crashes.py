"""Killed, starved of room, locked out: nothing acknowledged is lost, nothing is half there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from small_casebooks import (
    Process,
    acknowledged,
    contents,
    make_cases,
    state,
    write_dataset,
)

from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.errors import CasebookError
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.verbs.find import find
from dermtwin.verbs.forget import UnwrittenReceiptError, forget

CASES = make_cases(60)
NAMES = {case.isic_id for case in CASES}


@pytest.fixture(scope="module")
def sixty(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sixty"), CASES)


def look_after(book: Path, told: set[str]) -> None:
    """What must hold of a casebook whose writer was killed, before and after settling."""
    try:
        held = contents(book)  # each with its code, its image whole; nothing is settled yet
    except CasebookError as error:
        if "there is no casebook" not in str(error):
            raise
        held = {}  # killed before there was one
    assert told <= held.keys() <= NAMES
    assert list(held.values()) == [case for case in CASES if case.isic_id in held]
    if held:
        report = check(casebook=book)
        assert (report.problems, report.counts["unfinished"]) == ((), 0)
        files = [path for path in (book / "images").rglob("*") if path.is_file()]
        assert len(files) == report.counts["images"] == len(held)


@pytest.mark.parametrize("part", range(10))
def test_kill_nine_at_random_moments_of_add(tmp_path, sixty, encoder_file, part) -> None:
    """Five moments in each of ten parts: fifty in all."""
    chance = random.Random(part)
    reached = []
    for moment in range(5):
        book = tmp_path / f"book-{moment}"
        with Process() as process:
            process.ask("check", casebook=tmp_path / "absent")  # all is imported
            process.begin("add", sixty, casebook=book, encoder=encoder_file)
            # The first may come before any case is in, the second right after the first one.
            seen = (0, 1, *(chance.randrange(2, 50) for _ in range(3)))[moment]
            lines = [process.line().rstrip() for _ in range(seen)]
            time.sleep(chance.uniform(0, 0.3) if not seen else chance.uniform(0, 0.01))
            told = acknowledged([*lines, *process.kill()])
        look_after(book, told)
        reached.append(len(told))
        done = add(sixty, casebook=book, encoder=encoder_file)
        assert done.added + done.already_there == len(CASES)
        assert done.faults == ()
        assert contents(book).keys() == NAMES
        assert check(casebook=book).problems == ()
    assert any(0 < count < len(CASES) for count in reached), reached


@pytest.mark.parametrize(
    ("place", "count"),
    # First the encoder's; then those of a batch's 64 files and of their folders. A struck-out entry
    # is a row about to be committed with its batch.
    [*(("fsync", count) for count in (1, 2, 3, 5, 8, 40, 70, 90, 190)), ("strike_out", 1)],
)
def test_killed_at_a_chosen_step_of_add(tmp_path, sixty, encoder_file, place, count) -> None:
    book = tmp_path / "book"
    with Process(place, count) as process:
        process.begin("add", sixty, casebook=book, encoder=encoder_file)
        code, lines, _ = process.end()
    assert code == -signal.SIGKILL
    look_after(book, acknowledged(lines))
    assert add(sixty, casebook=book, encoder=encoder_file).faults == ()
    look_after(book, NAMES)


@pytest.mark.parametrize(
    ("place", "count"),
    [("remove", 1), ("remove", 2), ("fsync", 2), ("leave_no_traces", 1)],
)
def test_killed_at_a_chosen_step_of_forget(tmp_path, dataset, encoder_file, place, count) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    before = contents(book)
    gone = {case.isic_id for case in before.values() if case.lesion_id == "IL_0000002"}
    assert len(gone) > 1
    with Process(place, count) as process:
        process.begin("forget", casebook=book, lesion="IL_0000002")
        assert process.end()[0] == -signal.SIGKILL
    assert contents(book).keys() == before.keys() - gone
    report = check(casebook=book)
    assert (report.problems, report.counts["unfinished"]) == ((), 0)
    files = [path for path in book.rglob("*") if path.is_file()]
    left = len(before) - len(gone)
    pictures = [path for path in files if path.suffix == ".jpg"]
    assert len(pictures) == 2 * left  # with their thumbnails
    for path in files:
        data = path.read_bytes()
        assert not [name for name in gone if name.encode() in data], path


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_while_adding(tmp_path, small_disk, encoder_file) -> None:
    cases = make_cases(60)
    data = write_dataset(tmp_path / "data", cases)
    for path in data.glob("*.jpg"):  # a JPEG ends where it says; what follows is carried along
        path.write_bytes(path.read_bytes() + bytes(40_000))
    book = small_disk / "book"
    subprocess.run(["mount", "-o", "remount,size=2300k", str(small_disk)], check=True)
    with Process() as process:
        process.begin("add", data, casebook=book, encoder=encoder_file)
        told = []
        while (line := process.line()).startswith("in "):
            told.append(line.strip())
    assert "the disk is full" in line
    assert "Traceback" not in line
    assert 0 < len(told) < 60
    held = contents(book)
    assert acknowledged(told) <= held.keys()
    report = check(casebook=book)
    assert report.problems == ()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert add(data, casebook=book).faults == ()
    report = check(casebook=book)
    assert (report.problems, report.counts["cases"], report.counts["unfinished"]) == ((), 60, 0)


def test_a_receipt_that_no_disk_takes_any_more_is_not_lost(
    tmp_path, small_disk, dataset, encoder_file
) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    with (small_disk / "filling").open("wb", buffering=0) as filling, suppress(OSError):
        while filling.write(bytes(4096)):
            pass
    with pytest.raises(UnwrittenReceiptError, match=r"is forgotten, but .* no space") as caught:
        forget(casebook=book, case="ISIC_0000001", receipt=small_disk / "receipt.json")
    assert caught.value.report.is_gone
    assert [path.name for path in small_disk.iterdir()] == ["filling"]
    words = ["forget", "--casebook", book, "--case", "ISIC_0000002", "--json"]
    words += ["--receipt", small_disk / "receipt.json"]
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["cases"] == 1
    assert "is forgotten, but its receipt is kept nowhere" in done.stderr
    assert contents(book).keys().isdisjoint({"ISIC_0000001", "ISIC_0000002"})


def test_a_read_only_casebook_answers_and_is_never_written(
    tmp_path, small_disk, dataset, encoder_file
) -> None:
    book = small_disk / "book"
    more = write_dataset(tmp_path / "more", make_cases(5, start=500))
    add(dataset, casebook=book, encoder=encoder_file)
    query = min(dataset.glob("*.jpg"))
    before = find(query, casebook=book).to_json()["hits"]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    files = state(book)
    assert find(query, casebook=book).to_json()["hits"] == before
    assert check(casebook=book).problems == ()
    for verb in (
        lambda: add(more, casebook=book, encoder=encoder_file),
        lambda: add(more, casebook=book),
        lambda: add(more, casebook=small_disk / "new", encoder=encoder_file),
        lambda: forget(casebook=book, case="ISIC_0000001"),
    ):
        with pytest.raises(CasebookError, match="read-only"):
            verb()
    assert state(book) == files


def test_who_may_not_write_is_never_told_of_forgotten_cases(
    tmp_path, dataset, encoder_file
) -> None:
    """They read beside another program, from its log, and are refused where there is none."""
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    query = min(dataset.glob("*.jpg"))
    book.chmod(0o555)
    with Process(as_everybody=True) as reader:
        refused = reader.ask("find", query, casebook=book)
        assert "may not write into its folder" in refused["error"]
        book.chmod(0o755)
        with Casebook.open(book) as other:
            assert other.version()
            book.chmod(0o555)
            first = reader.ask("find", query, casebook=book)["hits"][0]["isic_id"]
            book.chmod(0o755)
            forget(casebook=book, case=first)
            book.chmod(0o555)
            found = reader.ask("find", query, casebook=book, k=40, every_image=True)["hits"]
    book.chmod(0o755)
    assert found
    assert first not in {hit["isic_id"] for hit in found}


@pytest.fixture
def read_only_here(tmp_path) -> Iterator[tuple[Path, Path]]:
    """A folder, and the same one under a place that is mounted read-only, as in a container."""
    folder, shown = tmp_path / "folder", tmp_path / "shown"
    folder.mkdir()
    shown.mkdir()
    mount = ["mount", "--bind", str(folder), str(shown)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a folder read-only needs the right to mount")
    subprocess.run(["mount", "-o", "remount,bind,ro", str(shown)], check=True)
    yield folder, shown
    subprocess.run(["umount", "-l", str(shown)], check=True)


def test_a_disk_that_is_read_only_here_and_written_from_elsewhere(
    read_only_here, dataset, encoder_file
) -> None:
    folder, shown = read_only_here
    add(dataset, casebook=folder / "book", encoder=encoder_file)
    data = min(dataset.glob("*.jpg")).read_bytes()
    with Casebook.open(shown / "book") as opened, Process() as elsewhere:
        reading = Consultation(opened)

        def found() -> set[str]:
            hits = reading.ask(data, name="query", k=40, every_image=True).hits
            return {hit.case.isic_id for hit in hits}

        before = found()
        gone = min(before)
        assert elsewhere.ask("forget", casebook=folder / "book", case=gone)["cases"] == 1
        assert found() == before - {gone}
    assert check(casebook=folder / "book").problems == ()


def test_a_file_of_a_living_writer_is_no_fault(tmp_path, dataset, encoder_file) -> None:
    """`check` beside an `add` neither settles nor complains of what that is about to name."""
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    more = write_dataset(tmp_path / "more", make_cases(200, start=1000))
    with Process() as process:
        process.begin("add", more, casebook=book)
        process.line()
        reports = [check(casebook=book) for _ in range(5)]
        assert process.answer()["added"] == 200
    assert [report.problems for report in reports] == [()] * 5
    assert check(casebook=book).counts["cases"] == 240
    with Casebook.open(book) as opened:
        assert opened.counts()["images"] == 240
