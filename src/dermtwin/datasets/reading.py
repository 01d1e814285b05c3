"""The one door through which a dataset comes in, whatever its layout."""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dermtwin.datasets.checking import check_values
from dermtwin.datasets.dicom import describe_dicom, is_dicom, list_dicom
from dermtwin.datasets.folder import (
    ImageFiles,
    find_sisters,
    find_table,
    list_class_folders,
    name_without_suffix,
)
from dermtwin.datasets.sheet import Record, Sheet, read_sheet
from dermtwin.datasets.table import Dataset, Fault, FaultKind, Row, describe_faults
from dermtwin.datasets.translation import (
    ID_COLUMNS,
    BrokenRowError,
    build_case,
    find_translators,
    is_one_hot,
)
from dermtwin.errors import DatasetError, ImageError
from dermtwin.running import Track, untracked

_EXAMPLES = 5


def read_dataset(
    path: str | Path, *, pseudonyms: bytes | None = None, track: Track = untracked
) -> Dataset:
    """Read a folder of images with its table, or the table file itself.

    Known layouts: what the ISIC Archive writes (download or unpacked snapshot), dermtwin's own
    tables, HAM10000's original table, the ISIC challenges' one-hot tables, the two folders
    `benign/` and `malignant/`, and a folder of DICOM files, which need no row: their headers tell
    what a row would. See docs/datasets.md for what is mapped to what.

    Rows that cannot be used are in the result's `faults`, what was noticed in its `warnings`.

    Args:
        path: the folder, or the table in it.
        pseudonyms: the key of the names that patients of DICOM files are given; unless given, one
            that nobody keeps, so that their names hold for this reading alone; see
            `Row.has_pseudonym`.
        track: watches the rows go by.

    Raises:
        DatasetError: there is no such folder, no metadata, no row, or no row that can be used.
    """
    path = Path(path)
    # Unlike Path.exists, for which a name too long for a file is an error.
    if not os.path.exists(path):  # noqa: PTH110
        raise DatasetError(f"{path} does not exist; give a dataset's folder or its table.")
    table = find_table(path) if path.is_dir() else path
    read = _Reading(pseudonyms or secrets.token_bytes(32), track)
    dataset = read.table(table) if table else read.folders(path)
    if not dataset.rows:
        raise _nothing_usable(dataset)
    return dataset


