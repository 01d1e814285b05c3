"""Losses that draw alike lesions together and others apart, each over all codes of a batch.

Each is a module: codes [N, D] of unit length and their labels to a scalar, which is 0 with a
gradient of 0 where the batch has nothing to compare. Those with parameters of their own
(`ProxyAnchorLoss`, `CosineSoftmaxLoss`) must be given to the optimiser too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import (
    MultiSimilarityLoss as LibraryMultiSimilarityLoss,
)
from pytorch_metric_learning.losses import (
    ProxyAnchorLoss as LibraryProxyAnchorLoss,
)
from pytorch_metric_learning.losses import (
    SupConLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import MultiSimilarityMiner, TripletMarginMiner
from pytorch_metric_learning.reducers import SumReducer
from torch import Tensor, nn
from torch.nn import functional

from dermtwin.errors import SettingsError
from dermtwin.learning.loss import contrastive_loss
from dermtwin.learning.metric.settings import MetricLossSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a batch's images show.

    Attributes:
        diagnosis: int64 [N], from 0.
        malignant: int64 [N], 1 malignant and 0 benign.
    """

    diagnosis: Tensor
    malignant: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """What a batch's mixed images show: a share of one picture, the rest of another.

    Attributes:
        first: of the picture that has `share`, from 1/2 to 1.
        second: of the other.
        share: of each image of the batch.
    """

    first: Labels
    second: Labels
    share: float


def _nothing(codes: Tensor) -> Tensor:
    """0, with a gradient of 0."""
    return (codes * 0).sum()


def _squared_distances(codes: Tensor) -> Tensor:
    """[N, N] between codes [N, D] of unit length: |a|² + |b|² - 2ab."""
    return 2 - 2 * codes @ codes.T


def _alike(values: Tensor) -> Tensor:
    """Which two of N have equal values, [N, N]."""
    return values[:, None] == values[None, :]


class ContrastiveLoss(nn.Module):
    """The mean over all pairs of a batch of the paper's loss; similar means the same malignancy.

    The library's differs: it squares nothing, drops the half, and averages similar and dissimilar
    pairs each over those that cost something.

    Source: `dermtwin.learning.loss`.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        if len(codes) < 2:
            return _nothing(codes)
        first, second = torch.triu_indices(len(codes), len(codes), offset=1, device=codes.device)
        dissimilar = (labels.malignant[first] != labels.malignant[second]).to(codes.dtype)
        return contrastive_loss(codes[first], codes[second], dissimilar, margin=self.margin)


class TripletLoss(nn.Module):
    """The mean over semi-hard triplets of a batch of D²(a, p) - D²(a, n) + margin.

    Anchor a and positive p share a diagnosis, negative n has another and is farther than p, but by
    no more than the margin. Differs from the paper in that all of a pair's semi-hard negatives
    count, not one. Where all codes are one, no triplet is semi-hard, and nothing is learnt.

    Source: Schroff, Kalenichenko, Philbin 2015, *FaceNet*, sections 3.1 and 3.2; the library's.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        squared = LpDistance(power=2)
        self._miner = TripletMarginMiner(margin, type_of_triplets="semihard", distance=squared)
        self._loss = TripletMarginLoss(margin, distance=squared)

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        triplets = self._miner(codes, labels.diagnosis)
        loss: Tensor = self._loss(codes, labels.diagnosis, triplets)
        return loss


class MultiSimilarityLoss(nn.Module):
    """Pairs mined and weighted by three similarities; similar means the same diagnosis.

    Differs from the paper in that a batch of which mining keeps but one positive and one negative
    costs nothing.

    Source: Wang et al. 2019, *Multi-similarity loss with general pair weighting for deep metric
    learning*, with the numbers of the authors' code (alpha 2, beta 50, lambda 0.5, epsilon 0.1);
    the library's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._miner = MultiSimilarityMiner(epsilon=0.1)
        self._loss = LibraryMultiSimilarityLoss(alpha=2, beta=50, base=0.5)

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        pairs = self._miner(codes, labels.diagnosis)
        loss: Tensor = self._loss(codes, labels.diagnosis, pairs)
        return loss


class SupervisedContrastiveLoss(nn.Module):
    """The mean over anchors with a positive of L_out; similar means the same diagnosis.

    Differs from the paper in that a batch of one diagnosis costs nothing, and from the library in
    that an anchor whose loss rounds to 0 still counts in the mean.

    Source: Khosla et al. 2020, equation 2; the library's sum.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self._loss = SupConLoss(temperature, reducer=SumReducer())

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        anchors = (_alike(labels.diagnosis).sum(dim=1) > 1).sum()
        total: Tensor = self._loss(codes, labels.diagnosis)
        return total / anchors.clamp(min=1)


class ProxyAnchorLoss(nn.Module):
    """Codes against one learnt proxy a diagnosis, in the library's and the paper's definition.

    Source: Kim et al. 2020, equation 4, with its alpha 32 and delta 0.1.
    """

    def __init__(self, *, width: int, classes: int) -> None:
        """Draw the proxies from PyTorch's own generator.

        Args:
            width: D, numbers in a code.
            classes: diagnoses.
        """
        super().__init__()
        self._loss = LibraryProxyAnchorLoss(classes, width, margin=0.1, alpha=32)

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        loss: Tensor = self._loss(codes, labels.diagnosis)
        return loss


