"""A casebook in PostgreSQL: places, refusals, change numbers, a killed server."""

import os
import random
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_casebooks import (
    Process,
    acknowledged,
    contents,
    make_cases,
    picture_of,
    write_dataset,
)
from small_postgres import Server
from sqlalchemy import insert, select
from test_bulk import image_of

from dermtwin.casebook import Casebook
from dermtwin.casebook.bulk import place_all
from dermtwin.casebook.location import Location
from dermtwin.casebook.records import EncoderRecord
from dermtwin.casebook.schema import CHANGES
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.verbs.find import find
from dermtwin.verbs.forget import forget

CASES = make_cases(30)
NAMES = {case.isic_id for case in CASES}


@pytest.fixture(scope="module")
def thirty(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("thirty"), CASES)


def test_both_databases_answer_alike(tmp_path, postgres_url, dataset, encoder_file) -> None:
    """The same cases, the same answers, the same after an erasure."""
    books = (tmp_path / "sqlite", postgres_url)
    query = tmp_path / "query.jpg"
    query.write_bytes(picture_of(make_cases(1, start=900)[0]))
    for book in books:
        assert add(dataset, casebook=book, encoder=encoder_file).added == 40
        assert add(dataset, casebook=book).already_there == 40
    for kind, name in ((None, None), ("case", "ISIC_0000001"), ("patient", "IP_0000004")):
        if kind is not None:
            one, other = (forget(casebook=book, **{kind: name}) for book in books)
            assert (one.cases, one.codes, one.images) == (other.cases, other.codes, other.images)
        held, also = (contents(book) for book in books)
        assert held == also
        one, other = (find(query, casebook=book, k=20).to_json()["hits"] for book in books)
        assert one == other
        assert [check(casebook=book).problems for book in books] == [(), ()]


def test_a_name_that_no_text_can_be_is_refused(postgres_url, dataset, encoder_file) -> None:
    add(dataset, casebook=postgres_url, encoder=encoder_file)
    with Casebook.open(postgres_url) as casebook:
        with pytest.raises(SettingsError, match="type it anew"):
            casebook.records(["ISIC_0000001\0"])
        assert casebook.records(["ISIC_0000001"])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:secret@host/db", r"does not say where the image files lie; add \?images="),
        ("postgresql://u:secret@host/?images=x", "names no database"),
        ("postgresql://u:secret@host:port/db?images=x", "URL cannot be read"),
        ("mysql://u:secret@host/db?images=x", "mysql:// is neither"),
        ("postgresql://u:secret@localhost:1/db?images={}", "no server answers there"),
        ("postgresql://u@localhost:1/db?images={}&password=secret", "no server answers there"),
    ],
)
def test_a_url_that_leads_nowhere_is_a_sentence_without_its_password(tmp_path, url, words) -> None:
    for verb in (Casebook.open, Casebook.open_or_make):
        with pytest.raises(CasebookError, match=words) as caught:
            verb(url.format(tmp_path / "book"))
        assert "secret" not in str(caught.value)


def test_a_place_is_told_as_it_may_be_typed(tmp_path) -> None:
    given = f"postgres://me:se%2Fcret@host:99/db?sslmode=require&images={tmp_path}/a b"
    place = Location.of(given)
    assert (place.folder, place.url.password) == (tmp_path / "a b", "se/cret")
    again = Location.of(str(place))
    assert again.folder == place.folder
    assert str(again.url) == str(place.url).replace(":***", "")
    assert "cret" not in f"{place} {place!r} {place.quoted}"


