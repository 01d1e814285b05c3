import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dermtwin.learning.loss import contrastive_loss  # noqa: E402


def naive(first: np.ndarray, second: np.ndarray, labels: np.ndarray, margin: float) -> float:
    """The paper's formula, a pair at a time."""
    total = 0.0
    for one, other, label in zip(first, second, labels, strict=True):
        distance = math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
        total += (1 - label) * 0.5 * distance**2
        total += label * 0.5 * max(0.0, margin - distance) ** 2
    return total / len(labels)


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 40)), int(rng.integers(1, 8)))
    first, second = rng.normal(size=(2, *shape))
    second[0] = first[0]  # a pair of equal codes among them
    labels = rng.integers(0, 2, shape[0]).astype(float)
    margin = float(rng.uniform(0.1, 4))
    for kind, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        tensors = (torch.tensor(each, dtype=kind) for each in (first, second, labels))
        loss = contrastive_loss(*tensors, margin=margin).item()
        assert loss == pytest.approx(naive(first, second, labels, margin), rel=1e-6, abs=tolerance)


def test_dissimilar_pairs_beyond_the_margin_cost_nothing_and_pull_nothing() -> None:
    first = torch.zeros(3, 5, requires_grad=True)
    second = torch.eye(5)[:3] * torch.tensor([[2.0], [2.5], [100.0]])
    loss = contrastive_loss(first, second, torch.ones(3), margin=2.0)
    loss.backward()
    assert loss.item() == 0
    assert first.grad is not None
    assert torch.equal(first.grad, torch.zeros(3, 5))


def test_dissimilar_pairs_within_the_margin_are_pushed_apart() -> None:
    first = torch.zeros(1, 2, requires_grad=True)
    second = torch.tensor([[0.6, 0.8]])
    contrastive_loss(first, second, torch.ones(1), margin=2.0).backward()
    assert first.grad is not None
    # (m - D) times the unit vector from first to second; a step against it leads away.
    torch.testing.assert_close(first.grad, second)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_equal_codes_have_a_gradient_of_zero(label: float) -> None:
    first = torch.ones(2, 5, requires_grad=True)
    loss = contrastive_loss(first, torch.ones(2, 5), torch.full((2,), label), margin=1.5)
    loss.backward()
    assert loss.item() == pytest.approx(label * 0.5 * 1.5**2)
    assert first.grad is not None
    assert torch.equal(first.grad, torch.zeros(2, 5))


def test_gradient_is_that_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0.0, 1.0] * 6, dtype=torch.float64)

    def loss(codes: torch.Tensor) -> torch.Tensor:
        return contrastive_loss(codes[0], codes[1], labels, margin=3.0)

    assert torch.autograd.gradcheck(loss, (codes,))
