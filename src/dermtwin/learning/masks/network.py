"""The mask networks: small, fully convolutional, one map a kind."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dermtwin.learning.efficientnet import DEVIATION, MEAN, EfficientNetLite


class MaskNetwork(nn.Module):
    """An encoder of residual blocks and a decoder that adds what each level saw.

    Half the input's resolution is the finest that is computed on; the last layer gives each of its
    places a square of `detail` x `detail` pixels (pixel shuffle, Shi 2016). The mean of the
    coarsest level is added to all its places, so that each pixel knows the whole picture.
    """

    def __init__(self, *, widths: Sequence[int], kinds: int, detail: int = 1) -> None:
        """Build the layers.

        Args:
            widths: channels of each level, from the finest on.
            kinds: maps to give.
            detail: pixels on each side that a place of the finest level gives: 1 or 2.
        """
        super().__init__()
        finest = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, finest, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(finest),
            nn.ReLU(),
        )
        steps = list(pairwise(widths))
        self.down = nn.ModuleList([_Residual(finer, coarser) for finer, coarser in steps])
        self.context = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList([_Up(coarser, finer) for finer, coarser in reversed(steps)])
        self.head = nn.Conv2d(finest, kinds * detail * detail, 1)
        self._detail = detail

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, 3, H, W], 0…1, to logits [N, kinds, H/2·detail, W/2·detail]."""
        level = self.stem(image - 0.5)
        levels = []
        for block in self.down:
            levels.append(level)
            level = block(functional.max_pool2d(level, 2))
        level = level + self.context(level.mean(dim=(2, 3)))[:, :, None, None]
        for block in self.up:
            level = block(level, levels.pop())
        logits: Tensor = functional.pixel_shuffle(self.head(level), self._detail)
        return logits


class ArtefactNetwork(nn.Module):
    """The first five stages of EfficientNet-Lite0, and a decoder that adds what each level saw.

    What the whole picture speaks for is added to each pixel of a kind's map: a hair alone may be a
    scratch, among others it is a hair.
    """

    def __init__(self, *, kinds: int) -> None:
        """Build the layers.

        Args:
            kinds: maps to give.
        """
        super().__init__()
        self.trunk = EfficientNetLite(0, stages=5)
        widths = self.trunk.widths
        self.up = nn.ModuleList(
            [_Up(coarser, finer) for finer, coarser in reversed(list(pairwise(widths)))]
        )
        self.head = nn.Conv2d(widths[0], kinds * 4, 1)
        self.whole = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * widths[-1], kinds))
        self.lift = nn.Parameter(torch.ones(kinds))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Images [N, 3, H, W], 0…1, to logits [N, kinds, H, W], and [N, kinds] of the whole."""
        levels = self.trunk.levels((image - MEAN[0]) / DEVIATION[0])
        level = levels.pop()
        seen = torch.cat([level.mean(dim=(2, 3)), level.amax(dim=(2, 3))], dim=1)
        whole: Tensor = self.whole(seen)
        for block in self.up:
            level = block(level, levels.pop())
        pixels = functional.pixel_shuffle(self.head(level), 2)
        return pixels + (self.lift * whole)[:, :, None, None], whole

    def train(self, mode: bool = True) -> "ArtefactNetwork":  # noqa: FBT002 - PyTorch's
        """Set the mode; the finest stages stay as ImageNet left them.

        They cost most of a step, and edges and colours are what they know already.
        """
        super().train(mode)
        for part in (self.trunk.stem, *self.trunk.stages[:2]):
            part.requires_grad_(requires_grad=False).eval()
        return self


class Maps(nn.Module):
    """What is exported of an artefact network: its maps alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, 3, H, W], 0…1, to logits [N, kinds, H, W]."""
        logits: Tensor = self.network(image)[0]
        return logits


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, level: Tensor) -> Tensor:
        return torch.relu(self.body(level) + self.skip(level))


class _Up(nn.Module):
    def __init__(self, coarser: int, finer: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(coarser, finer, 1, bias=False)
        self.body = nn.Sequential(
            nn.Conv2d(finer, finer, 3, padding=1, bias=False), nn.BatchNorm2d(finer), nn.ReLU()
        )

    def forward(self, level: Tensor, seen: Tensor) -> Tensor:
        raised = functional.interpolate(self.narrow(level), scale_factor=2, mode="nearest")
        body: Tensor = self.body(raised + seen)
        return body
