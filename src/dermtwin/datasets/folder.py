"""A dataset's folder: which file is its table, and which image belongs to which row."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dermtwin.datasets.sheet import read_columns
from dermtwin.datasets.translation import ID_COLUMNS
from dermtwin.errors import DatasetError
from dermtwin.images import SUFFIXES

CLASS_FOLDERS = ("benign", "malignant")

_TABLES = ("metadata.csv", "HAM10000_metadata.csv", "HAM10000_metadata")
# Where the archive, Kaggle's copy of HAM10000 and the challenges put the images.
_IMAGE_FOLDERS = ("images", "HAM10000_images_part_*", "ISIC*_Input")
# The challenges' sister tables that hold the rest of a row.
_SISTERS = ("_Metadata.csv", "_LesionGroupings.csv")


def find_table(folder: Path) -> Path | None:
    """Give the folder's table; None where there is none.

    Raises:
        DatasetError: several files could be it, or one that might be cannot be read.
    """
    named = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if named:
        return named
    found = [path for path in sorted(folder.glob("*.csv")) if names_cases(path)]
    truths = [path for path in found if not path.name.endswith(_SISTERS)]
    if len(truths) > 1:
        names = ", ".join(path.name for path in truths[:5])
        raise DatasetError(
            f"{folder} holds several tables ({names}); give the path of the one you mean."
        )
    return truths[0] if truths else None


def find_sisters(table: Path) -> list[Path]:
    """Tables of the same challenge set that hold further columns of the same images."""
    prefix = table.name.removesuffix(".csv").removesuffix("_GroundTruth")
    sisters = (table.with_name(prefix + ending) for ending in _SISTERS)
    return [path for path in sisters if path.is_file() and path != table]


def names_cases(path: Path) -> bool:
    """Whether a file is a table of cases, by its header; raises DatasetError if unreadable."""
    return path.is_file() and not set(ID_COLUMNS).isdisjoint(read_columns(path))


class ImageFiles:
    """The image files beside a table, by the name of their case."""

    def __init__(self, folder: Path) -> None:
        self._base = os.path.realpath(folder)
        self._by_stem: dict[str, list[Path]] = {}
        for path in _list_images(folder):
            self._by_stem.setdefault(path.stem, []).append(path)
        self._taken: set[str] = set()

    def of_case(self, isic_id: str) -> Path | None:
        """The file named like the case; with several, the first format of `images.SUFFIXES`."""
        found = self._by_stem.get(isic_id, [])
        self._taken.add(isic_id)
        return min(found, key=_by_suffix, default=None)

    def of_path(self, written: str) -> Path | None:
        """The file that a row names itself, relative to the table or absolute."""
        path = Path(os.path.normpath(os.path.join(self._base, written)))  # noqa: PTH118
        self._taken.add(path.stem)
        # Unlike Path.is_file, for which a name too long for a file is an error.
        return path if os.path.isfile(path) else None  # noqa: PTH113

    def without_row(self) -> list[Path]:
        """The files that no row has asked for, by name."""
        left = set(self._by_stem) - self._taken
        return sorted(
            (path for stem in left for path in self._by_stem[stem]), key=lambda path: path.name
        )


def _list_images(folder: Path) -> Iterator[Path]:
    yield from _images_in(folder)
    for pattern in _IMAGE_FOLDERS:
        for below in sorted(folder.glob(pattern)):
            if below.is_dir():
                yield from _images_in(below)


def _images_in(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            # Dot files are left-overs of an interrupted download or of a desktop.
            if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                yield folder / entry.name


def _by_suffix(path: Path) -> tuple[int, str]:
    return SUFFIXES.index(path.suffix.lower()), path.name


def list_class_folders(folder: Path) -> list[tuple[str, Path]]:
    """Images of the layout `benign/`, `malignant/`, also nested, as (class, path), in order.

    The class is that of the innermost folder so named; hidden files are passed over.
    """
    found = []
    for path in list_files(folder):
        parents = [part.lower() for part in path.relative_to(folder).parts[:-1]]
        classes = [part for part in parents if part in CLASS_FOLDERS]
        if classes and path.suffix.lower() in SUFFIXES:
            found.append((classes[-1].capitalize(), path))
    return found


def list_files(folder: Path, *, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files in a folder and below it, in order; hidden ones are passed over.

    Linked folders are entered too, but none inside itself: `above` are those that lead here.

    Raises:
        DatasetError: a folder cannot be read.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        paths = sorted(folder.iterdir())
        folders = {path for path in paths if path.is_dir()}
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DatasetError(f"{folder} cannot be read: {reason}; check its permissions.") from error
    for path in paths:
        if path in folders:
            yield from list_files(path, above=above | {real})
        elif path.is_file() and not path.name.startswith("."):
            yield path


def name_without_suffix(path: str) -> str:
    """The case's name that a path gives: the path itself without its image suffix."""
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix.lower() in SUFFIXES else path
