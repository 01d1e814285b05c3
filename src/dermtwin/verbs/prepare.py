"""`dermtwin prepare`: a dataset of crops that keep the lesion and drop what lies in the way."""

import io
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.datasets import (
    Dataset,
    Fault,
    FaultKind,
    Row,
    describe_faults,
    write_table,
)
from dermtwin.errors import DatasetError, ImageError, MissingExtraError
from dermtwin.files import write_bytes
from dermtwin.images import decode, digest, read_file
from dermtwin.preparation import CropShape, Preparation, Recipe
from dermtwin.running import Track, in_order, untracked
from dermtwin.verbs.preparing.columns import COLUMNS, cells_of
from dermtwin.verbs.preparing.folder import Done, OutFolder, is_safe
from dermtwin.verbs.preparing.prepared import Prepared
from dermtwin.verbs.pseudonyms import read_to_write
from dermtwin.vocabulary import DRAWN_NOTICE

SHEET_FILE, REPORT_FILE = "contact-sheet.png", "report.html"

_PACKAGES = ("jinja2", "matplotlib")
# Photographs gain little from more effort, which costs several times the work.
_EFFORT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareReport:
    """What was made.

    Attributes:
        out: the new dataset's folder.
        prepared: pictures in it.
        resumed: those of them that an earlier run, cut short, had done already.
        not_found: pictures without a lesion that could be found; they are in it whole.
        remarked: pictures that a person should look at, those without a lesion among them.
        faults: rows that were left out.
        warnings: what was noticed in the table.
        is_drawn: whether the pictures are drawn, not real.
    """

    out: Path
    prepared: int
    resumed: int
    not_found: int
    remarked: int
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]
    is_drawn: bool

    def __str__(self) -> str:
        """All counts, on one line."""
        notice = f" ({DRAWN_NOTICE})" if self.is_drawn else ""
        return (
            f"{self.out}: {self.prepared:,} pictures prepared{notice}, {self.not_found:,} without "
            f"a lesion that could be found, {self.remarked:,} to look at, "
            f"{len(self.faults):,} rows left out"
        )


def prepare(
    dataset: str | Path,
    *,
    out: str | Path,
    masks: bool = False,
    shape: CropShape = "square",
    margin: float = 0.2,
    pseudonym_key: str | Path | None = None,
    track: Track = untracked,
) -> PrepareReport:
    """Crop every picture of a dataset, and tell what was found in it.

    A run that was cut short goes on where it stopped. The same files give the same bytes.

    Args:
        dataset: a dataset's folder or table.
        out: the folder to make, or one that the same arguments made.
        masks: write the lesion masks too, in the originals' frames, one bit a pixel; there is none
            where no lesion was found.
        shape: of the crops.
        margin: skin wanted on each side of the lesion, in lengths of its longer side.
        pseudonym_key: a file whose bytes are the key of the pseudonyms that patients of DICOM
            files are given; needed where any is written.
        track: watches the pictures go by.

    Raises:
        SettingsError: shape or margin are out of bounds, or a pseudonym needs a key.
        MissingExtraError: the extra `evaluate`, for contact sheet and report, is not installed.
        DatasetError: the dataset cannot be read, has no picture that can be, or has columns named
            like those to add; or `out` holds something else.
        DermtwinError: `out` cannot be written.
    """
    if not all(find_spec(package) for package in _PACKAGES):
        raise MissingExtraError("prepare", extra="evaluate")
    source = read_to_write(dataset, key_file=pseudonym_key, track=track)
    _refuse_columns(source)
    job = _Job(Preparation(Recipe(shape=shape, margin=margin)), OutFolder(Path(out)), masks=masks)
    job.folder.claim(source, recipe=job.preparation.recipe, masks=masks)
    rows, results, faults = _work(job, source, track=track)
    if not rows:
        raise DatasetError(f"{source.table} has no picture to prepare.\n{describe_faults(faults)}")
    prepared = Prepared(
        name=(source.table if source.table.is_dir() else source.table.parent).resolve().name,
        preparation=job.preparation,
        rows=tuple(rows),
        crops=tuple(job.folder.image(row.case.isic_id) for row in rows),
        cells=tuple(result.done.cells for result in results),
        left_out=len(faults),
        is_drawn=source.is_drawn,
    )
    _write_pictures(job.folder.path, prepared, track=track)
    _write_table(job.folder, source, prepared)
    job.folder.finish()
    return PrepareReport(
        out=job.folder.path,
        prepared=len(rows),
        resumed=sum(result.resumed for result in results),
        not_found=sum(not result.done.lesion_found for result in results),
        remarked=len(prepared.for_the_eye()),
        faults=tuple(faults),
        warnings=source.warnings,
        is_drawn=source.is_drawn,
    )


