"""What people drew and saw in a dataset's pictures: lesion masks and artefact labels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.datasets.table import Dataset, Row
from dermtwin.errors import DatasetError
from dermtwin.images import load
from dermtwin.vocabulary import Artefact, Case

MASK_FOLDER = "masks"

_MASK_ENDINGS = (".png", "_segmentation.png")
_WORDS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
# Masks of reduced pictures are a pixel longer or shorter than exact proportions would have it.
_PROPORTIONS = 0.02


def mask_path(dataset: Dataset, row: Row) -> Path | None:
    """The file of a row's lesion mask in `masks/` beside the table; None where there is none."""
    table = dataset.table
    folder = (table if table.is_dir() else table.parent) / MASK_FOLDER
    paths = (folder / f"{row.case.isic_id}{ending}" for ending in _MASK_ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def load_mask(path: Path, *, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a lesion mask, white on black: bool [height, width].

    Args:
        path: the file.
        size: width and height of its picture; a mask of other size is stretched to it.

    Raises:
        DatasetError: it has not the picture's proportions, or marks nothing.
        ImageError: it cannot be read.
    """
    grey = load(path)[:, :, 1]
    height, width = grey.shape
    if abs(width / height * size[1] / size[0] - 1) > _PROPORTIONS:
        raise DatasetError(
            f"{path} has {width}x{height} pixels and its picture {size[0]}x{size[1]}; "
            "export it in the picture's proportions."
        )
    fitted = Image.fromarray(np.ascontiguousarray(grey)).resize(size, Image.Resampling.NEAREST)
    mask = np.asarray(fitted) > 127
    if not mask.any():
        raise DatasetError(f"{path} marks no lesion; draw it white on black or remove the file.")
    return mask


def seen_artefacts(case: Case) -> Mapping[Artefact, bool]:
    """What the columns `label_<artefact>` say (1 or 0), for each kind that they say it of.

    Raises:
        DatasetError: a label is neither.
    """
    said = {kind: case.extra.get(f"label_{kind}", "").strip().lower() for kind in Artefact}
    for kind, word in said.items():
        if word and word not in _WORDS:
            raise DatasetError(f"{case.isic_id}: label_{kind} is {word!r}; write 1, 0 or nothing.")
    return {kind: _WORDS[word] for kind, word in said.items() if word}
