"""A casebook's files: images and thumbnails named by their content, encoders by their id.

A file is written under a temporary name, forced to the disk and renamed, so that under its own name
it is always whole. Whether a row names it is the journal's business.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from dermtwin.casebook.location import Location
from dermtwin.files import sync
from dermtwin.running import in_order

IMAGES = "images"
THUMBNAILS = "thumbnails"
ENCODERS = "encoders"

NAMED = re.compile(
    r"(?:images|thumbnails)/([0-9a-f]{2})/\1[0-9a-f]{62}\.[a-z]{3,4}|encoders/[0-9a-f]{64}\.onnx"
)
"""How the files are named, relative to the casebook."""

_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp"}
_TEMPORARY = ".part"
# Threads that wait for the disk, not for a core.
_AT_ONCE = 8


def image_path(sha256: str, *, format: str) -> str:  # noqa: A002 - the picture's format
    """Where an image lies, relative to the casebook."""
    return f"{IMAGES}/{sha256[:2]}/{sha256}.{_SUFFIXES[format]}"


def thumbnail_path(sha256: str) -> str:
    """Where an image's thumbnail lies, relative to the casebook."""
    return f"{THUMBNAILS}/{sha256[:2]}/{sha256}.jpg"


def encoder_path(encoder_id: str) -> str:
    """Where an encoder's file lies, relative to the casebook."""
    return f"{ENCODERS}/{encoder_id}.onnx"


def final_path(relative: str) -> str:
    """The path that a file has once it is whole: a temporary name is undone."""
    folder, _, name = relative.rpartition("/")
    if not name.startswith(".") or not name.endswith(_TEMPORARY):
        return relative
    stem, _, _ = name[1:].removesuffix(_TEMPORARY).rpartition(".")
    return f"{folder}/{stem}"


class Store:
    """The files of one casebook; paths are relative to its folder.

    Attributes:
        database: the casebook's place, as its errors name it.
    """

    def __init__(self, location: Location) -> None:
        self.database = location
        self.folder = location.folder
        self._numbers = count()

    def make(self) -> None:
        """Make the folders that files go to."""
        for name in (IMAGES, THUMBNAILS, ENCODERS):
            (self.folder / name).mkdir(exist_ok=True)
        sync(self.folder)

    def path(self, relative: str) -> Path:
        """The whole path of a file."""
        return self.folder / relative

    def exists(self, relative: str) -> bool:
        """Whether the file is there."""
        return self.path(relative).is_file()

    def digest(self, relative: str) -> str:
        """The SHA-256 of a file's bytes; raises OSError."""
        with self.path(relative).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def is_ours(self, relative: str) -> bool:
        """Whether a file is a casebook's beyond doubt: by its name, and by the content it names."""
        final = final_path(relative)
        if not NAMED.fullmatch(final):
            return False
        # A half-written file has no digest yet, and a thumbnail has its image's.
        if final != relative or relative.startswith(THUMBNAILS):
            return True
        try:
            return self.digest(relative) == self.path(relative).stem
        except OSError:
            return False

    def write(self, relative: str, data: bytes, *, owner: str) -> None:
        """Write a file, whole and on the disk when this returns, unless it is there already.

        Threads may write at once, the same file too.

        Args:
            relative: where.
            data: what.
            owner: the writer under whose name the journal expects the file.
        """
        if not self.exists(relative):
            folder = self.path(relative).parent
            self._make_folder(folder)
            self._write((relative, data), owner=owner)
            sync(folder)

    def write_all(self, files: Mapping[str, bytes], *, owner: str) -> None:
        """Write files as `write` does, many at once: the disk is waited for together."""
        new = {path: data for path, data in files.items() if not self.exists(path)}
        folders = sorted({self.path(path).parent for path in new})
        for folder in folders:
            self._make_folder(folder)
        for _ in in_order(partial(self._write, owner=owner), new.items(), workers=_AT_ONCE):
            pass
        for _ in in_order(sync, folders, workers=_AT_ONCE):
            pass

    def _write(self, file: tuple[str, bytes], *, owner: str) -> None:
        path, data = self.path(file[0]), file[1]
        temporary = path.with_name(f"{_prefix(path, owner)}{next(self._numbers)}{_TEMPORARY}")
        try:
            with temporary.open("xb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def remove(self, relative: str) -> None:
        """Remove a file, if it is there, and see to it that it stays removed."""
        path = self.path(relative)
        if path.parent.is_dir():
            path.unlink(missing_ok=True)
            sync(path.parent)

    def remove_temporaries(self, relative: str, *, owner: str) -> None:
        """Remove what a writer began to write of a file and never finished."""
        path = self.path(relative)
        for temporary in path.parent.glob(f"{_prefix(path, owner)}*{_TEMPORARY}"):
            temporary.unlink(missing_ok=True)

    def files(self) -> Iterator[str]:
        """All files of images, thumbnails and encoders, temporary ones too, in order."""
        for name in (IMAGES, THUMBNAILS, ENCODERS):
            for path in sorted((self.folder / name).rglob("*")):
                if not path.is_dir():
                    yield path.relative_to(self.folder).as_posix()

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            sync(folder.parent)


def _prefix(path: Path, owner: str) -> str:
    return f".{path.name}.{owner}-"


class WriterLock:
    """Who writes: each writer holds the lock with others; who clears up holds it alone.

    A lock of the operating system on a folder: it ends with its process, however that ends, and
    leaves no file behind.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder, os.O_RDONLY)

    def take_alone(self) -> bool:
        """Try to be the only writer, without waiting; tells whether that came true."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Be one of the writers; waits while somebody clears up."""
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def release(self) -> None:
        """Be no writer any more."""
        os.close(self._handle)


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Be the only one who makes or migrates this casebook; waits for others."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
