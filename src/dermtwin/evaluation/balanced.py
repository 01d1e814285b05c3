"""The paper's test set drawn from a larger one: as many images of each class, again and again."""

from collections.abc import Callable

import numpy as np

from dermtwin.evaluation.intervals import resample
from dermtwin.evaluation.protocols import DRAWS, TEST_PER_CLASS
from dermtwin.evaluation.ranking import Ints
from dermtwin.evaluation.scores import AP, K, Scores
from dermtwin.evaluation.subjects import CLASS_NAMES
from dermtwin.evaluation.summary import MAP_MICRO, Figure, mean_figure

_SHOWN = {f"precision@{K}": f"precision@{K}", MAP_MICRO: AP}


def balanced_draws(classes: Ints, *, seed: int) -> Ints:
    """Draw the paper's test set from a larger one.

    Args:
        classes: int64 [N] of the test images.
        seed: of the draws.

    Returns:
        int64 [10 draws, 226], rows of the test images in ascending order; fewer in a draw where a
        class has less than 113. No draws where a class has not enough for ten hits, or where every
        draw would be the same.
    """
    members = [np.flatnonzero(classes == each) for each in CLASS_NAMES]
    sizes = [len(each) for each in members]
    count = min(TEST_PER_CLASS, *sizes)
    if count <= K or max(sizes) == count:
        return np.empty((0, count * len(CLASS_NAMES)), dtype=np.int64)
    generator = np.random.default_rng(seed)
    drawn = [
        np.concatenate([generator.choice(each, count, replace=False) for each in members])
        for _ in range(DRAWS)
    ]
    return np.sort(np.array(drawn), axis=1)


def balanced_figures(
    classes: Ints, *, scores_among: Callable[[Ints], Scores], seed: int
) -> dict[str, Figure]:
    """Precision@10 and mAP over all images of all draws, each asked of the others of its draw.

    The interval resamples lesions: it covers the choice of queries, not that of the draws.

    Args:
        classes: int64 [N] of the test images.
        scores_among: leave-one-out among the test images of some rows.
        seed: of the draws and of the bootstrap.

    Returns:
        By name; nothing where there are no draws.
    """
    scores = [scores_among(rows) for rows in balanced_draws(classes, seed=seed)]
    if not scores:
        return {}
    resamples = resample(np.concatenate([each.clusters for each in scores]), seed=seed)
    return {
        name: mean_figure(
            np.concatenate([each.values[measure] for each in scores]),
            chance=np.concatenate([each.chance[measure] for each in scores]),
            resamples=resamples,
        )
        for name, measure in _SHOWN.items()
    }
