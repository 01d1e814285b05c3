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
from dermtwin.running import Track, untracked

PERPLEXITY = 30
MAX_POINTS = 2000

SMALLEST = 8
_NEIGHBOURS_PER_PERPLEXITY = 3
# From here on near codes are looked for by Annoy, and forces interpolated (FIt-SNE, Linderman
# 2019): the time grows with the number of codes, not with its square.
_MANY = 10_000
# Those a new code is placed by, and how many of them count; openTSNE's own.
_NEAR = 25
_NEW_PERPLEXITY = 5
_AT_ONCE = 50  # steps of the optimisation between two looks at the progress


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A map of codes.

    Attributes:
        points: float64 [N, 2].
        embedding: openTSNE's own object, which knows how to place further codes.
    """

    points: Floats
    embedding: Any


def lay_out(codes: NDArray[np.float32], *, seed: int, track: Track = untracked) -> Layout:
    """Lay codes out so that near ones stay near; the same codes and seed give the same map.

    Args:
        codes: float32 [N, D].
        seed: of the optimisation.
        track: looks on.

    Raises:
        SettingsError: fewer than 8 codes, or all of them equal: there is nothing to lay out.
        MissingExtraError: openTSNE is not installed.
    """
    _refuse_few(codes)
    opentsne = _opentsne()
    tsne = opentsne.TSNE(
        initialization="pca" if codes.shape[1] > 1 else "random",
        random_state=seed,
        n_jobs=1,
        negative_gradient_method="fft" if len(codes) >= _MANY else "bh",
    )
    perplexity = _perplexity(PERPLEXITY, len(codes))
    near = opentsne.affinity.MultiscaleMixture(
        perplexities=perplexity,
        knn_index=_index(codes, perplexity=perplexity, seed=seed, track=track),
        n_jobs=1,
    )
    embedding = tsne.prepare_initial(codes.astype(np.float64), affinities=near)
    early = [tsne.early_exaggeration] * (tsne.early_exaggeration_iter // _AT_ONCE)
    late = [None] * (tsne.n_iter // _AT_ONCE)
    for exaggeration in track([*early, *late], label="map", total=len(early) + len(late)):
        embedding.optimize(_AT_ONCE, exaggeration=exaggeration, momentum=0.8, inplace=True)
    return _layout(embedding)


def continued(
    points: Floats, codes: NDArray[np.float32], *, seed: int, track: Track = untracked
) -> Layout:
    """A map that was made before, so that new codes can be placed in it.

    Args:
        points: float64 [N, 2], as `Layout.points` was.
        codes: float32 [N, D], those that lie there.
        seed: as it was.
        track: looks on.

    Raises:
        SettingsError, MissingExtraError: as in `lay_out`.
    """
    _refuse_few(codes)
    opentsne = _opentsne()
    # Only its index of neighbours is asked; with few of them it is made in a fraction of the time.
    perplexity = _perplexity(_NEW_PERPLEXITY, len(codes))
    near = opentsne.affinity.PerplexityBasedNN(
        perplexity=perplexity,
        knn_index=_index(codes, perplexity=perplexity, seed=seed, track=track),
        n_jobs=1,
    )
    embedding = opentsne.TSNEEmbedding(
        points, near, negative_gradient_method="bh", random_state=seed, n_jobs=1
    )
    return _layout(embedding)


def place(layout: Layout, codes: NDArray[np.float32]) -> Floats:
    """Find where new codes belong in a map; the map itself stays as it is.

    Args:
        layout: of codes of the same encoder and output.
        codes: float32 [M, D].

    Returns:
        float64 [M, 2].
    """
    near = min(_NEAR, len(layout.points))
    placed = layout.embedding.transform(
        codes.astype(np.float64), perplexity=min(_NEW_PERPLEXITY, near / 3), k=near
    )
    # openTSNE moves the whole map to the middle of its plane first.
    moved: Floats = layout.points[0] - np.asarray(layout.embedding, dtype=np.float64)[0]
    found: Floats = np.asarray(placed, dtype=np.float64) + moved
    return found


def _layout(embedding: Any) -> Layout:  # noqa: ANN401 - openTSNE has no types
    return Layout(np.array(embedding, dtype=np.float64), embedding)


def _refuse_few(codes: NDArray[np.float32]) -> None:
    if len(codes) < SMALLEST or not np.ptp(codes, axis=0).any():
        raise SettingsError(
            f"{len(codes)} codes cannot be laid out: there must be {SMALLEST} or more of them, "
            "and not all equal."
        )


def _perplexity(most: float, count: int) -> float:
    return min(most, (count - 1) // _NEIGHBOURS_PER_PERPLEXITY)


def _index(codes: NDArray[np.float32], *, perplexity: float, seed: int, track: Track) -> Any:  # noqa: ANN401 - openTSNE has no types
    """The search for near codes, as openTSNE would make it for so many."""
    k = min(len(codes) - 1, int(_NEIGHBOURS_PER_PERPLEXITY * perplexity))
    data = codes.astype(np.float64)
    if len(codes) < _MANY:
        return _opentsne().nearest_neighbors.Sklearn(data, k, n_jobs=1)
    from dermtwin.evaluation.nearby import WatchedAnnoy  # noqa: PLC0415  # an extra

    return WatchedAnnoy(data, k=k, seed=seed, track=track)


def _opentsne() -> Any:  # noqa: ANN401 - openTSNE has no types
    try:
        import openTSNE  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError("the t-SNE map", extra="evaluate") from error
    return openTSNE
