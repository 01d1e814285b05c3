import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dermtwin.errors import DermtwinError
from dermtwin.files import replacing, write_bytes, write_text


def test_written_whole_with_missing_folders_made(tmp_path) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    write_text(path, "größer")
    assert path.read_bytes() == "größer".encode()
    assert [each.name for each in path.parent.iterdir()] == ["x.txt"]


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "x.txt"
    write_bytes(path, b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 (our own, from the line above)
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_umask_is_kept(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_threads_that_write_leave_the_umask_as_it_is(tmp_path) -> None:
    def at_each_line(*_: object) -> Callable:
        time.sleep(1e-5)  # lets another thread go on
        return at_each_line

    before, traced = os.umask(0o077), threading.gettrace()
    threading.settrace(at_each_line)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: write_bytes(tmp_path / str(name), b""), range(100)))
    finally:
        threading.settrace(traced)
        after = os.umask(before)
    assert after == 0o077
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}


def test_a_folder_in_the_way_is_a_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DermtwinError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "x", b"")


def test_a_folder_of_that_name_is_told_before_the_work(tmp_path) -> None:
    work = []
    with pytest.raises(DermtwinError, match="is a directory"), replacing(tmp_path):
        work.append("done")
    assert not work
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from dermtwin.errors import DermtwinError
from dermtwin.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path(sys.argv[1]), b"x" * 5000)
except DermtwinError as error:
    print(error)
"""


def test_no_room_leaves_nothing_half_written(tmp_path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written: file too large; what was there is unchanged" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
