"""What a metric training minimises: the code's loss, the bits' own, and what makes bits binary."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dermtwin.learning.metric.bits import balance_loss, decorrelation_loss, quantisation_loss
from dermtwin.learning.metric.losses import Labels, Mixed, make_loss
from dermtwin.learning.metric.network import Embedded
from dermtwin.learning.metric.training_settings import MetricTrainingSettings


class Objective(nn.Module):
    """The whole loss of a batch.

    Bits enter the metric losses as tanh, scaled to unit length; all of them, and their prefix by
    itself, so that the first bits are a shorter code (Kusupati 2022, "Matryoshka").
    """

    def __init__(self, settings: MetricTrainingSettings, *, malignant_of: Tensor) -> None:
        """Build the losses, with first directions from the global random state."""
        super().__init__()
        self._bits = settings.bits
        lengths = (settings.bits.prefix, settings.head.bits)
        wanted = settings.head.bits and settings.bits.weight
        self._lengths = tuple(length for length in lengths if length) if wanted else ()

        def of(width: int) -> nn.Module:
            return make_loss(settings.loss, width=width, malignant_of=malignant_of)

        self.of_code = of(settings.head.numbers)
        self.of_bits = nn.ModuleList([of(length) for length in self._lengths])

    def forward(self, found: Embedded, known: Labels | Mixed) -> Tensor:
        """The loss of N images."""
        if isinstance(known, Labels):
            return self._of(found, known)
        first, second = self._of(found, known.first), self._of(found, known.second)
        return known.share * first + (1 - known.share) * second

    def _of(self, found: Embedded, labels: Labels) -> Tensor:
        total: Tensor = self.of_code(found.codes, labels)
        if found.bits is None:
            return total
        soft = torch.tanh(found.bits)
        for length, loss in zip(self._lengths, self.of_bits, strict=True):
            part = functional.normalize(soft[:, :length])
            total = total + self._bits.weight / len(self._lengths) * loss(part, labels)
        return (
            total
            + self._bits.quantisation * quantisation_loss(found.bits)
            + self._bits.balance * balance_loss(soft)
            + self._bits.decorrelation * decorrelation_loss(soft)
        )
