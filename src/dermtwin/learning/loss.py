"""The contrastive loss, as the paper prints it."""

import torch
from torch import Tensor


def contrastive_loss(first: Tensor, second: Tensor, dissimilar: Tensor, *, margin: float) -> Tensor:
    """The mean over pairs of (1-Y)·½·D² + Y·½·max(0, m-D)².

    D is the Euclidean distance of a pair's codes. Where D is 0 its gradient is undefined and is
    taken as 0: two equal codes give no direction to part in.

    Args:
        first: codes [pairs, numbers] of each pair's one image.
        second: of its other.
        dissimilar: Y [pairs], 0 for a similar and 1 for a dissimilar pair.
        margin: m, above 0 (`LossSettings` refuses others).

    Returns:
        A scalar.

    Source: Neher, *Encoding Skin Cancer Images for Case Retrieval using Siamese Networks*, after
    Hadsell, Chopra, LeCun 2006, equation 4.
    """
    squared = (first - second).square().sum(dim=1)
    apart = squared > 0
    # The root's slope at 0 is infinite; without the inner `where`, 0 · ∞ would poison the gradient.
    distance = torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)
    beyond = (margin - distance).clamp(min=0).square()
    return ((1 - dissimilar) * squared / 2 + dissimilar * beyond / 2).mean()