def test_who_may_not_come_in_is_told_so(postgres, postgres_url) -> None:
    Casebook.open_or_make(postgres_url).close()
    if not postgres.ask("SELECT 1 FROM pg_roles WHERE rolname = 'guarded'"):
        postgres.ask("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    base = postgres_url.replace("postgres@", "guarded:wrong@")
    for url, words in (
        (base, "refuses the user or its password"),
        (base.replace(":wrong", ""), "refuses the user or its password"),
        (base.replace("wrong", "right"), "lacks a right"),
        (postgres_url.replace("@/t_", "@/absent_"), "no such database"),
    ):
        with pytest.raises(CasebookError, match=words) as caught:
            Casebook.open(url)
        assert "wrong" not in str(caught.value)


def test_another_folder_or_database_is_refused(
    tmp_path, postgres, postgres_url, dataset, encoder_file
) -> None:
    with pytest.raises(CasebookError, match="there is no casebook at postgresql://"):
        find(min(dataset.glob("*.jpg")), casebook=postgres_url)
    add(dataset, casebook=postgres_url, encoder=encoder_file)
    other = postgres.new_database()
    Casebook.open_or_make(postgres.url(other, images=tmp_path / "other")).close()
    wrong = postgres_url.replace(str(tmp_path / "book"), str(tmp_path / "other"))
    empty = postgres_url.replace(str(tmp_path / "book"), str(tmp_path / "empty"))
    for url, words in (
        (wrong, "is another casebook's"),
        (empty, "holds no files of this casebook"),
        (postgres.url(other, images=tmp_path / "book"), "is another casebook's"),
        (postgres_url.replace(str(tmp_path / "book"), str(dataset)), "is no casebook"),
    ):
        with pytest.raises(CasebookError, match=words):
            add(dataset, casebook=url)
        with pytest.raises(CasebookError):
            Casebook.open(url)
    postgres.drop(other)
    # Moved with its identity, it is still the same.
    shutil.move(tmp_path / "book", tmp_path / "moved")
    moved = postgres_url.replace(str(tmp_path / "book"), str(tmp_path / "moved"))
    assert len(contents(moved)) == 40


def test_a_database_of_other_things_is_never_made_a_casebook(postgres, postgres_url) -> None:
    database = postgres_url.partition("@/")[2].partition("?")[0]
    postgres.ask("CREATE TABLE songs (title TEXT)", database=database)
    for verb in (Casebook.open, Casebook.open_or_make):
        with pytest.raises(CasebookError, match=r"holds other tables \(songs\)"):
            verb(postgres_url)


def test_readers_see_one_moment_and_never_write(place) -> None:
    with Casebook.open_or_make(place) as one, Casebook.open(place) as other:
        with one.reading() as connection:
            before = connection.scalar(select(CHANGES.c.seq))
            with other.writing() as writing:
                writing.execute(insert(CHANGES).values(case_key=1, kind="added"))
            assert connection.scalar(select(CHANGES.c.seq)) == before is None
        assert one.version() == 1


def test_writing_through_a_reading_transaction_is_refused(postgres_url) -> None:
    with (
        Casebook.open_or_make(postgres_url) as opened,
        pytest.raises(CasebookError, match="read-only"),
        opened.reading() as connection,
    ):
        connection.execute(insert(CHANGES).values(case_key=1, kind="added"))


def test_change_numbers_come_in_the_order_of_commits(place) -> None:
    """Writers that begin in one order and would commit in another: a poller misses no change."""
    with Casebook.open_or_make(place) as opened, Casebook.open(place) as other:
        begun, given = threading.Event(), []

        def second() -> None:
            begun.wait()
            with other.writing() as connection:  # waits here, before it is given a number
                connection.execute(insert(CHANGES).values(case_key=2, kind="added"))

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second)
            with opened.writing() as connection:
                begun.set()
                time.sleep(0.1)
                assert opened.version() == 0
                connection.execute(insert(CHANGES).values(case_key=1, kind="added"))
                time.sleep(0.1)
                assert not waiting.done()
            waiting.result()
        with opened.reading() as connection:
            given = connection.execute(select(CHANGES.c.case_key).order_by(CHANGES.c.seq)).all()
        assert [key for (key,) in given] == [1, 2]


def test_a_poller_beside_many_writers_misses_no_change(place) -> None:
    """What every gallery does: read all changes after the last known number, again and again."""
    Casebook.open_or_make(place).close()
    count, each = 4, 25

    def write(writer: int) -> None:
        chance = random.Random(writer)
        with Casebook.open(place) as opened:
            for number in range(each):
                with opened.writing() as connection:
                    rows = [{"case_key": writer * 1000 + number, "kind": "added"}]
                    connection.execute(insert(CHANGES), rows)
                    time.sleep(chance.uniform(0, 0.002))

    seen: list[int] = []
    with ThreadPoolExecutor(count) as pool, Casebook.open(place) as opened:
        writers = [pool.submit(write, writer) for writer in range(count)]
        last, ending = 0, False
        while not ending:
            ending = all(writer.done() for writer in writers)
            with opened.reading() as connection:
                new = connection.execute(select(CHANGES).where(CHANGES.c.seq > last)).all()
            seen += [row.case_key for row in new]
            last = max([last, *(row.seq for row in new)])
        for writer in writers:
            writer.result()
    assert sorted(seen) == sorted(w * 1000 + n for w in range(count) for n in range(each))


@pytest.fixture
def own_server() -> Server:
    """A server that may be killed: no other test uses it."""
    server = Server()
    yield server
    server.stop()


