"""Pictures to learn masks from, at the inner size, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.datasets import Dataset, Row
from dermtwin.datasets.annotations import load_mask, mask_path, seen_artefacts
from dermtwin.errors import DatasetError
from dermtwin.images import load
from dermtwin.preparation.pose import canonical_pose
from dermtwin.preparation.view import AT_LEAST, HEIGHT, WIDTH, halved, inner_view
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import Artefact

KINDS = tuple(Artefact)
"""The artefacts, in the order of their maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedPictures:
    """Pictures in their canonical pose, with the lesion's mask and the artefacts a person saw.

    Attributes:
        names: the cases.
        views: uint8 [N, height, width, 3].
        masks: share of each pixel that is lesion, 0…255, uint8 [N, height, width].
        labels: 1 seen, 0 not seen, -1 not said: int8 [N, 7], in the order of `KINDS`.
    """

    names: tuple[str, ...]
    views: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, where: Sequence[int] | NDArray[np.bool_]) -> "MaskedPictures":
        """Some of them."""
        places = np.arange(len(self))[np.asarray(where)]
        return MaskedPictures(
            names=tuple(self.names[place] for place in places),
            views=self.views[places],
            masks=self.masks[places],
            labels=self.labels[places],
        )


def load_masked(
    dataset: Dataset, *, half: bool = False, track: Track = untracked
) -> MaskedPictures:
    """Read all pictures of a dataset whose lesion mask stands in `masks/` beside the images.

    Args:
        dataset: with `masks/<isic_id>.png` or `masks/<isic_id>_segmentation.png` beside its table.
        half: at half the inner size, as the lesion network sees them.
        track: looks on.

    Raises:
        DatasetError: no picture has a mask, or one is not of its picture's proportions.
        ImageError: a picture cannot be read.
    """
    rows = [row for row in dataset if mask_path(dataset, row) is not None]
    if not rows:
        raise DatasetError(f"{dataset.table} has no masks; they belong into masks/<isic_id>.png.")
    loads = in_order(partial(_load, dataset=dataset, half=half), rows)
    views, masks = zip(*track(loads, label="reading pictures", total=len(rows)), strict=True)
    return MaskedPictures(
        names=tuple(row.case.isic_id for row in rows),
        views=np.stack(views),
        masks=np.stack(masks),
        labels=np.array([labels_of(row) for row in rows], dtype=np.int8),
    )


def labels_of(row: Row) -> list[int]:
    """What a person saw in a picture, in the order of `KINDS`; -1 where nothing is said."""
    seen = seen_artefacts(row.case)
    return [int(seen[kind]) if kind in seen else -1 for kind in KINDS]


def without_alike(
    pictures: MaskedPictures, kept_away: MaskedPictures, *, above: float
) -> MaskedPictures:
    """Leave out pictures that correlate with one of `kept_away` by more than `above`.

    So that no picture learnt from is another copy of one that is measured on.
    """
    closeness = _thumbnails(pictures) @ _thumbnails(kept_away).T
    return pictures.chosen(closeness.max(axis=1) <= above)


def _thumbnails(pictures: MaskedPictures) -> NDArray[np.float32]:
    """16 rows of 16 grey means each, of mean 0 and length 1: float32 [N, 256]."""
    count, height, width, _ = pictures.views.shape
    grey = np.stack([view.mean(axis=2, dtype=np.float32) for view in pictures.views])
    blocks = grey.reshape(count, 16, height // 16, 16, width // 16).mean(axis=(2, 4))
    flat = blocks.reshape(count, -1)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = flat / np.maximum(lengths, np.float32(1e-6))
    return scaled


def _load(row: Row, *, dataset: Dataset, half: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    pixels = load(row.image, at_least=AT_LEAST)
    path = mask_path(dataset, row)
    assert path is not None
    mask = load_mask(path, size=(pixels.shape[1], pixels.shape[0]))
    pose = canonical_pose(pixels)
    view = inner_view(pose.apply(pixels))
    size = (WIDTH // 2, HEIGHT // 2) if half else (WIDTH, HEIGHT)
    turned = Image.fromarray(np.ascontiguousarray(pose.apply(mask)).astype(np.uint8) * 255)
    return (halved(view) if half else view), np.asarray(turned.resize(size, Image.Resampling.BOX))
