"""A whole casebook in one file, and back.

    manifest.json        format, steps of the record, when, which change was the last, counts
    record/TABLE.jsonl   the rows of one moment; see `dump`
    images/…  thumbnails/…  encoders/…      the files, as they lie in a casebook
    SHA256SUMS           digest and name of every other member, as `sha256sum` writes them

The archive is a ZIP file without compression, so that any tool opens it. It suits either database.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from sqlalchemy import Connection, delete, exists, func, select

from dermtwin.casebook import dump, journal, records
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.copies import known_copy
from dermtwin.casebook.database import told
from dermtwin.casebook.migrations import STEPS, applied
from dermtwin.casebook.schema import CASES, CHANGES, ENCODERS, IMAGES, UNSETTLED
from dermtwin.casebook.store import NAMED, encoder_path, image_path, thumbnail_path
from dermtwin.casebook.writer import Writer
from dermtwin.errors import CasebookError
from dermtwin.files import replacing
from dermtwin.running import Track, in_order, untracked

FORMAT = 1

_MANIFEST, _SUMS = "manifest.json", "SHA256SUMS"
_RECORD = {f"record/{name}.jsonl": table for name, table in dump.TABLES.items()}
_BLOCK = 1 << 20  # bytes read at once
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        path: the file.
        made_at: ISO 8601, UTC.
        version: the number of the last change in it.
        cases: how many cases.
        files: how many images, thumbnails and encoders.
        bytes: the file's size.
    """

    path: str
    made_at: str
    version: int
    cases: int
    files: int
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.cases:,} cases with {self.files:,} files as of {self.made_at} "
            f"(change {self.version:,}), {self.bytes / 1e6:,.1f} MB, read again and whole."
        )


def back_up(casebook: Casebook, path: Path, *, track: Track = untracked) -> BackupReport:
    """Write one moment of a casebook to a file, while others may read and write it.

    The file has its name only once it was read again and found whole. The casebook remembers it.

    Args:
        casebook: an open casebook.
        path: a file that is not there yet.
        track: looks on while files are written and read again.

    Raises:
        CasebookError: the file is there already; the casebook misses a file; or it cannot note the
            backup, as it cannot be written.
        DermtwinError: the file cannot be written.
    """
    if path.exists():
        raise CasebookError(f"{path} is there already; give the backup a name of its own.")
    with known_copy(casebook, kind="backup", path=path), replacing(path) as temporary:
        for left in reversed(range(_TRIES)):
            try:
                _write(casebook, temporary, track=track)
                break
            except _ForgottenMeanwhileError as error:
                if not left:
                    raise CasebookError(
                        f"cases of {casebook.path} are forgotten faster than it can be backed up; "
                        "try again when that is done."
                    ) from error
        return verify(temporary, name=str(path), track=track)


def verify(path: Path, *, name: str | None = None, track: Track = untracked) -> BackupReport:
    """Read a backup whole and compare every byte's digest.

    Args:
        path: the file.
        name: what to call it; None: by its path.
        track: looks on while it is read.

    Raises:
        CasebookError: it is no backup, damaged, or made by a newer dermtwin.
    """
    name = name or str(path)
    with _opened(path, name=name) as archive:
        manifest = _manifest(archive, name=name)
        sums = _sums(archive, steps=set(manifest["steps"]), name=name)
        for member in track(sums, label="verify", total=len(sums)):
            if _digest(archive, member) != sums[member]:
                raise _damaged(name, f"{member} is not as it was written")
    return BackupReport(
        path=name,
        made_at=manifest["made_at"],
        version=manifest["version"],
        cases=manifest["cases"],
        files=len(sums.keys() - _RECORD.keys() - {_MANIFEST}),
        bytes=path.stat().st_size,
    )


def restore(backup: BackupReport, casebook: Casebook, *, track: Track = untracked) -> None:
    """Put a backup's cases, with all that belongs to them, into an empty casebook.

    Files first, rows after, in one transaction: whatever ends it, the casebook is empty or whole.

    Args:
        backup: one that `verify` found whole.
        casebook: an open casebook without cases.
        track: looks on while files are written.

    Raises:
        CasebookError: the casebook is not empty, or cannot be written.
    """
    path = Path(backup.path)
    owner = token_hex(8)
    with Writer(casebook), _opened(path, name=str(path)) as archive:
        with casebook.writing() as connection:
            _refuse_full(connection, casebook)
            files = [name for name in archive.namelist() if NAMED.fullmatch(name)]
            journal.note(connection, files, owner=owner)
        _write_files(casebook, archive, files, owner=owner, track=track)
        with casebook.writing() as connection:
            _refuse_full(connection, casebook)
            for member, table in _RECORD.items():
                if member not in archive.namelist():
                    continue  # of an older record, see `_sums`
                with archive.open(member) as text:
                    _take(connection, table.name, text, name=str(path))
            dump.continue_numbers(connection)
            connection.execute(delete(UNSETTLED).where(UNSETTLED.c.owner == owner))


class _ForgottenMeanwhileError(Exception):
    """A file went with its case while the backup was made."""


def _write(casebook: Casebook, path: Path, *, track: Track) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        sums = {}
        with casebook.reading() as connection:
            sums[_MANIFEST] = _put(archive, _MANIFEST, [_new_manifest(connection)])
            for member, table in _RECORD.items():
                sums[member] = _put(archive, member, dump.lines(connection, table))
            named = _named(connection)
        for member, expected in track(named.items(), label="backup", total=len(named)):
            found = _put_file(casebook, archive, member, expected=expected)
            if found is not None:
                sums[member] = found
        text = "".join(f"{digest}  {member}\n" for member, digest in sums.items())
        _put(archive, _SUMS, [text.encode()])


