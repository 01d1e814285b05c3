"""Images as a network takes them: in batches, on the device, with their pairs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dermtwin.encoders import InputSpec, normalised
from dermtwin.learning.images import TrainingImages
from dermtwin.learning.pairs import Indices, PairSampler

# Images that pass through a network at once where nothing is learnt from them.
_ROWS = 128


class Examples:
    """A training's or a validation's images on their way into the network.

    Attributes:
        images: views, classes and lesions.
        spec: the network's input.
        sampler: of their pairs.
        device: where batches go.
    """

    def __init__(
        self, images: TrainingImages, spec: InputSpec, *, seed: int, device: torch.device
    ) -> None:
        """Set the images up for drawing pairs; raises DatasetError, see `PairSampler`."""
        self.images = images
        self.spec = spec
        self.sampler = PairSampler(images.malignant.tolist(), images.lesions, seed=seed)
        self.device = device

    def batch(self, indices: Indices) -> Tensor:
        """Images by their index, normalised: float32 [N, 3, size, size]."""
        return torch.from_numpy(normalised(self.images.views[indices], self.spec)).to(self.device)

    @torch.no_grad()
    def through(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """What a function makes of all images, in their order: [N, …], on the processor."""
        return torch.cat([function(self.batch(rows)).cpu() for rows in self._rows()])

    def _rows(self) -> Iterator[Indices]:
        for begin in range(0, len(self.images), _ROWS):
            yield np.arange(begin, min(begin + _ROWS, len(self.images)))


@dataclass(frozen=True, slots=True)
class Material:
    """All images of a training.

    Attributes:
        training: to learn from.
        validation: to measure on, with nothing learnt from them; None: none were given.
    """

    training: Examples
    validation: Examples | None
