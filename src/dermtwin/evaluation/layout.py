"""Codes laid out in two dimensions by t-SNE, and new codes placed among them.

The picture invites to see clusters; how many of a point's neighbours share its class is measured on
the codes themselves and stands beside it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import MissingExtraError, SettingsError
from dermtwin.evaluation.ranking import Floats

PERPLEXITY = 30
MAX_POINTS = 2000

_SMALLEST = 8
_NEIGHBOURS_PER_PERPLEXITY = 3


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A map of codes.

    Attributes:
        points: float64 [N, 2].
        embedding: openTSNE's own object, which knows how to place further codes.
    """

    points: Floats
    embedding: Any


def lay_out(codes: NDArray[np.float32], *, seed: int) -> Layout:
    """Lay codes out so that near ones stay near; the same codes and seed give the same map.

    Args:
        codes: float32 [N, D].
        seed: of the optimisation.

    Raises:
        SettingsError: fewer than 8 codes, or all of them equal: there is nothing to lay out.
        MissingExtraError: openTSNE is not installed.
    """
    if len(codes) < _SMALLEST or not np.ptp(codes, axis=0).any():
        raise SettingsError(
            f"{len(codes)} codes cannot be laid out: there must be {_SMALLEST} or more of them, "
            "and not all equal."
        )
    try:
        import openTSNE  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError("the t-SNE map", extra="evaluate") from error
    fitted = openTSNE.TSNE(
        perplexity=min(PERPLEXITY, (len(codes) - 1) // _NEIGHBOURS_PER_PERPLEXITY),
        neighbors="exact",
        negative_gradient_method="bh",
        initialization="pca" if codes.shape[1] > 1 else "random",
        random_state=seed,
        n_jobs=1,
    ).fit(codes.astype(np.float64))
    return Layout(np.asarray(fitted, dtype=np.float64), fitted)


def place(layout: Layout, codes: NDArray[np.float32]) -> Floats:
    """Find where new codes belong in a map; the map itself stays as it is.

    Args:
        layout: of codes of the same encoder and output.
        codes: float32 [M, D].

    Returns:
        float64 [M, 2].
    """
    placed = layout.embedding.transform(codes.astype(np.float64))
    return np.asarray(placed, dtype=np.float64)