def _new_manifest(connection: Connection) -> bytes:
    manifest = {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": sorted(applied(connection)),
        "version": records.version(connection),
        "cases": connection.scalar(select(func.count()).select_from(CASES)),
    }
    return json.dumps(manifest, indent=1).encode()


def _named(connection: Connection) -> dict[str, str | None]:
    """Every file that a row names, with its digest; None: it has another and may be missing."""
    named: dict[str, str | None] = {}
    rows = connection.execute(select(IMAGES.c.sha256, IMAGES.c.format).order_by(IMAGES.c.sha256))
    for row in rows:
        # Before its image: only then does a missing one not mean a case that was forgotten.
        named[thumbnail_path(row.sha256)] = None
        named[image_path(row.sha256, format=row.format)] = row.sha256
    return named | {encoder_path(each): each for each in connection.scalars(select(ENCODERS.c.id))}


def _put_file(
    casebook: Casebook, archive: zipfile.ZipFile, member: str, *, expected: str | None
) -> str | None:
    try:
        with casebook.store.path(member).open("rb") as file:
            found = _put(archive, member, _blocks(file, name=member))
    except FileNotFoundError as error:
        if expected is None:
            return None
        if not _is_still_named(casebook, member):
            raise _ForgottenMeanwhileError(member) from error
        found = None
    if expected is not None and found != expected:
        what = "is missing" if found is None else "was altered"
        raise CasebookError(
            f"{casebook.store.path(member)} {what}, so that a backup would not be whole; take the "
            "file from an earlier backup or forget its cases (dermtwin check names all such)."
        )
    return found


def _blocks(file: IO[bytes], *, name: str) -> Iterator[bytes]:
    try:
        yield from iter(partial(file.read, _BLOCK), b"")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CasebookError(f"{name}, a file of the casebook, cannot be read: {reason}.") from error


def _is_still_named(casebook: Casebook, member: str) -> bool:
    with casebook.reading() as connection:
        return member in _named(connection)


def _put(archive: zipfile.ZipFile, member: str, blocks: Iterable[bytes]) -> str:
    """Add a member to an archive; its digest."""
    digest = hashlib.sha256()
    try:
        with archive.open(zipfile.ZipInfo(member), "w", force_zip64=True) as file:
            for block in blocks:
                digest.update(block)
                file.write(block)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CasebookError(
            f"the backup cannot be written: {reason}; what was there is unchanged."
        ) from error
    return digest.hexdigest()


@contextmanager
def _opened(path: Path, *, name: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(name, str(error).rstrip(".").lower() or "it ends too early") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CasebookError(f"{name} cannot be read: {reason}; check the path.") from error


def _manifest(archive: zipfile.ZipFile, *, name: str) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(archive.read(_MANIFEST))
        form, steps = int(manifest["format"]), set(manifest["steps"])
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(name, "it has no manifest of a dermtwin backup") from error
    if form > FORMAT or steps - STEPS.keys():
        raise CasebookError(f"{name} was made by a newer dermtwin; update dermtwin to restore it.")
    return manifest


def _sums(archive: zipfile.ZipFile, *, steps: set[str], name: str) -> dict[str, str]:
    """The digest of each member; refuses an archive that holds anything else.

    A record to which steps have been added since may lack tables.
    """
    try:
        text = archive.read(_SUMS).decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise _damaged(name, f"it has no {_SUMS}") from error
    sums = {
        member: digest for digest, _, member in (line.partition("  ") for line in text.splitlines())
    }
    members = archive.namelist()
    needed = {_MANIFEST, *_RECORD} if STEPS.keys() <= steps else {_MANIFEST}
    if sorted(members) != sorted([*sums, _SUMS]) or not needed <= sums.keys():
        raise _damaged(name, f"its members are not those of {_SUMS}")
    for member in sums.keys() - {_MANIFEST, *_RECORD}:
        if not NAMED.fullmatch(member):
            raise _damaged(name, f"it holds {member!r}, which belongs to no casebook")
        is_named_by_content = not member.startswith("thumbnails/")
        if is_named_by_content and sums[member] != Path(member).stem:
            raise _damaged(name, f"{member} is not as it was written")
    return sums


def _digest(archive: zipfile.ZipFile, member: str) -> str:
    digest = hashlib.sha256()
    with archive.open(member) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _write_files(
    casebook: Casebook, archive: zipfile.ZipFile, files: list[str], *, owner: str, track: Track
) -> None:
    def write(item: tuple[str, bytes]) -> None:
        with told(casebook.store.database):
            casebook.store.write(item[0], item[1], owner=owner)

    pairs = ((name, archive.read(name)) for name in files)
    for _ in track(in_order(write, pairs), label="restore", total=len(files)):
        pass


def _take(connection: Connection, table: str, text: Iterable[bytes], *, name: str) -> None:
    try:
        dump.take(connection, dump.TABLES[table], text)
    except (ValueError, TypeError) as error:
        raise _damaged(name, f"its rows of {table} cannot be read") from error


def _refuse_full(connection: Connection, casebook: Casebook) -> None:
    for table in (CASES, CHANGES, ENCODERS):
        if connection.scalar(select(exists().select_from(table))):
            raise CasebookError(
                f"{casebook.path} holds a casebook already; restore into a place of its own."
            )


def _damaged(name: str, what: str) -> CasebookError:
    return CasebookError(f"{name} is damaged or no backup: {what}; take another backup.")
