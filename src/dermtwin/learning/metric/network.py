"""The network of a metric training: a backbone, a code of unit length, and bits."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dermtwin.learning import devices
from dermtwin.learning.efficientnet import EfficientNetLite
from dermtwin.learning.metric.backbones import make_backbone
from dermtwin.learning.metric.training_settings import BackboneSettings, HeadSettings


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the network makes of N images.

    Attributes:
        codes: [N, D], of unit length.
        bits: [N, B], a bit is set where above 0; None: the network has none.
    """

    codes: Tensor
    bits: Tensor | None


class MetricNetwork(nn.Module):
    """A backbone's last map, whose mean over the picture gives both codes.

    Both heads are linear after the mean, so that each region's share of the code is exact.
    """

    def __init__(
        self, backbone: BackboneSettings, head: HeadSettings, *, precision: torch.dtype
    ) -> None:
        """Build the layers: the backbone's weights below, random ones in the heads.

        Args:
            backbone: which.
            head: the codes.
            precision: of the backbone's multiplications while it is trained; all else is float32.

        Raises:
            SettingsError: the backbone's package or weights are not installed.
        """
        super().__init__()
        self.backbone = make_backbone(backbone)
        self.dropout = nn.Dropout(head.dropout)
        self.code = nn.Linear(self.backbone.features, head.numbers)
        self.bits = nn.Linear(self.backbone.features, head.bits) if head.bits else None
        self._frozen = backbone.frozen_stages
        self._precision = precision

    def forward(self, image: Tensor) -> Embedded:
        """Normalised images [N, 3, H, W], sides multiples of 32, to their codes.

        In training among several processes: to the codes of all processes' images.
        """
        mean = self.dropout(self._mean(image))
        bits = None if self.bits is None else self.bits(mean)
        return Embedded(functional.normalize(self.code(mean)), bits)

    def _mean(self, image: Tensor) -> Tensor:
        """The map's mean [N, features]; in training, of all processes' images."""
        if not self.training:
            mean: Tensor = self.backbone(image).mean(dim=(2, 3))
            return mean
        reduced = self._precision != torch.float32
        with torch.autocast(image.device.type, self._precision) if reduced else nullcontext():
            level = self.backbone(image)
        return devices.whole(level.to(self.code.weight.dtype).mean(dim=(2, 3)))

    def train(self, mode: bool = True) -> "MetricNetwork":  # noqa: FBT002 - PyTorch's
        """Set the mode; frozen stages keep their weights and their statistics."""
        super().train(mode)
        if self._frozen and isinstance(self.backbone, EfficientNetLite):
            for part in (self.backbone.stem, *self.backbone.stages[: self._frozen]):
                part.requires_grad_(requires_grad=False).eval()
        return self


class ExportedMetricNetwork(nn.Module):
    """A trained network's outputs as the encoder file has them."""

    def __init__(self, network: MetricNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Code [N, D], regions [N, h, w, D] and, where there are any, bits [N, B].

        The regions' sum over h and w is the code before its length is set to one.
        """
        features = self.network.backbone(image)
        places = features.permute(0, 2, 3, 1)
        share = 1 / (features.shape[2] * features.shape[3])
        regions = self.network.code(places) * share
        code = functional.normalize(regions.sum(dim=(1, 2)))
        if self.network.bits is None:
            return code, regions
        return code, regions, self.network.bits(features.mean(dim=(2, 3)))


def first_network(
    backbone: BackboneSettings,
    head: HeadSettings,
    *,
    seed: int,
    precision: torch.dtype = torch.float32,
) -> MetricNetwork:
    """The network before training, the same for the same seed; the global seed stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MetricNetwork(backbone, head, precision=precision)
