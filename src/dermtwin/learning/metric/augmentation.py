"""Changes that leave a lesion a lesion: how it was held, lit and photographed; whole batches."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dermtwin.learning.metric.settings import AugmentationSettings

_BLUR = (0.3, 1.2)
"""Standard deviation in pixels, least and most."""
_BLUR_RADIUS = 3
_NOISE = (0.005, 0.03)
"""Standard deviation, of values from 0 to 1, least and most."""
_LENS = (1.1, 1.35)
"""The lens's radius, least and most; the middle of a side is at 1, a corner at 1.41."""
_LENS_SOFTNESS = 0.03

_GREY = (0.299, 0.587, 0.114)
"""Luminance of red, green, blue (ITU-R BT.601)."""


def augmented(
    images: Tensor, *, generator: torch.Generator, size: int, settings: AugmentationSettings
) -> Tensor:
    """Draw a changed view of each picture.

    A picture that is not square is stretched first. One bilinear sampling mirrors, turns, crops
    and resizes; what lies outside the picture is its mirror image. It does not smooth before
    it shrinks, so that images should come at less than about twice `size`.

    Args:
        images: float [N, 3, H, W], red-green-blue, 0 to 1.
        generator: of all draws; with one on the CPU they are the same whatever the images' device.
        size: pixels on each side of the view, at least 4.
        settings: how far pictures may change.

    Returns:
        [N, 3, size, size], 0 to 1, on the images' device.
    """
    luck = _Luck(generator=generator, like=images)
    view = _moved(images, luck, size=size, settings=settings)
    view = _relit(view, luck, settings)
    view = _blurred(view, luck.rows(settings.blur), luck)
    view = _noisy(view, luck.rows(settings.noise), luck)
    return _cornered(view, luck.rows(settings.corner), luck).clamp(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Luck:
    """Draws for a batch: made where the generator is, handed out where the images are."""

    generator: torch.Generator
    like: Tensor

    def between(self, least: float, most: float, *shape: int) -> Tensor:
        """Even draws [N, *shape]."""
        drawn = torch.rand(
            len(self.like), *shape, generator=self.generator, device=self.generator.device
        )
        return least + (most - least) * drawn.to(self.like)

    def factors(self, spread: float, *shape: int) -> Tensor:
        """Draws [N, *shape] from 1 / (1 + spread) to 1 + spread, even in their logarithm."""
        return (math.log1p(spread) * self.between(-1, 1, *shape)).exp()

    def rows(self, chance: float) -> Tensor:
        """Which images it happens to: indices [M]."""
        return (self.between(0, 1) < chance).nonzero()[:, 0]

    def normal_like(self, images: Tensor) -> Tensor:
        """Standard normal draws of these images' shape."""
        drawn = torch.randn(images.shape, generator=self.generator, device=self.generator.device)
        return drawn.to(self.like)


def _moved(images: Tensor, luck: _Luck, *, size: int, settings: AugmentationSettings) -> Tensor:
    """The views [N, 3, size, size]: mirrored, turned, cropped, resized."""
    linear = _turns(luck, settings) @ torch.diag_embed(_crop_sides(luck, settings))
    middle = 2 * luck.between(-settings.shift, settings.shift, 2, 1)  # a side is from -1 to 1
    shape = [len(images), 3, size, size]
    grid = functional.affine_grid(torch.cat([linear, middle], dim=2), shape, align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _turns(luck: _Luck, settings: AugmentationSettings) -> Tensor:
    """Mirrored and turned axes [N, 2, 2]; quarter turns are exact."""
    angle = torch.deg2rad(luck.between(-settings.angle, settings.angle))
    quarter = luck.between(0, 4 if settings.quarter_turns else 1).long().clamp(max=3)
    mirror = luck.between(0, 1) < (0.5 if settings.flip else 0.0)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack([cosine, -sine, sine, cosine], dim=-1).reshape(-1, 2, 2)
    quarters = turn.new_tensor(
        [[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]]
    )
    sides = torch.stack([torch.where(mirror, -1.0, 1.0), torch.ones_like(angle)], dim=-1)
    return turn @ quarters[quarter] @ torch.diag_embed(sides.to(turn))


def _crop_sides(luck: _Luck, settings: AugmentationSettings) -> Tensor:
    """Width and height of the crops, in sides of the picture, [N, 2]."""
    least, most = map(math.log, settings.scale)
    side = luck.between(least, most).exp()
    root = luck.factors(settings.aspect).sqrt()
    return torch.stack([side * root, side / root], dim=-1)


def _relit(images: Tensor, luck: _Luck, settings: AugmentationSettings) -> Tensor:
    """Other light and camera: gains, gamma, contrast, saturation."""
    lit = (images * luck.factors(settings.gain, 3, 1, 1)).clamp(0, 1)
    lit = lit ** luck.factors(settings.gamma, 1, 1, 1)
    contrast = luck.factors(settings.contrast, 1, 1, 1)
    saturation = luck.factors(settings.saturation, 1, 1, 1)
    grey = torch.einsum("nchw,c->nhw", lit, lit.new_tensor(_GREY))[:, None]
    middle = grey.mean(dim=(2, 3), keepdim=True)
    # Away from grey by the saturation, then all from their mean by the contrast, in one pass.
    rest = contrast * (1 - saturation) * grey + (1 - contrast) * middle
    return torch.addcmul(rest, lit, contrast * saturation)


def _blurred(images: Tensor, rows: Tensor, luck: _Luck) -> Tensor:
    """Gaussian blur of some images, each by its own deviation."""
    if not len(rows):
        return images
    deviations = luck.between(*_BLUR)[rows, None]
    offsets = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=images.device)
    kernels = (-((offsets / deviations) ** 2) / 2).exp()
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)[:, None]
    padding = (_BLUR_RADIUS,) * 4
    # Every channel of every image is a group with its own kernel: [1, 3M, size, size].
    chosen = functional.pad(images[rows], padding, mode="reflect").flatten(0, 1)[None]
    for kernel in (kernels[:, :, None, :], kernels[:, :, :, None]):
        chosen = functional.conv2d(chosen, kernel, groups=len(kernel))
    return images.index_copy(0, rows, chosen.reshape(-1, *images.shape[1:]))


def _noisy(images: Tensor, rows: Tensor, luck: _Luck) -> Tensor:
    """Some images with the noise of a camera's sensor."""
    deviations = luck.between(*_NOISE, 1, 1, 1)[rows]
    noise = luck.normal_like(images[rows]) * deviations
    return images.index_add(0, rows, noise)


def _cornered(images: Tensor, rows: Tensor, luck: _Luck) -> Tensor:
    """Some images seen through a round lens, black beyond its soft edge."""
    radius = luck.between(*_LENS, 1, 1)[rows]
    middle = luck.between(-0.1, 0.1, 2, 1, 1)[rows]
    side = images.shape[-1]
    axis = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # pixels' middles
    away = torch.hypot(axis[None, :, None] - middle[:, 0], axis[None, None, :] - middle[:, 1])
    light = ((radius - away) / _LENS_SOFTNESS).sigmoid()[:, None]
    return images.index_copy(0, rows, images[rows] * light)
