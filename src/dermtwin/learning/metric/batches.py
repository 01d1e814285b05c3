"""Batches of a metric training: drawn by number, changed on the device, with what is known."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dermtwin.encoders import InputSpec
from dermtwin.learning.images import TrainingImages
from dermtwin.learning.metric.augmentation import augmented
from dermtwin.learning.metric.losses import Labels, Mixed
from dermtwin.learning.metric.sampling import BalancedSampler, Indices
from dermtwin.learning.metric.training_settings import MetricTrainingSettings

LARGER = 1.25
"""Training pictures are kept this much larger than the input, so that crops of them are sharp."""


class Diagnoses:
    """The classes of a training: the deepest known diagnoses of its images.

    Attributes:
        names: of the classes, in alphabetical order.
        malignant_of: int64 [classes], 1 where malignant.
        of_image: int64 [N], each image's class.
    """

    def __init__(self, images: TrainingImages) -> None:
        """Number the diagnoses; malignancy belongs to their name."""
        named = [
            (case.diagnosis_1 or "", case.diagnosis or "", bool(malignant))
            for case, malignant in zip(images.cases, images.malignant, strict=True)
        ]
        classes = sorted(set(named))
        self.names = tuple(name for _, name, _ in classes)
        self.malignant_of = torch.tensor([int(malignant) for *_, malignant in classes])
        self.of_image = np.array([classes.index(each) for each in named], dtype=np.int64)


class MetricBatches:
    """What `train_network` draws from.

    Attributes:
        diagnoses: the classes.
        per_epoch: steps in an epoch.
    """

    def __init__(
        self,
        images: TrainingImages,
        settings: MetricTrainingSettings,
        *,
        spec: InputSpec,
        device: torch.device,
    ) -> None:
        """Set the images up for drawing.

        Args:
            images: with views `LARGER` times the input's size.
            settings: of the training.
            spec: of the network's input.
            device: where batches go.

        Raises:
            DatasetError: a class with one lesion alone.
        """
        self.diagnoses = Diagnoses(images)
        self._images, self._settings, self._device = images, settings, device
        self._sampler = BalancedSampler(
            self.diagnoses.of_image.tolist(),
            images.lesions,
            names=self.diagnoses.names,
            power=settings.sampling.power,
            per_batch=settings.sampling.per_batch,
            seed=settings.seed,
        )
        self.per_epoch = len(self._sampler)
        self._epoch = lru_cache(maxsize=1)(self._sampler.epoch)
        self._mean = torch.tensor(spec.mean, device=device).view(3, 1, 1)
        self._std = torch.tensor(spec.std, device=device).view(3, 1, 1)
        self._malignant_of = self.diagnoses.malignant_of.to(device)

    def draw(self, step: int) -> tuple[Tensor, Labels | Mixed]:
        """A step's images, normalised [N, 3, size, size], and what they show."""
        epoch, place = divmod(step, self.per_epoch)
        rows = self._epoch(epoch)[place]
        generator = torch.Generator().manual_seed(_seed_of(self._settings.seed, step))
        pixels = torch.from_numpy(self._images.views[rows].transpose(0, 3, 1, 2)).to(self._device)
        views = augmented(
            pixels.float() / 255,
            generator=generator,
            size=self._size(step),
            settings=self._settings.augmentation,
        )
        images = (views - self._mean) / self._std
        known: Labels | Mixed = self._labels(rows)
        if self._settings.augmentation.mix:
            images, known = self._mixed(images, rows, step)
        return images.contiguous(memory_format=torch.channels_last), known

    def _size(self, step: int) -> int:
        """Pixels on each side of a step's pictures: sizes grow in equal parts of the training."""
        sizes, steps = self._settings.sizes, self._settings.optimiser.epochs * self.per_epoch
        return sizes[min(step * len(sizes) // steps, len(sizes) - 1)]

    def _mixed(self, images: Tensor, rows: Indices, step: int) -> tuple[Tensor, Mixed]:
        """Each picture with the one as far from the batch's end, all by the same share."""
        alpha = self._settings.augmentation.mix
        drawn = np.random.default_rng([self._settings.seed, step, 1]).beta(alpha, alpha)
        share = float(max(drawn, 1 - drawn))
        known = Mixed(first=self._labels(rows), second=self._labels(rows[::-1]), share=share)
        return images.lerp(images.flip(0), 1 - share), known

    def _labels(self, rows: Indices) -> Labels:
        diagnosis = torch.from_numpy(self.diagnoses.of_image[rows]).to(self._device)
        return Labels(diagnosis=diagnosis, malignant=self._malignant_of[diagnosis])


def _seed_of(seed: int, step: int) -> int:
    """One number for both, as numpy mixes them."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
