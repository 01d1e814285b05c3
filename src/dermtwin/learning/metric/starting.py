"""A training that starts from an encoder file instead of from ImageNet's weights.

In the file each batch normalisation is folded into its convolution. To be trained on, the network
needs them back: with the statistics of pictures, and with the scale and shift that undo these, a
normalisation changes nothing, so that the network gives the file's own codes until its first step.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from dermtwin.encoders import Encoder, normalised
from dermtwin.errors import SettingsError
from dermtwin.learning.efficientnet import EfficientNetLite
from dermtwin.learning.metric.network import MetricNetwork

_WEIGHED = ("Conv", "MatMul", "Gemm", "Add")
_TOLERANCE = 1e-3
"""How far codes of unit length may lie from the file's own; other weights differ in all digits."""


def start_from(network: MetricNetwork, encoder: Encoder, *, pictures: Iterable[Tensor]) -> None:
    """Give a network the weights of an encoder file that `dermtwin train` made.

    Args:
        network: on any device.
        encoder: of a network of the same shape; its input may be of another size.
        pictures: normalised, [N, 3, H, W] each, as the network is to be trained on.

    Raises:
        SettingsError: the encoder is not of such a network.
    """
    pairs = _pairs(network)
    heads = [each for each in (network.code, network.bits) if each is not None]
    own = [
        *(each for convolution, norm in pairs for each in (convolution.weight, norm.bias)),
        *(each for head in heads for each in (head.weight, head.bias)),
    ]
    found = list(_weights(encoder))
    if not pairs or [each.shape for each in own] != [each.shape for each in found]:
        raise _other_network(encoder)
    with torch.no_grad():
        for parameter, value in zip(own, found, strict=True):
            parameter.copy_(value)
        for _, norm in pairs:
            _set(norm, mean=torch.tensor(0.0), variance=torch.tensor(1.0), shift=norm.bias)
        network.eval()
        _refuse_difference(network, encoder)
        _restore_statistics(network, [norm for _, norm in pairs], pictures)
    network.train()


def _pairs(network: MetricNetwork) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each convolution with its normalisation, in the order in which pictures pass them."""
    if not isinstance(network.backbone, EfficientNetLite):
        return []
    layers = list(network.backbone.modules())
    convolutions = [each for each in layers if isinstance(each, nn.Conv2d)]
    norms = [each for each in layers if isinstance(each, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def _weights(encoder: Encoder) -> Iterator[Tensor]:
    """Weights and shifts of a graph's layers, in the order in which pictures pass them."""
    graph = onnx.load_from_string(encoder.data).graph
    held = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type not in _WEIGHED:
            continue
        for name in node.input:
            if name in held:
                value = torch.from_numpy(numpy_helper.to_array(held[name]).copy())
                # The exporter turns the matrix of a layer that meets a map's every place.
                yield value.T if node.op_type == "MatMul" else value


def _refuse_difference(network: MetricNetwork, encoder: Encoder) -> None:
    size = encoder.card.input.size
    views = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    image = torch.from_numpy(normalised(views, encoder.card.input))
    codes = network(image.to(network.code.weight.device)).codes.cpu().numpy()
    if not np.abs(codes - encoder.encode_views(views).vectors()).max() <= _TOLERANCE:
        raise _other_network(encoder)


def _other_network(encoder: Encoder) -> SettingsError:
    return SettingsError(
        f"{encoder.label} is not of the network that backbone.name and head.… describe; start from "
        "an encoder that `dermtwin train` made with the same ones, not from an int8 version."
    )


def _restore_statistics(
    network: MetricNetwork, norms: list[nn.BatchNorm2d], pictures: Iterable[Tensor]
) -> None:
    """Give normalisations the statistics of pictures; what they give stays as it is."""
    seen = {norm: _Seen(norm.num_features) for norm in norms}
    handles = [norm.register_forward_pre_hook(seen[norm].take) for norm in norms]
    for each in pictures:
        network(each)
    for handle in handles:
        handle.remove()
    for norm, found in seen.items():
        _set(norm, mean=found.mean, variance=found.variance, shift=norm.bias + found.mean)


def _set(norm: nn.BatchNorm2d, *, mean: Tensor, variance: Tensor, shift: Tensor) -> None:
    """Statistics, and the scale that undoes them."""
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(shift)


class _Seen:
    """Mean and variance of each channel of what passes; sums are float64."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._sums = torch.zeros(2, channels, dtype=torch.float64)

    def take(self, _module: nn.Module, given: tuple[Tensor]) -> None:
        """Count a map in, [N, channels, h, w]."""
        wide = given[0].double()
        self._count += wide.numel() // wide.shape[1]
        self._sums += torch.stack([wide.sum((0, 2, 3)), (wide**2).sum((0, 2, 3))]).cpu()

    @property
    def mean(self) -> Tensor:
        """[channels]."""
        return self._sums[0] / self._count

    @property
    def variance(self) -> Tensor:
        """[channels]."""
        return (self._sums[1] / self._count - self.mean**2).clamp(min=0)
