"""The paper's network: one twin (the other shares its weights), and what is exported of it."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from dermtwin.learning.settings import MAP_SIDE, NetworkSettings


class TwinNetwork(nn.Module):
    """One twin: five convolutions, three fully connected layers.

    Each convolution is 3x3 over a mirrored border; each but the last is followed by ReLU, then
    batch normalisation. The last has one channel: the image code before pooling. ReLU and batch
    normalisation follow the first fully connected layer, a sigmoid stands between the second and
    the third.

    Source: the paper's Figure 1; mirrored borders and 3x3 after H. Gupta's siamese tutorial, 2017.
    """

    def __init__(self, settings: NetworkSettings, *, size: int) -> None:
        """Build the layers with PyTorch's own first weights.

        Args:
            settings: widths and strides.
            size: pixels on each side of the input.
        """
        super().__init__()
        self.convolutions = _convolutions((3, *settings.channels, 1), settings.strides)
        features = settings.last_side(size) ** 2
        first, second = settings.hidden
        self.connected = nn.Sequential(
            nn.Flatten(),
            nn.Linear(features, first),
            nn.ReLU(),
            nn.BatchNorm1d(first),
            nn.Linear(first, second),
            nn.Sigmoid(),
            nn.Linear(second, settings.outputs),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images [N, 3, size, size] to codes [N, outputs]."""
        code: Tensor = self.connected(self.convolutions(image))
        return code

    def pooled(self, image: Tensor) -> Tensor:
        """The last convolution averaged down: [N, 3, size, size] to [N, 25, 25]."""
        return pooled(self.convolutions(image))


def pooled(features: Tensor) -> Tensor:
    """Average [N, 1, side, side] down to [N, 25, 25]; the side is a multiple of 25."""
    cell = features.shape[-1] // MAP_SIDE
    return nn.functional.avg_pool2d(features, cell).flatten(1, 2)


class ExportedNetwork(nn.Module):
    """Both codes of an image: the paper's five numbers and its image code.

    The image code is sigmoid((p - mean) / deviation), p being the pooled last convolution, mean and
    deviation those of p over all training images and places. The paper asks for values from 0 to 1
    and does not say how they come about; this keeps the order of p, is the same function for every
    image, and uses the range whatever the scale of the last convolution.
    """

    def __init__(self, network: TwinNetwork, *, mean: float, deviation: float) -> None:
        """Take over a trained network.

        Args:
            network: its normalisations are folded away in a copy.
            mean: of the pooled last convolution over the training images.
            deviation: its standard deviation, above 0.
        """
        super().__init__()
        self.convolutions = folded(network.convolutions)
        self.connected = folded(network.connected)
        self._mean, self._deviation = mean, deviation

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images [N, 3, size, size] to code [N, D] and map [N, 25, 25] in 0 … 1."""
        features = self.convolutions(image)
        standardised = (pooled(features) - self._mean) / self._deviation
        return self.connected(features), standardised.sigmoid()


def folded(layers: nn.Sequential) -> nn.Sequential:
    """A copy in evaluation mode whose batch normalisations have gone into the layers behind them.

    There a batch normalisation is y = a·x + b per channel. Mirroring a border commutes with that
    (padding with zeros would not), so that the convolution or matrix behind it can take both:
    W·(a·x + b) + c = (W·a)·x + (W·b + c).
    """
    kept: list[nn.Module] = []
    norm: nn.BatchNorm1d | nn.BatchNorm2d | None = None
    for layer in deepcopy(layers).eval():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            norm = layer
            continue
        if norm is not None and isinstance(layer, nn.Conv2d | nn.Linear):
            _absorb(layer, norm)
            norm = None
        kept.append(layer)
    return nn.Sequential(*kept)


@torch.no_grad()
def _absorb(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    """Change a layer in place so that it does its normalisation's work too."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert layer.bias is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    # [outputs, inputs, ...]: what is per input channel lies along the second axis.
    per_input = (1, -1, *(1 for _ in layer.weight.shape[2:]))
    layer.bias += (layer.weight * shift.view(per_input)).flatten(1).sum(dim=1)
    layer.weight *= scale.view(per_input)


def _convolutions(channels: Sequence[int], strides: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in zip(channels, channels[1:], strides, strict=False):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, padding_mode="reflect"),
            nn.ReLU(),
            nn.BatchNorm2d(outputs),
        ]
    return nn.Sequential(*layers[:-2])
