import math
from itertools import combinations, product

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_metric_learning")

from dermtwin.errors import SettingsError  # noqa: E402
from dermtwin.learning.metric.losses import (  # noqa: E402
    ContrastiveLoss,
    CosineSoftmaxLoss,
    HierarchicalLoss,
    Labels,
    MultiSimilarityLoss,
    ProxyAnchorLoss,
    SupervisedContrastiveLoss,
    TripletLoss,
    make_loss,
)
from dermtwin.learning.metric.settings import TERMS, MetricLossSettings  # noqa: E402

MALIGNANT_OF = (0, 1, 0, 1, 0)
Codes = list[list[float]]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def squared(one: list[float], other: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive_contrastive(codes: Codes, malignant: list[int], margin: float) -> float:
    costs = []
    for i, j in combinations(range(len(codes)), 2):
        distance = math.sqrt(squared(codes[i], codes[j]))
        similar = malignant[i] == malignant[j]
        costs.append(0.5 * distance**2 if similar else 0.5 * max(0.0, margin - distance) ** 2)
    return mean(costs)


def naive_triplet(codes: Codes, diagnosis: list[int], margin: float) -> float:
    costs = []
    for a, p, n in product(range(len(codes)), repeat=3):
        if a == p or diagnosis[a] != diagnosis[p] or diagnosis[a] == diagnosis[n]:
            continue
        gap = squared(codes[a], codes[n]) - squared(codes[a], codes[p])
        if 0 < gap <= margin:
            costs.append(margin - gap)
    return mean(costs)


def naive_multi_similarity(codes: Codes, diagnosis: list[int]) -> float:
    total, kept = 0.0, [0, 0]
    for i, code in enumerate(codes):
        likeness = {k: dot(code, other) for k, other in enumerate(codes) if k != i}
        positives = [s for k, s in likeness.items() if diagnosis[k] == diagnosis[i]]
        negatives = [s for k, s in likeness.items() if diagnosis[k] != diagnosis[i]]
        if not (positives and negatives):
            continue
        hard_positives = [s for s in positives if s - 0.1 < max(negatives)]
        hard_negatives = [s for s in negatives if s + 0.1 > min(positives)]
        kept[0] += len(hard_positives)
        kept[1] += len(hard_negatives)
        total += math.log1p(sum(math.exp(-2 * (s - 0.5)) for s in hard_positives)) / 2
        total += math.log1p(sum(math.exp(50 * (s - 0.5)) for s in hard_negatives)) / 50
    return total / len(codes) if max(kept) > 1 else 0.0


def naive_supervised_contrastive(codes: Codes, diagnosis: list[int], temperature: float) -> float:
    if len(set(diagnosis)) == 1:
        return 0.0
    costs = []
    for i, code in enumerate(codes):
        others = [k for k in range(len(codes)) if k != i]
        positives = [k for k in others if diagnosis[k] == diagnosis[i]]
        if not positives:
            continue
        below = sum(math.exp(dot(code, codes[k]) / temperature) for k in others)
        costs.append(
            -mean(
                [math.log(math.exp(dot(code, codes[k]) / temperature) / below) for k in positives]
            )
        )
    return mean(costs)


def naive_proxy_anchor(codes: Codes, diagnosis: list[int], proxies: Codes) -> float:
    pull, push = 0.0, 0.0
    for kind, proxy in enumerate(proxies):
        likeness = [dot(code, proxy) for code in codes]
        own = [s for s, found in zip(likeness, diagnosis, strict=True) if found == kind]
        other = [s for s, found in zip(likeness, diagnosis, strict=True) if found != kind]
        pull += math.log1p(sum(math.exp(-32 * (s - 0.1)) for s in own))
        push += math.log1p(sum(math.exp(32 * (s + 0.1)) for s in other))
    return pull / len(set(diagnosis)) + push / len(proxies)


def naive_cosine_softmax(
    batch: "Batch", *, directions: Codes, settings: MetricLossSettings
) -> float:
    classes = len(directions)
    first, second = [], []
    for code, found, bad in zip(batch.codes, batch.diagnosis, batch.malignant, strict=True):
        powers = [math.exp(settings.scale * dot(code, each)) for each in directions]
        chances = [power / sum(powers) for power in powers]
        for kind in range(classes):
            target = settings.smoothing / classes + (1 - settings.smoothing) * (kind == found)
            first.append(-target * math.log(chances[kind]))
        group = sum(chances[kind] for kind in range(classes) if MALIGNANT_OF[kind] == bad)
        second.append(-math.log(group))
    return sum(first) / len(second) + settings.malignant_weight * mean(second)


def naive_hierarchical(
    codes: Codes, diagnosis: list[int], malignant: list[int], near: float, far: float
) -> float:
    lower, upper = [], []
    for a, p, n in product(range(len(codes)), repeat=3):
        if a == p or malignant[p] != malignant[a]:
            continue
        gap = squared(codes[a], codes[p]) - squared(codes[a], codes[n])
        twin, cousin = diagnosis[p] == diagnosis[a], diagnosis[p] != diagnosis[a]
        if twin and diagnosis[n] != diagnosis[a] and malignant[n] == malignant[a]:
            lower.append(gap + near)
        if cousin and malignant[n] != malignant[a]:
            upper.append(gap + far)
    return sum(mean([cost for cost in level if cost > 0]) for level in (lower, upper))


class Batch:
    """A random batch, as lists for the oracles and as tensors for the losses."""

    def __init__(self, seed: int, *, kinds: tuple[int, ...] | None = None) -> None:
        rng = np.random.default_rng(seed)
        count, width = int(rng.integers(1, 14)), int(rng.integers(2, 7))
        kinds = kinds or tuple(rng.permutation(5)[: rng.integers(1, 6)])
        self.codes = unit(rng.normal(size=(count, width))).tolist()
        if seed % 4 == 0:
            self.codes[-1] = self.codes[0]  # two equal codes among them
        self.diagnosis = [int(kind) for kind in rng.choice(kinds, count)]
        self.malignant = [MALIGNANT_OF[kind] for kind in self.diagnosis]
        self.width = width

    def tensor(self) -> torch.Tensor:
        return torch.tensor(self.codes, dtype=torch.float64, requires_grad=True)

    @property
    def labels(self) -> Labels:
        return Labels(
            diagnosis=torch.tensor(self.diagnosis), malignant=torch.tensor(self.malignant)
        )

    def check(self, loss: torch.nn.Module, expected: float, *, abs_: float = 1e-10) -> None:
        codes = self.tensor()
        got = loss(codes, self.labels)
        assert got.shape == ()
        assert got.item() == pytest.approx(expected, rel=1e-7, abs=abs_)
        got.backward()
        assert torch.isfinite(codes.grad).all()
        if expected == 0:
            assert not codes.grad.any()


seeds = pytest.mark.parametrize("seed", range(40))


@seeds
def test_contrastive_loss_is_the_papers_over_all_pairs(seed: int) -> None:
    batch, margin = Batch(seed), 0.2 + seed / 25
    batch.check(ContrastiveLoss(margin), naive_contrastive(batch.codes, batch.malignant, margin))


@seeds
def test_triplet_loss_is_the_mean_over_semi_hard_triplets(seed: int) -> None:
    batch, margin = Batch(seed), 0.1 + seed / 20
    batch.check(TripletLoss(margin), naive_triplet(batch.codes, batch.diagnosis, margin))


@seeds
def test_multi_similarity_loss_equals_the_naive_loop(seed: int) -> None:
    batch = Batch(seed)
    batch.check(MultiSimilarityLoss(), naive_multi_similarity(batch.codes, batch.diagnosis))


@seeds
def test_supervised_contrastive_loss_equals_the_naive_loop(seed: int) -> None:
    batch, temperature = Batch(seed), 0.05 + seed / 40
    expected = naive_supervised_contrastive(batch.codes, batch.diagnosis, temperature)
    batch.check(SupervisedContrastiveLoss(temperature), expected)


@seeds
def test_proxy_anchor_loss_equals_the_naive_loop(seed: int) -> None:
    batch = Batch(seed)
    loss = ProxyAnchorLoss(width=batch.width, classes=5).double()
    (proxies,) = loss.parameters()
    expected = naive_proxy_anchor(
        batch.codes, batch.diagnosis, unit(proxies.detach().numpy()).tolist()
    )
    batch.check(loss, expected)
    assert torch.isfinite(proxies.grad).all()
    assert proxies.grad.any()


@seeds
def test_cosine_softmax_loss_equals_the_naive_loop(seed: int) -> None:
    batch = Batch(seed)
    settings = MetricLossSettings(scale=4 + seed, smoothing=seed / 100, malignant_weight=seed % 3)
    loss = CosineSoftmaxLoss(
        settings, width=batch.width, malignant_of=torch.tensor(MALIGNANT_OF)
    ).double()
    directions = unit(loss.directions.detach().numpy()).tolist()
    expected = naive_cosine_softmax(batch, directions=directions, settings=settings)
    batch.check(loss, expected)
    assert loss.directions.grad.any()


@seeds
def test_hierarchical_loss_equals_the_naive_loop(seed: int) -> None:
    batch, near, far = Batch(seed), 0.1 + seed / 40, 0.2 + seed / 20
    expected = naive_hierarchical(batch.codes, batch.diagnosis, batch.malignant, near, far)
    batch.check(HierarchicalLoss(near=near, far=far), expected)


def comparing_losses() -> list[torch.nn.Module]:
    """Those that compare codes of a batch to each other."""
    return [
        ContrastiveLoss(1.0),
        TripletLoss(0.2),
        MultiSimilarityLoss(),
        SupervisedContrastiveLoss(0.1),
        HierarchicalLoss(near=0.2, far=0.4),
    ]


@pytest.mark.parametrize("loss", comparing_losses(), ids=lambda loss: type(loss).__name__)
def test_one_image_alone_costs_nothing(loss: torch.nn.Module) -> None:
    codes = torch.ones(1, 1, requires_grad=True)
    value = loss(codes, Labels(diagnosis=torch.tensor([1]), malignant=torch.tensor([1])))
    value.backward()
    assert value.item() == 0
    assert codes.grad is not None
    assert codes.grad.item() == 0


@pytest.mark.parametrize("loss", comparing_losses()[1:-1], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("kinds", [(1, 1, 1, 1), (0, 1, 2, 3)], ids=["no negative", "no positive"])
def test_a_batch_with_nothing_to_compare_costs_nothing(
    loss: torch.nn.Module, kinds: tuple[int, ...]
) -> None:
    codes = torch.tensor(unit(np.random.default_rng(0).normal(size=(4, 3))), requires_grad=True)
    malignant = torch.tensor([MALIGNANT_OF[kind] for kind in kinds])
    value = loss(codes, Labels(diagnosis=torch.tensor(kinds), malignant=malignant))
    value.backward()
    assert value.item() == 0
    assert codes.grad is not None
    assert not codes.grad.any()


@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_that_of_the_loss(name: str) -> None:
    torch.manual_seed(0)
    weights = dict.fromkeys(TERMS, 0.0) | {name: 1.0}
    # Wide margins, so that many triplets take part.
    settings = MetricLossSettings(**weights, triplet_margin=1.5, near=1.0, far=1.0)
    loss = make_loss(settings, width=4, malignant_of=torch.tensor(MALIGNANT_OF)).double()
    codes = torch.tensor(unit(np.random.default_rng(5).normal(size=(8, 4))), requires_grad=True)
    kinds = [0, 0, 1, 1, 2, 3, 4, 4]
    labels = Labels(
        diagnosis=torch.tensor(kinds), malignant=torch.tensor([MALIGNANT_OF[k] for k in kinds])
    )
    assert loss(codes, labels).item() > 0
    assert torch.autograd.gradcheck(lambda codes: loss(codes, labels), (codes,))


def test_an_anchor_whose_loss_rounds_to_nothing_still_counts() -> None:
    # Two of a kind at one place and far from all others: their loss is below float32's step.
    codes = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-0.6, 0.8], [-0.8, 0.6]])
    diagnosis = [0, 0, 1, 1, 2]
    labels = Labels(diagnosis=torch.tensor(diagnosis), malignant=torch.tensor([0, 0, 1, 1, 0]))
    expected = naive_supervised_contrastive(codes.tolist(), diagnosis, 0.05)
    got = SupervisedContrastiveLoss(0.05)(codes, labels).item()
    assert got == pytest.approx(expected, rel=1e-4)