@dataclass(frozen=True, slots=True)
class _Result:
    """A row's outcome, and whether an earlier run had it."""

    done: Done
    resumed: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """What is done to each row, on any thread."""

    preparation: Preparation
    folder: OutFolder
    masks: bool

    def __call__(self, row: Row) -> _Result | str:
        """Prepare one row; a sentence where it cannot be."""
        isic_id = row.case.isic_id
        if not is_safe(isic_id):
            return f"{isic_id!r} cannot name a file; give it another isic_id."
        try:
            data = read_file(row.image)
            source = digest(data)
            known = self.folder.recall(isic_id, source=source, masks=self.masks)
            if known:
                return _Result(known, resumed=True)
            return _Result(self._prepare(row, data, source=source), resumed=False)
        except ImageError as error:
            self.folder.drop(isic_id)
            return str(error)

    def _prepare(self, row: Row, data: bytes, *, source: str) -> Done:
        isic_id = row.case.isic_id
        pixels = decode(data, name=str(row.image))
        findings = self.preparation.examine(pixels)
        crop = self.preparation.cut(pixels, findings)
        write_bytes(self.folder.image(isic_id), _png(crop))
        if self.masks and findings.lesion:
            write_bytes(self.folder.mask(isic_id), _png(findings.lesion.mask))
        done = Done(
            source=source, cells=cells_of(findings), lesion_found=findings.lesion is not None
        )
        self.folder.keep(isic_id, done)
        return done


def _work(
    job: _Job, source: Dataset, *, track: Track
) -> tuple[list[Row], list[_Result], list[Fault]]:
    """All rows that could be prepared with what was found, and the faults of the others."""
    rows, results, faults = [], [], list(source.faults)
    done = track(in_order(job, source.rows), label="preparing", total=len(source))
    for row, each in zip(source.rows, done, strict=True):
        if isinstance(each, str):
            faults.append(Fault(FaultKind.BROKEN, source.table, row.line, each))
        else:
            rows.append(row)
            results.append(each)
    return rows, results, sorted(faults, key=lambda fault: fault.line)


def _refuse_columns(source: Dataset) -> None:
    taken = [name for name in COLUMNS if name in source.columns]
    if taken:
        raise DatasetError(
            f"{source.table} has columns that preparation adds ({', '.join(taken)}); prepare the "
            "original dataset, or rename them."
        )


def _write_table(folder: OutFolder, source: Dataset, prepared: Prepared) -> None:
    rows = (
        Row(replace(row.case, extra={**row.case.extra, **cells}), crop, row.line)
        for row, cells, crop in zip(prepared.rows, prepared.cells, prepared.crops, strict=True)
    )
    write_table(folder.table, rows, columns=(*source.columns, *COLUMNS))


def _write_pictures(out: Path, prepared: Prepared, *, track: Track) -> None:
    # Jinja and Matplotlib are an extra, and slow to import.
    from dermtwin.verbs.preparing.report import report_page  # noqa: PLC0415
    from dermtwin.verbs.preparing.sheet import contact_sheet  # noqa: PLC0415

    sheet = contact_sheet(prepared, track=track)
    write_bytes(out / SHEET_FILE, _png(np.asarray(sheet)))
    write_bytes(out / REPORT_FILE, report_page(prepared, sheet=sheet).encode())


def _png(pixels: NDArray[np.uint8] | NDArray[np.bool_]) -> bytes:
    """A picture's or a mask's file, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_EFFORT)
    return buffer.getvalue()
