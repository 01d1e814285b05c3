"""Codes of bits: penalties that make a network's numbers good bits, and the rotation to beat."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermtwin.errors import SettingsError

Floats = NDArray[np.float64]

_LEAST_VARIANCE = 1e-12


def quantisation_loss(bits: Tensor) -> Tensor:
    """How far numbers [N, B] are from -1 and 1: the mean of | |b| - 1 |.

    Source: Liu et al. 2016, *Deep supervised hashing for fast image retrieval*, section 3.
    """
    return (bits.abs() - 1).abs().mean()


def balance_loss(bits: Tensor) -> Tensor:
    """How far bits [N, B] are from being -1 and 1 equally often: their squared means' mean."""
    return bits.mean(dim=0).square().mean()


def decorrelation_loss(bits: Tensor) -> Tensor:
    """How far bits [N, B] repeat each other: the mean squared correlation of two of them.

    A bit that is the same over the batch correlates with none; a single bit costs nothing.
    """
    centred = bits - bits.mean(dim=0)
    variance = centred.square().mean(dim=0).clamp(min=_LEAST_VARIANCE)
    standard = centred / variance.sqrt()
    correlation = standard.T @ standard / len(bits)
    others = ~torch.eye(bits.shape[1], dtype=torch.bool, device=bits.device)
    return (correlation * others).square().sum() / others.sum().clamp(min=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class IterativeQuantisation:
    """Principal axes, rotated so that the signs lose least (ITQ).

    The numbers whose signs are the bits are (codes - mean) @ projection.

    Attributes:
        mean: float64 [D].
        projection: float64 [D, B]; its columns are orthonormal, or, with B > D, its rows are.

    Source: Gong, Lazebnik 2011, *Iterative quantization: a Procrustean approach to learning binary
    codes*, section 2.2. The paper has at most D bits; for more, the principal axes make way for a
    random orthonormal expansion of all D numbers to B, which is then rotated in the same way.
    """

    mean: Floats
    projection: Floats

    @classmethod
    def fit(
        cls, codes: NDArray[np.floating], *, bits: int, seed: int, rounds: int = 50
    ) -> "IterativeQuantisation":
        """Learn the rotation.

        Args:
            codes: [N, D].
            bits: B.
            seed: of the first rotation, and of the expansion.
            rounds: times that bits and rotation are bettered in turn.

        Raises:
            SettingsError: no codes or no bits.
        """
        if codes.ndim != 2 or not codes.size or bits < 1:
            raise SettingsError(
                f"bits are learnt from codes [N, D], one bit at least; got {bits} bits for an "
                f"array of {list(codes.shape)}."
            )
        rng = np.random.default_rng(seed)
        mean = codes.mean(axis=0, dtype=np.float64)
        centred = codes - mean
        axes = _principal_axes(centred, bits) if bits <= len(mean) else _expansion(mean, bits, rng)
        rotation = _rotation(centred @ axes, _orthonormal(bits, rng), rounds=rounds)
        return cls(mean=mean, projection=axes @ rotation)


def _principal_axes(centred: Floats, count: int) -> Floats:
    """The first eigenvectors [D, count] of the covariance."""
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending
    return np.ascontiguousarray(vectors[:, ::-1][:, :count])


def _expansion(mean: Floats, bits: int, rng: np.random.Generator) -> Floats:
    return _orthonormal(bits, rng)[: len(mean)]


def _orthonormal(size: int, rng: np.random.Generator) -> Floats:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def _rotation(values: Floats, rotation: Floats, *, rounds: int) -> Floats:
    """Better a rotation [B, B] of values [N, B]: nearest signs, then nearest rotation to them."""
    for _ in range(rounds):
        signs = np.where(values @ rotation >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(values.T @ signs)
        rotation = left @ right
    return rotation
