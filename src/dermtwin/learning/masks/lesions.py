"""Batches and loss of the lesion network."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dermtwin.learning.masks.augment import moved, relit
from dermtwin.learning.masks.pasting import LayerBank, lay_over
from dermtwin.learning.masks.pictures import MaskedPictures
from dermtwin.vocabulary import Artefact

_PASTED = (Artefact.HAIR, Artefact.RULER, Artefact.INK, Artefact.DARK_CORNER, Artefact.PATCHES)
_PASTE = 0.12
_EMPTY = 0.08
_FOREIGN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionBatches:
    """Draws batches of augmented pictures and masks.

    Attributes:
        main: pictures like those that the network is for; half of what is drawn.
        more: further ones.
        bank: artefacts at the pictures' size.
        seed: of all draws.
        size: pictures in a batch.
    """

    main: MaskedPictures
    more: MaskedPictures
    bank: LayerBank
    seed: int
    size: int

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """A step's images [N, 3, H, W] and the lesion's share of each pixel [N, 1, H, W]."""
        rng = np.random.default_rng([self.seed, step])
        drawn = [self._one(rng) for _ in range(self.size)]
        images = np.stack([image for image, _ in drawn]).transpose(0, 3, 1, 2)
        masks = np.stack([mask for _, mask in drawn])[:, None]
        return (
            torch.from_numpy(np.ascontiguousarray(images)).contiguous(
                memory_format=torch.channels_last
            ),
            torch.from_numpy(masks.astype(np.float32) / np.float32(255)),
        )

    def _one(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        pictures = self.main if rng.random() < 0.5 else self.more
        place = int(rng.integers(len(pictures)))
        view, mask = pictures.views[place], pictures.masks[place]
        luck = rng.random()
        if luck < _FOREIGN:
            view, mask = foreign(rng, mask.shape), np.zeros_like(mask)
        elif luck < _FOREIGN + _EMPTY:
            view, mask = without_lesion(view, mask, rng)
        view, mask = moved(
            (view, mask), rng, zoom=(0.75, 1.35), shift=0.05, turn=rng.random() < 0.5
        )
        picture = view.astype(np.float32) / np.float32(255)
        for kind in _PASTED:
            if rng.random() < _PASTE:
                picture = lay_over(picture, self.bank.pick(kind, rng))
        return relit(picture, rng), mask


def without_lesion(
    view: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The largest of some random parts of a picture that holds no lesion, brought to its size.

    Where there is none, the picture as it was.
    """
    height, width = mask.shape
    near = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
    sums = cv2.integral(near.astype(np.uint8))
    best, area = None, 0
    for _ in range(40):
        share = rng.uniform(0.2, 0.7)
        rows, columns = int(height * share), int(width * share)
        top, left = int(rng.integers(height - rows)), int(rng.integers(width - columns))
        bottom, right = top + rows, left + columns
        inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        if inside == 0 and rows * columns > area:
            best, area = (slice(top, bottom), slice(left, right)), rows * columns
    if best is None:
        return view, mask
    part = cv2.resize(view[best], (width, height))
    return part.astype(np.uint8, copy=False), np.zeros_like(mask)


def foreign(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of no skin at all: patterns of a few colours, from very coarse to very fine."""
    height, width = shape
    cells = int(rng.integers(1, 24))
    grid = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
    how = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_CUBIC
    pattern = cv2.resize(grid, (width, height), interpolation=how)
    return pattern.astype(np.uint8, copy=False)


def lesion_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the pixels, plus one minus the soft Jaccard index of each lesion."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    chance = logits.sigmoid()
    both = (chance * truth).sum(dim=(1, 2, 3))
    either = (chance + truth - chance * truth).sum(dim=(1, 2, 3))
    has_lesion = truth.sum(dim=(1, 2, 3)) > 0
    overlap = (1 - (both + 1) / (either + 1)) * has_lesion
    return entropy + overlap.mean()