def test_the_server_killed_at_random_moments_of_add(
    tmp_path, own_server, thirty, encoder_file
) -> None:
    """Ten moments: what was acknowledged is there when the server is back, and nothing is half."""
    chance = random.Random(7)
    reached = []
    with Process() as process:
        process.ask("check", casebook=tmp_path / "absent")  # all is imported
        for moment in range(10):
            book = own_server.url(own_server.new_database(), images=tmp_path / f"book-{moment}")
            process.begin("add", thirty, casebook=book, encoder=encoder_file)
            seen = (0, 0, 1)[moment] if moment < 3 else chance.randrange(2, 28)
            lines = [process.line() for _ in range(seen)]
            time.sleep(chance.uniform(0, 0.01 if seen else 0.3))
            own_server.kill()
            while (line := process.line()).startswith("in "):
                lines.append(line)
            if "error" in line:
                assert "server" in line, line
            own_server.start()
            told = acknowledged(each.rstrip() for each in lines)
            held = contents(book) if told else {}
            assert told <= held.keys() <= NAMES
            reached.append(len(told))
            done = add(thirty, casebook=book, encoder=encoder_file)
            assert (done.added + done.already_there, done.faults) == (len(CASES), ())
            report = check(casebook=book)
            assert (report.problems, report.counts["unfinished"]) == ((), 0)
            assert contents(book) == {case.isic_id: case for case in CASES}
    # Cases come in by batches: what matters is that some moments lay before the last one.
    assert min(reached) < len(CASES), reached


def test_a_full_disk_under_the_server(own_server, tmp_path) -> None:
    disk = own_server.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs the right to mount")
    try:
        owner = own_server.data.stat()
        os.chown(disk, owner.st_uid, owner.st_gid)
        own_server.ask(f"CREATE TABLESPACE small LOCATION '{disk}'")
        database = own_server.new_database()
        own_server.ask(f"ALTER DATABASE {database} SET TABLESPACE small")
        book = own_server.url(database, images=tmp_path / "book")
        notes = np.random.default_rng(0).integers(97, 123, (40, 2**20), dtype=np.uint8)
        rows = [
            (replace(case, extra={"note": note.tobytes().decode()}), image_of(number))
            for number, (case, note) in enumerate(zip(make_cases(40), notes, strict=True))
        ]
        encoder = EncoderRecord(1, "e", "e")
        with Casebook.open_or_make(book) as opened:
            with (
                pytest.raises(CasebookError, match="the disk is full"),
                opened.writing() as connection,
            ):
                place_all(connection, rows, encoder=encoder)
            assert opened.counts()["cases"] == 0
    finally:
        own_server.stop()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_server_that_comes_back_is_used_again(own_server, tmp_path) -> None:
    book = own_server.url(own_server.new_database(), images=tmp_path / "book")
    with Casebook.open_or_make(book) as opened:
        own_server.kill()
        with pytest.raises(CasebookError, match="server"):
            opened.version()
        own_server.start()
        assert opened.version() == 0


def test_a_worker_that_may_only_read_answers_and_never_writes(
    postgres, postgres_url, dataset, encoder_file
) -> None:
    add(dataset, casebook=postgres_url, encoder=encoder_file)
    query = min(dataset.glob("*.jpg"))
    before = find(query, casebook=postgres_url).to_json()["hits"]
    database = postgres_url.partition("@/")[2].partition("?")[0]
    if not postgres.ask("SELECT 1 FROM pg_roles WHERE rolname = 'reader'"):
        postgres.ask("CREATE ROLE reader LOGIN")
    postgres.ask("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database=database)
    url = postgres_url.replace("postgres@", "reader@")
    assert find(query, casebook=url).to_json()["hits"] == before
    with pytest.raises(CasebookError, match="lacks a right"):
        forget(casebook=url, case="ISIC_0000001")
    assert len(contents(postgres_url)) == 40


def test_a_casebook_copied_while_open_is_whole(tmp_path, dataset, encoder_file) -> None:
    """The folder copied with its log, while a reader holds it and nobody writes."""
    add(dataset, casebook=tmp_path / "book", encoder=encoder_file)
    with Casebook.open(tmp_path / "book") as opened, opened.reading() as connection:
        connection.execute(select(CHANGES)).all()
        assert (tmp_path / "book/casebook.sqlite-wal").exists()
        shutil.copytree(tmp_path / "book", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(tmp_path / "book")
    assert check(casebook=tmp_path / "copy").problems == ()
