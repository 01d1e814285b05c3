"""Batches and loss of the artefact network."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dermtwin.datasets.drawn.overlay import COVERED
from dermtwin.learning.masks.augment import moved, relit
from dermtwin.learning.masks.pasting import LayerBank, lay_over
from dermtwin.learning.masks.pictures import KINDS, MaskedPictures

_WITH_PASTED = 0.4
_PASTE = 0.3


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a batch's artefacts.

    Attributes:
        seen: in the picture or not: float32 [N, 7].
        pixels: where it is: float32 [N, 7, H, W].
        known: 1 where `pixels` is known: float32 [N, 7, H, W].
    """

    seen: Tensor
    pixels: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactBatches:
    """Draws batches of labelled pictures, some with drawn artefacts laid over.

    Attributes:
        pictures: each with all labels.
        bank: artefacts at the pictures' size.
        seed: of all draws.
        size: pictures in a batch.
    """

    pictures: MaskedPictures
    bank: LayerBank
    seed: int
    size: int

    def draw(self, step: int) -> tuple[Tensor, Truth]:
        """A step's images [N, 3, H, W] and what is known of them."""
        rng = np.random.default_rng([self.seed, step])
        drawn = [self._one(rng) for _ in range(self.size)]
        images, seen, pixels, known = (np.stack(each) for each in zip(*drawn, strict=True))
        image = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        truth = Truth(
            *(torch.from_numpy(each.astype(np.float32)) for each in (seen, pixels, known))
        )
        return image.contiguous(memory_format=torch.channels_last), truth

    def _one(self, rng: np.random.Generator) -> tuple[NDArray[np.generic], ...]:
        place = int(rng.integers(len(self.pictures)))
        (view,) = moved(
            (self.pictures.views[place],), rng, zoom=(0.96, 1.06), shift=0.01, turn=False
        )
        picture = view.astype(np.float32) / np.float32(255)
        seen = self.pictures.labels[place] > 0
        pixels = np.zeros((len(KINDS), *view.shape[:2]), dtype=bool)
        # Of a picture that a person saw an artefact in, nobody knows where it is.
        known = np.broadcast_to(~seen[:, None, None], pixels.shape).copy()
        if rng.random() < _WITH_PASTED:
            for number, kind in enumerate(KINDS):
                if rng.random() < _PASTE:
                    layer = self.bank.pick(kind, rng)
                    picture = lay_over(picture, layer)
                    pixels[number] = layer.coverage >= COVERED
                    known[number] |= pixels[number]
        seen = seen | pixels.any(axis=(1, 2))
        return relit(picture, rng, strength=0.8), seen, pixels, known


class ArtefactLoss(nn.Module):
    """Cross-entropy of the pixels where they are known, and of "is there any" for each picture.

    "Any" is asked twice: of the network's word on the whole picture, which teaches it what to look
    for; and of the expected share f of the picture, 1 - exp(-f / scale), one scale a kind, learnt,
    so that the share itself is what tells pictures with from pictures without.
    """

    def __init__(self, scales: int = len(KINDS)) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((scales,), -5.0))

    def forward(self, found: tuple[Tensor, Tensor], truth: Truth) -> Tensor:
        """The loss of logits [N, 7, H, W] and, of the whole, [N, 7]."""
        logits, whole = found
        entropy = functional.binary_cross_entropy_with_logits(
            logits, truth.pixels, reduction="none", weight=truth.known
        )
        of_pixels = entropy.sum(dim=(2, 3)) / truth.known.sum(dim=(2, 3)).clamp(min=1)
        share = logits.sigmoid().mean(dim=(2, 3))
        missed = (-share / self.log_scale.exp()).clamp(min=-30)
        there = -torch.log(-torch.expm1(missed) + 1e-6)
        of_pictures = torch.where(truth.seen > 0, there, -missed)
        asked = functional.binary_cross_entropy_with_logits(whole, truth.seen)
        return 3 * of_pixels.mean() + of_pictures.mean() + asked