def _nothing_usable(dataset: Dataset) -> DatasetError:
    if dataset.faults:
        told = describe_faults(dataset.faults)
        return DatasetError(f"{dataset.table} has no row that can be used.\n{told}")
    return DatasetError(f"{dataset.table} is empty: it has a header but no rows; add some.")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading of a dataset: the key of its pseudonyms, and who looks on."""

    pseudonyms: bytes
    track: Track

    def folders(self, folder: Path) -> Dataset:
        """Read the folders of two classes; or, where there are none, a folder of DICOM files."""
        found: list[tuple[str | None, Path]] = [*list_class_folders(folder)]
        found = found or [(None, path) for path in list_dicom(folder)]
        if not found:
            raise DatasetError(
                f"{folder} holds no metadata.csv and no folders benign/ and malignant/ with "
                "images; a dataset needs one or the other, or DICOM files."
            )
        seen: set[str] = set()
        followed = self.track(found, label="reading", total=len(found))
        read = [self._without_row(path, folder, diagnosis, seen) for diagnosis, path in followed]
        return self._dataset(read, table=folder, columns=("diagnosis_1",))

    def table(self, table: Path) -> Dataset:
        """Read a table with the images beside it."""
        sheet = _with_sisters(read_sheet(table))
        id_column = next((name for name in ID_COLUMNS if name in sheet.columns), None)
        if id_column is None:
            raise DatasetError(
                f"{table}:1: no column isic_id or image; the header has: "
                f"{', '.join(sheet.columns)}."
            )
        reader = _RowReader(sheet, id_column, ImageFiles(table.parent), self.pseudonyms)
        read = list(self.track(reader.read(), label="reading", total=len(sheet.records)))
        is_whole = all(fault.table != table for fault in sheet.faults)
        unread = reader.images.without_row() if is_whole else []
        seen = {row.case.isic_id for row in read if isinstance(row, Row)}
        read += [self._without_row(path, table, None, seen) for path in unread if is_dicom(path)]
        names = [path.name for path in unread if not is_dicom(path)]
        warnings = (*sheet.warnings, *_describe_rowless(names, folder=table.parent))
        return self._dataset(
            [*sheet.faults, *read], table=table, columns=sheet.columns, warnings=warnings
        )

    def _without_row(
        self, image: Path, table: Path, diagnosis: str | None, seen: set[str]
    ) -> Row | Fault:
        """An image that no row speaks of: its folder or its own header does."""
        said = {} if diagnosis is None else {"diagnosis_1": diagnosis}
        try:
            said = {**_from_header(image, key=self.pseudonyms), **said}
        except ImageError as error:
            return Fault(FaultKind.BROKEN, table, 0, str(error))
        relative = image.relative_to(table if table.is_dir() else table.parent)
        isic_id = said.get("isic_id") or name_without_suffix(relative.as_posix())
        if isic_id in seen:
            message = (
                f"{image} is a copy of an earlier file."
                if is_dicom(image)
                else f"{image} has the same name as an earlier image but for its suffix."
            )
            return Fault(FaultKind.DUPLICATE, table, 0, message)
        seen.add(isic_id)
        case = build_case(isic_id, said, translators=find_translators((*said,)))
        return Row(case, image, 0, has_pseudonym=is_dicom(image))

    def _dataset(
        self,
        read: list[Row | Fault],
        *,
        table: Path,
        columns: tuple[str, ...],
        warnings: tuple[str, ...] = (),
    ) -> Dataset:
        rows = [each for each in read if isinstance(each, Row)]
        kept, patient_faults = _part_patients(rows, table=table)
        faults = [*(each for each in read if isinstance(each, Fault)), *patient_faults]
        return Dataset(
            table=table,
            columns=columns,
            rows=tuple(kept),
            faults=tuple(sorted(faults, key=lambda fault: fault.line)),
            warnings=(*warnings, *check_values(rows, table=table)),
        )


def _from_header(image: Path, *, key: bytes) -> Mapping[str, str]:
    return describe_dicom(image, key=key) if is_dicom(image) else {}


@dataclass(frozen=True, slots=True)
class _RowReader:
    """Turns records into rows or faults, one by one."""

    sheet: Sheet
    id_column: str
    images: ImageFiles
    pseudonyms: bytes

    def read(self) -> Iterator[Row | Fault]:
        translators = find_translators(self.sheet.columns)
        first_lines: dict[str, int] = {}
        for record in self.sheet.records:
            isic_id, written = self._name(record)
            image = self.images.of_path(written) if written else self.images.of_case(isic_id)
            if not isic_id:
                yield self._fault(FaultKind.BROKEN, record, f"it has no {self.id_column}.")
                continue
            if isic_id in first_lines:
                message = f"{isic_id} stands in line {first_lines[isic_id]} already."
                yield self._fault(FaultKind.DUPLICATE, record, message)
                continue
            first_lines[isic_id] = record.line
            if image is None:
                where = f"at {written}" if written else "beside the table or in images/"
                message = f"{isic_id} has no image file {where}."
                yield self._fault(FaultKind.NO_FILE, record, message)
                continue
            has_pseudonym = False
            try:
                if header := _from_header(image, key=self.pseudonyms):
                    has_pseudonym = "patient_id" in {*header} - {*record.values}
                    # What the table says goes before what the file says.
                    values = {**header, **record.values}
                    case = build_case(isic_id, values, translators=find_translators((*values,)))
                else:
                    case = build_case(isic_id, record.values, translators=translators)
            except (BrokenRowError, ImageError) as error:
                yield self._fault(FaultKind.BROKEN, record, f"{isic_id}: {error}")
                continue
            yield Row(case, image, record.line, has_pseudonym=has_pseudonym)

    def _name(self, record: Record) -> tuple[str, str | None]:
        """The case's name and, where the row gives one, its image's path."""
        name = record.values.get(self.id_column, "").strip()
        written = record.values.get("image")
        if self.id_column == "isic_id":
            return name, written
        # Without `isic_id`, `image` is a name in the challenges' tables and a path elsewhere.
        stem = name_without_suffix(name)
        return stem, (name if stem != name else None)

    def _fault(self, kind: FaultKind, record: Record, message: str) -> Fault:
        return Fault(kind, self.sheet.path, record.line, message)


def _with_sisters(sheet: Sheet) -> Sheet:
    """Join what a challenge keeps of the same images in further files beside the table."""
    if not is_one_hot(sheet.columns):
        return sheet
    for path in find_sisters(sheet.path):
        sheet = _join(sheet, read_sheet(path))
    return sheet


def _join(sheet: Sheet, other: Sheet) -> Sheet:
    """A sheet with what another tells of the same images, and with the other's faults."""
    shared = {*sheet.columns} & {*other.columns}
    key = next((name for name in ID_COLUMNS if name in shared), None)
    if key is None:
        told = f"{other.path} has no column that names the images of {sheet.path} and is left out."
        return replace(sheet, warnings=(*sheet.warnings, told))
    new = tuple(name for name in other.columns if name not in sheet.columns)
    more, faults = _by_key(other, key)
    names = [_key_of(record, key) for record in sheet.records]
    records = tuple(
        Record(record.line, {**record.values, **_only(more.get(name, {}), new)})
        for name, record in zip(names, sheet.records, strict=True)
    )
    alone = [name for name in names if name and name not in more]
    return replace(
        sheet,
        columns=(*sheet.columns, *new),
        records=records,
        faults=(*sheet.faults, *other.faults, *faults),
        warnings=(*sheet.warnings, *other.warnings, *_describe_alone(alone, other=other.path)),
    )


