"""The folder that `dermtwin prepare` writes: whose it is, and which rows are done.

images/<isic_id>.png      the crops
masks/<isic_id>.png       where asked for
preparation.json          recipe and cases, written first: whose folder this is
.prepare/<isic_id>.json   a row that is done, written after its image; gone when all are
metadata.csv              written when all rows are done
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dermtwin.datasets import Dataset
from dermtwin.errors import DatasetError
from dermtwin.files import write_text
from dermtwin.preparation import Recipe

_MARKER = "preparation.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A row that is done.

    Attributes:
        source: SHA-256 of the original's file.
        cells: the new columns.
        lesion_found: whether there is a lesion mask.
    """

    source: str
    cells: Mapping[str, str]
    lesion_found: bool


@dataclass(frozen=True, slots=True)
class OutFolder:
    """Where everything goes."""

    path: Path

    @property
    def table(self) -> Path:
        """The new dataset's table."""
        return self.path / "metadata.csv"

    def image(self, isic_id: str) -> Path:
        """The crop's file."""
        return self.path / "images" / f"{isic_id}.png"

    def mask(self, isic_id: str) -> Path:
        """The lesion mask's file."""
        return self.path / "masks" / f"{isic_id}.png"

    def claim(self, dataset: Dataset, *, recipe: Recipe, masks: bool) -> None:
        """Make the folder this preparation's own.

        Raises:
            DatasetError: it holds something else, another preparation, or the dataset itself.
        """
        self._refuse_source(dataset)
        marker = self.path / _MARKER
        # Only the names: a label mended or an image fetched again must not cost the work done.
        names = "\n".join(row.case.isic_id for row in dataset)
        own = {
            "recipe": recipe.to_json(),
            "recipe_id": recipe.id,
            "cases": hashlib.sha256(names.encode()).hexdigest(),
            "masks": masks,
        }
        if marker.is_file():
            if _read(marker) != own:
                raise DatasetError(
                    f"{self.path} was prepared from other cases, by another recipe or with other "
                    "options; give a new folder, or the same arguments as then."
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise DatasetError(f"{self.path} holds something else; give a new folder.")
        else:
            write_text(marker, json.dumps(own, indent=1) + "\n")

    def recall(self, isic_id: str, *, source: str, masks: bool) -> Done | None:
        """What an earlier run that was cut short did for this very file; None: nothing."""
        values = _read(self._state(isic_id))
        try:
            done = Done(**values)
        except TypeError:
            return None
        wanted = [self.image(isic_id)]
        if masks and done.lesion_found:
            wanted.append(self.mask(isic_id))
        is_whole = done.source == source and all(path.is_file() for path in wanted)
        return done if is_whole else None

    def keep(self, isic_id: str, done: Done) -> None:
        """Note that a row is done; its image must be written by now."""
        write_text(self._state(isic_id), json.dumps(asdict(done)))

    def drop(self, isic_id: str) -> None:
        """Remove what an earlier run wrote for a row that no longer can be prepared."""
        for path in (self._state(isic_id), self.image(isic_id), self.mask(isic_id)):
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove the notes; the table stands."""
        shutil.rmtree(self.path / ".prepare", ignore_errors=True)

    def _state(self, isic_id: str) -> Path:
        return self.path / ".prepare" / f"{isic_id}.json"

    def _refuse_source(self, dataset: Dataset) -> None:
        own = self.path.resolve()
        source = dataset.table if dataset.table.is_dir() else dataset.table.parent
        folders = {source.resolve(), *(row.image.parent.resolve() for row in dataset)}
        if any(folder.is_relative_to(own) for folder in folders):
            raise DatasetError(
                f"{self.path} holds the dataset that is to be prepared; give a new folder."
            )


def is_safe(isic_id: str) -> bool:
    """Whether a case's name can name a file below a folder, and nothing outside of it."""
    parts = PurePosixPath(isic_id).parts
    return bool(parts) and not any(part in ("..", "/") for part in parts) and "\\" not in isic_id


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none or it is damaged."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
