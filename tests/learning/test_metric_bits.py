from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dermtwin.errors import SettingsError  # noqa: E402
from dermtwin.learning.metric.bits import (  # noqa: E402
    IterativeQuantisation,
    balance_loss,
    decorrelation_loss,
    quantisation_loss,
)

losses = pytest.mark.parametrize("loss", [quantisation_loss, balance_loss, decorrelation_loss])


@pytest.mark.parametrize("seed", range(15))
def test_penalties_equal_naive_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, width = int(rng.integers(2, 20)), int(rng.integers(2, 9))
    bits = rng.normal(0.3, 1, (count, width))
    tensor = torch.tensor(bits)
    expected = sum(abs(abs(b) - 1) for row in bits for b in row) / (count * width)
    assert quantisation_loss(tensor).item() == pytest.approx(expected)
    expected = sum((sum(row[k] for row in bits) / count) ** 2 for k in range(width)) / width
    assert balance_loss(tensor).item() == pytest.approx(expected)
    correlation = np.corrcoef(bits.T)
    others = [correlation[i, j] ** 2 for i in range(width) for j in range(width) if i != j]
    assert decorrelation_loss(tensor).item() == pytest.approx(sum(others) / len(others))


@losses
def test_gradients_are_those_of_the_penalties(loss) -> None:
    bits = torch.tensor(np.random.default_rng(1).normal(size=(7, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(loss, (bits,))


def test_perfect_bits_cost_nothing() -> None:
    bits = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert quantisation_loss(bits) == balance_loss(bits) == decorrelation_loss(bits) == 0


@losses
@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (5, 3)])
def test_constant_bits_have_finite_gradients(loss, shape: tuple[int, int]) -> None:
    bits = torch.full(shape, 0.5, requires_grad=True)
    value = loss(bits)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(bits.grad).all()


def test_repeated_bits_correlate_whatever_their_sign_and_size() -> None:
    bits = torch.randn(30, 1, generator=torch.Generator().manual_seed(0))
    assert decorrelation_loss(torch.cat([bits, -3 * bits], dim=1)).item() == pytest.approx(1)


def clusters(seed: int, *, width: int = 16, kinds: int = 12) -> np.ndarray:
    """Unit codes [480, width] in overlapping clusters, in random order."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(1, 0.3, width)
    middles = rng.normal(size=(kinds, width))
    codes = (np.repeat(middles, 40, axis=0) + 0.8 * rng.normal(size=(kinds * 40, width))) * spread
    return rng.permutation(codes / np.linalg.norm(codes, axis=1, keepdims=True))


def values(codes: np.ndarray, fitted: IterativeQuantisation) -> np.ndarray:
    return (codes - fitted.mean) @ fitted.projection


def error(numbers: np.ndarray) -> float:
    return float(((np.where(numbers >= 0, 1, -1) - numbers) ** 2).mean())


def kept_neighbours(codes: np.ndarray, numbers: np.ndarray, *, k: int = 40) -> float:
    """Which part of the k nearest codes is among the k nearest by bits, ties by number."""
    signs = np.where(numbers >= 0, 1, -1)
    kept = []
    for row in range(len(codes)):
        exact = np.argsort(((codes - codes[row]) ** 2).sum(axis=1), kind="stable")[:k]
        short = np.argsort((signs != signs[row]).sum(axis=1), kind="stable")[:k]
        kept.append(len(set(exact) & set(short)) / k)
    return float(np.mean(kept))


@pytest.mark.parametrize(("bits", "width"), [(8, 16), (16, 16), (32, 16), (64, 32)])
def test_the_projection_is_orthonormal(bits: int, width: int) -> None:
    fitted = IterativeQuantisation.fit(clusters(0, width=width), bits=bits, seed=0)
    projection = fitted.projection
    assert projection.shape == (width, bits)
    assert fitted.mean.shape == (width,)
    gram = projection.T @ projection if bits <= width else projection @ projection.T
    np.testing.assert_allclose(gram, np.eye(min(bits, width)), atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bits", [8, 16, 24])
def test_rounds_never_raise_the_quantisation_error(seed: int, bits: int) -> None:
    codes = clusters(seed)
    errors = [
        error(values(codes, IterativeQuantisation.fit(codes, bits=bits, seed=seed, rounds=rounds)))
        for rounds in range(12)
    ]
    assert all(later <= former + 1e-12 for former, later in pairwise(errors))
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bits", [8, 16])
def test_quantisation_error_is_not_above_that_of_the_principal_axes(seed: int, bits: int) -> None:
    codes = clusters(seed)
    centred = codes - codes.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:bits].T
    fitted = IterativeQuantisation.fit(codes, bits=bits, seed=seed)
    assert error(values(codes, fitted)) <= error(centred @ axes)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_neighbours_are_kept_better_than_by_random_projections(bits: int) -> None:
    learnt, drawn = [], []
    for seed in range(4):
        codes = clusters(seed)
        fitted = IterativeQuantisation.fit(codes, bits=bits, seed=seed)
        learnt.append(kept_neighbours(codes, values(codes, fitted)))
        random = np.random.default_rng(seed).normal(size=(16, bits))
        drawn.append(kept_neighbours(codes, (codes - codes.mean(axis=0)) @ random))
    assert np.mean(learnt) > np.mean(drawn) + 0.03, (learnt, drawn)


def test_a_fit_depends_on_its_seed_alone() -> None:
    codes = clusters(0)
    one, again, other = (
        IterativeQuantisation.fit(codes, bits=32, seed=seed).projection for seed in (3, 3, 4)
    )
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)


def test_single_precision_codes_are_fitted_in_double() -> None:
    codes = clusters(0).astype(np.float32)
    fitted = IterativeQuantisation.fit(codes, bits=8, seed=0)
    assert fitted.mean.dtype == fitted.projection.dtype == np.float64


@pytest.mark.parametrize(("shape", "bits"), [((0, 4), 2), ((3, 0), 2), ((12,), 2), ((3, 4), 0)])
def test_nothing_to_learn_from_is_refused(shape: tuple[int, ...], bits: int) -> None:
    with pytest.raises(SettingsError, match="bits are learnt from codes"):
        IterativeQuantisation.fit(np.ones(shape), bits=bits, seed=0)