def _by_key(sheet: Sheet, key: str) -> tuple[dict[str, Mapping[str, str]], list[Fault]]:
    """The values of each image's first row; the other rows are faults."""
    first: dict[str, Record] = {}
    faults = []
    for record in sheet.records:
        name = _key_of(record, key)
        if not name:
            faults.append(Fault(FaultKind.BROKEN, sheet.path, record.line, f"it has no {key}."))
        elif first.setdefault(name, record) is not record:
            message = f"{name} stands in line {first[name].line} already."
            faults.append(Fault(FaultKind.DUPLICATE, sheet.path, record.line, message))
    return {name: record.values for name, record in first.items()}, faults


def _key_of(record: Record, key: str) -> str:
    """The image's name: one table of a set may have its suffix and another may not."""
    return name_without_suffix(record.values.get(key, "").strip())


def _only(values: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: values[name] for name in names if name in values}


def _part_patients(rows: list[Row], *, table: Path) -> tuple[list[Row], list[Fault]]:
    """Keep the rows of a lesion that agree with its first patient; the others are faults."""
    owners: dict[str, Row] = {}
    kept, faults = [], []
    for row in rows:
        case = row.case
        if case.lesion_id is None or case.patient_id is None:
            kept.append(row)
            continue
        owner = owners.setdefault(case.lesion_id, row)
        if owner.case.patient_id == case.patient_id:
            kept.append(row)
            continue
        message = (
            f"{case.isic_id}: lesion {case.lesion_id} belongs to patient {case.patient_id} here "
            f"and to {owner.case.patient_id} in line {owner.line}."
        )
        faults.append(Fault(FaultKind.PATIENTS, table, row.line, message))
    return kept, faults


def _describe_rowless(names: list[str], *, folder: Path) -> Iterator[str]:
    if names:
        shown = _examples(names)
        yield f"{folder}: {len(names)} image files have no row and are left out: {shown}"


def _describe_alone(names: list[str], *, other: Path) -> Iterator[str]:
    if names:
        yield f"{other}: no row for {len(names)} images of the set: {_examples(names)}"


def _examples(names: list[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