class CosineSoftmaxLoss(nn.Module):
    """Cross-entropy of the diagnosis, from the cosine to each diagnosis's learnt direction.

    To it comes, with a weight, the cross-entropy of malignant/benign under the same probabilities
    summed by group; it is neither smoothed nor weighted by class. The library's normalised softmax
    differs: it has neither smoothing nor groups.

    Source: Zhai, Wu 2019, *Classification is a strong baseline for deep metric learning*;
    the smoothing after Szegedy et al. 2016.
    """

    malignant_of: Tensor

    def __init__(self, settings: MetricLossSettings, *, width: int, malignant_of: Tensor) -> None:
        """Draw the directions from PyTorch's own generator.

        Args:
            settings: its scale, smoothing and malignant_weight.
            width: D, numbers in a code.
            malignant_of: [classes], 1 for each malignant diagnosis and 0 for each benign one.

        Raises:
            SettingsError: malignant_weight without both kinds.
        """
        super().__init__()
        _refuse_one_kind(settings, malignant_of)
        self._settings = settings
        self.directions = nn.Parameter(torch.randn(len(malignant_of), width))
        self.register_buffer("malignant_of", malignant_of.bool())

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        cosines = codes @ functional.normalize(self.directions, dim=1).T
        logits = self._settings.scale * cosines
        smoothing = self._settings.smoothing
        loss = functional.cross_entropy(logits, labels.diagnosis, label_smoothing=smoothing)
        if self._settings.malignant_weight == 0:
            return loss
        groups = [logits[:, ~self.malignant_of], logits[:, self.malignant_of]]
        # A sum of exponents is a sum of probabilities but for the divisor, which softmax restores.
        grouped = torch.stack([group.logsumexp(dim=1) for group in groups], dim=1)
        beside = functional.cross_entropy(grouped, labels.malignant)
        return loss + self._settings.malignant_weight * beside


def _refuse_one_kind(settings: MetricLossSettings, malignant_of: Tensor) -> None:
    malignant = malignant_of.bool()
    if settings.malignant_weight > 0 and (malignant.all() or not malignant.any()):
        raise SettingsError(
            "loss.malignant_weight above 0 needs malignant and benign diagnoses; set it to 0."
        )


class HierarchicalLoss(nn.Module):
    """A hinge on triplets at two levels of likeness, on squared distances.

    The same diagnosis is to be nearer by `near` than the same malignancy under another diagnosis,
    and the latter nearer by `far` than the other malignancy. Each level is averaged over its
    triplets that violate this, so that the many of the upper level do not drown the lower one; the
    two means are summed.

    Source: the graded triplets of Codella et al. 2018, *Collaborative human-AI (CHAI)*; two
    margins and the means are ours.
    """

    def __init__(self, *, near: float, far: float) -> None:
        super().__init__()
        self.near = near
        self.far = far

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the loss."""
        squared = _squared_distances(codes)
        same, kind = _alike(labels.diagnosis), _alike(labels.malignant)
        itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
        twins, cousins, strangers = same & kind & ~itself, kind & ~same, ~kind
        lower = _mean_violation(squared, nearer=twins, farther=cousins, margin=self.near)
        return lower + _mean_violation(squared, nearer=cousins, farther=strangers, margin=self.far)


def _mean_violation(distances: Tensor, *, nearer: Tensor, farther: Tensor, margin: float) -> Tensor:
    """The mean over violating triplets of d(a, p) - d(a, n) + margin.

    Args:
        distances: d [N, N].
        nearer: which p is a positive of which a, [N, N].
        farther: which n is a negative of which a, [N, N].
        margin: the gap asked for.
    """
    # By anchor, positive, negative: [N, N, N].
    violation = distances[:, :, None] - distances[:, None, :] + margin
    violating = nearer[:, :, None] & farther[:, None, :] & (violation > 0)
    return (violation * violating).sum() / violating.sum().clamp(min=1)


class WeightedLoss(nn.Module):
    """A weighted sum of losses, computed in float32 at least whatever the codes' precision."""

    def __init__(self, losses: dict[str, nn.Module], *, weights: dict[str, float]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        self.weights = weights

    def forward(self, codes: Tensor, labels: Labels) -> Tensor:
        """Codes [N, D] and labels to the sum."""
        # In bfloat16 the squared distance of near codes is lost in 2 - 2ab.
        with torch.autocast(codes.device.type, enabled=False):
            precise = codes if codes.dtype == torch.float64 else codes.float()
            terms = [
                self.weights[name] * loss(precise, labels) for name, loss in self.losses.items()
            ]
        return torch.stack(terms).sum()


def make_loss(settings: MetricLossSettings, *, width: int, malignant_of: Tensor) -> WeightedLoss:
    """Build the losses whose weights are above 0.

    Args:
        settings: weights, margins and the rest.
        width: D, numbers in a code.
        malignant_of: [classes], 1 for each malignant diagnosis and 0 for each benign one.

    Raises:
        SettingsError: see `CosineSoftmaxLoss`.
    """
    makers = _makers(settings, width, malignant_of)
    weights = settings.terms
    return WeightedLoss({name: makers[name]() for name in weights}, weights=weights)


def _makers(
    settings: MetricLossSettings, width: int, malignant_of: Tensor
) -> Mapping[str, Callable[[], nn.Module]]:
    return {
        "contrastive": lambda: ContrastiveLoss(settings.margin),
        "triplet": lambda: TripletLoss(settings.triplet_margin),
        "multi_similarity": MultiSimilarityLoss,
        "supervised_contrastive": lambda: SupervisedContrastiveLoss(settings.temperature),
        "proxy_anchor": lambda: ProxyAnchorLoss(width=width, classes=len(malignant_of)),
        "cosine_softmax": lambda: CosineSoftmaxLoss(
            settings, width=width, malignant_of=malignant_of
        ),
        "hierarchical": lambda: HierarchicalLoss(near=settings.near, far=settings.far),
    }
