"""The backbones of a metric training: EfficientNet-Lite, or one of timm where it is installed."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from dermtwin.errors import SettingsError
from dermtwin.learning.efficientnet import DEVIATION, MEAN, EfficientNetLite, load_imagenet
from dermtwin.learning.metric.training_settings import BackboneSettings

_Channels = tuple[float, float, float]

_PROBE = 64
"""Pixels on each side of the picture that shows what a network gives."""


class TimmBackbone(nn.Module):
    """A network of timm up to its last map, [N, features, h, w].

    Attributes:
        features: channels of the map.
    """

    def __init__(self, settings: BackboneSettings) -> None:
        """Build it with random weights, or with those of a local file; nothing is downloaded.

        Raises:
            SettingsError: timm does not import, or has no such network; the weights cannot be
                read; or the network gives no map.
        """
        super().__init__()
        self.network = _made(settings)
        self.features = _map_width(self.network, name=settings.name)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W], H and W multiples of 32, to [N, features, h, w]."""
        features: Tensor = self.network.forward_features(image)
        return features


def make_backbone(settings: BackboneSettings) -> EfficientNetLite | TimmBackbone:
    """A backbone with the weights that it starts from.

    Raises:
        SettingsError: its package is not installed, or see `TimmBackbone`.
    """
    if settings.of_timm:
        return TimmBackbone(settings)
    backbone = EfficientNetLite(settings.variant, with_features=True, drop_path=settings.drop_path)
    load_imagenet(backbone, settings.variant)
    return backbone


def mean_and_deviation(settings: BackboneSettings) -> tuple[_Channels, _Channels]:
    """Of the pixels 0…1 that the backbone expects, per channel; raises SettingsError."""
    if not settings.of_timm:
        return MEAN, DEVIATION
    timm = _timm()
    try:
        found = timm.get_pretrained_cfg(settings.of_timm)
    except RuntimeError as error:  # the part of the name behind a full stop is unknown
        raise _unknown(settings) from error
    if found is None:
        raise _unknown(settings)
    mean, std = ((each[0], each[1], each[2]) for each in (found.mean, found.std))
    return mean, std


def _timm() -> ModuleType:
    try:
        import timm  # noqa: PLC0415 - optional
    except (ImportError, RuntimeError) as error:  # torchvision of another torch is the latter
        raise SettingsError(
            f"backbone.name timm:… needs timm, which does not import here ({error}); pip install "
            "timm, with the torchvision made for the torch that is installed."
        ) from error
    module: ModuleType = timm
    return module


def _made(settings: BackboneSettings) -> Any:  # noqa: ANN401 - timm has no types
    timm = _timm()
    if not timm.is_model(settings.of_timm):
        raise _unknown(settings)
    # `pretrained` with a file reads that file alone.
    options: dict[str, Any] = {"num_classes": 0, "pretrained": bool(settings.weights)}
    if settings.weights:
        options["pretrained_cfg_overlay"] = {"file": settings.weights}
    try:
        return timm.create_model(settings.of_timm, **options)
    except Exception as error:  # timm and torch raise whatever a foreign file leads to
        raise SettingsError(
            f"backbone.weights {settings.weights!r} do not fit {settings.name}: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else 'no such file'}."
        ) from error


def _unknown(settings: BackboneSettings) -> SettingsError:
    return SettingsError(
        f"backbone.name {settings.name}: timm has no network of this name; timm.list_models() "
        "lists them."
    )


@torch.no_grad()
def _map_width(network: Any, *, name: str) -> int:  # noqa: ANN401 - timm has no types
    """Channels of a network's last map."""
    mode = network.training
    try:
        shape = tuple(network.eval().forward_features(torch.zeros(2, 3, _PROBE, _PROBE)).shape)
    except Exception:  # noqa: BLE001 - an input of fixed size is refused in many ways
        shape = ()
    network.train(mode)
    # Of a transformer come tokens [N, T, C], or a map with its channels last.
    if len(shape) != 4 or shape[2] != shape[3] or not 2 <= shape[2] <= _PROBE // 4:
        raise SettingsError(
            f"backbone.name {name} gives no map [N, channels, h, w] of any picture, which regions "
            "need; choose a convolutional network."
        )
    return int(shape[1])
