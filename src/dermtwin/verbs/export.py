"""`dermtwin export`: the cases of a casebook as a dataset's folder."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dermtwin import files
from dermtwin.casebook import Casebook, Record
from dermtwin.casebook.copies import known_copy
from dermtwin.casebook.store import image_path
from dermtwin.datasets import Row, write_table
from dermtwin.errors import DatasetError, DermtwinError
from dermtwin.gallery import parse_where
from dermtwin.running import Track, in_order, untracked

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was exported: where to, and how many cases."""

    folder: str
    cases: int

    def __str__(self) -> str:
        return f"{self.folder}: {self.cases:,} cases with their image files."


def export(
    folder: str | Path,
    *,
    casebook: str | Path,
    where: Iterable[str] = (),
    track: Track = untracked,
) -> ExportReport:
    """Write cases as a dataset: `metadata.csv`, and `images/` with the files' own bytes.

    Added to an empty casebook they give the same cases again. The folder appears when all of it
    is written; the casebook remembers that it exists.

    Args:
        folder: where to; not there yet, or empty.
        casebook: the casebook's folder or PostgreSQL URL.
        where: conditions that a case must meet; see `dermtwin.gallery.filters`.
        track: looks on while images are copied.

    Raises:
        SettingsError: a condition is not understood.
        DatasetError: the folder holds things already, or no case meets the conditions.
        CasebookError: there is no casebook, an image is lost, or it cannot note the export.
        DermtwinError: the folder cannot be written.
    """
    folder = Path(folder)
    wanted = parse_where(where)
    with Casebook.open(casebook) as opened:
        records = [each for each in opened.all_records() if wanted.matches(each.case)]
        if not records:
            raise DatasetError(f"no case of {opened.path} meets the conditions; none is exported.")
        keys = [each.key for each in records]
        with (
            known_copy(opened, kind="export", path=folder, cases=keys),
            _making(folder) as temporary,
        ):
            _write(opened, records, temporary, track=track)
    return ExportReport(folder=str(folder), cases=len(records))


def _write(casebook: Casebook, records: list[Record], folder: Path, *, track: Track) -> None:
    images = folder / "images"
    images.mkdir()

    def copy(record: Record) -> Row:
        path = images / _file_name(record)
        path.write_bytes(casebook.image_of(record))
        return Row(record.case, path, 0)

    # Closed at once, whatever ends it: no thread writes into a folder that is being removed.
    with closing(in_order(copy, records)) as rows:
        write_table(folder / "metadata.csv", track(rows, label="export", total=len(records)))


def _file_name(record: Record) -> str:
    """The case's name where that can be a file's on any system, else its image's digest."""
    suffix = Path(image_path(record.sha256, format=record.format)).suffix
    name = record.case.isic_id
    stem = name if _PLAIN.fullmatch(name) else f"{record.sha256}-{record.key}"
    return stem + suffix


@contextmanager
def _making(folder: Path) -> Iterator[Path]:
    """Give a folder that becomes `folder` when the block ends well, and goes when it fails."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DatasetError(f"{folder} holds things already; name a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            temporary.replace(folder)
            files.sync(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DermtwinError(
            f"{folder} cannot be written: {reason}; nothing was left there."
        ) from error