def weighted(**weights: float) -> MetricLossSettings:
    return MetricLossSettings(**(dict.fromkeys(TERMS, 0.0) | weights))


def test_the_sum_is_weighted_and_leaves_out_what_weighs_nothing() -> None:
    batch = Batch(9, kinds=(0, 1, 2))
    loss = make_loss(
        weighted(contrastive=2.0, hierarchical=0.5),
        width=batch.width,
        malignant_of=torch.tensor(MALIGNANT_OF),
    )
    assert not list(loss.parameters())
    expected = 2 * naive_contrastive(batch.codes, batch.malignant, 1.0)
    expected += 0.5 * naive_hierarchical(batch.codes, batch.diagnosis, batch.malignant, 0.2, 0.4)
    batch.check(loss, expected)


def test_all_losses_together_train_their_own_parameters() -> None:
    batch = Batch(3, kinds=(0, 1, 2))
    loss = make_loss(
        weighted(**dict.fromkeys(TERMS, 1.0)),
        width=batch.width,
        malignant_of=torch.tensor(MALIGNANT_OF),
    )
    assert set(loss.losses) == set(TERMS)
    loss(batch.tensor().float(), batch.labels).backward()
    assert len(list(loss.parameters())) == 2
    assert all(each.grad.any() for each in loss.parameters())


def test_half_precision_codes_are_compared_in_full() -> None:
    batch = Batch(3, kinds=(0, 1, 2))
    loss = make_loss(
        weighted(proxy_anchor=1.0, hierarchical=1.0),
        width=batch.width,
        malignant_of=torch.tensor(MALIGNANT_OF),
    )
    codes = batch.tensor().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(codes, batch.labels)
    assert torch.equal(half, loss(codes.float(), batch.labels))
    assert all(each.dtype == torch.float32 for each in loss.parameters())


@pytest.mark.parametrize("kind", [0, 1])
def test_diagnoses_of_one_kind_are_refused(kind: int) -> None:
    with pytest.raises(SettingsError, match="needs malignant and benign"):
        make_loss(MetricLossSettings(), width=4, malignant_of=torch.full((3,), kind))
