"""The paper's own evaluation: its figures, and ours in its place.

Source: H. Neher, "Encoding Skin Cancer Images for Case Retrieval using Siamese Networks".
"""

from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.intervals import ratio, resample
from dermtwin.evaluation.protocols import paper_draws
from dermtwin.evaluation.ranking import Floats, Ints
from dermtwin.evaluation.scores import AP, K, Scores
from dermtwin.evaluation.summary import Figure, mean_figure

PAPER_TABLE_I = (0.54, 0.61, 0.42, 0.50, 0.44, 0.44, 0.49, 0.48, 0.61, 0.44)
"""The paper's Table I: what it calls mAP, ten runs. Their average, as printed there, is .497."""

PAPER_AVERAGE = 0.497
PAPER_CHANCE = 112 / 225
"""113 malignant and 113 benign test images, the query's own left out."""

AVERAGE_COVERS = (
    "The interval of the average covers which lesions were drawn as queries; it does not cover the "
    "choice of the test set (every query's gallery) or of the training run."
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TableOne:
    """Ten draws of ten queries.

    Attributes:
        draws: int64 [10, 10], rows of the test images.
        paper_map: float64 [10], mean precision@10 of each draw's queries.
        mean_ap: float64 [10], mean of their full average precision.
        average_paper_map, average_mean_ap: over all ten draws.
        recall, precision: float64 [10, D], each draw's micro-averaged curve (the paper's Figure 5).
    """

    draws: Ints
    paper_map: Floats
    mean_ap: Floats
    average_paper_map: Figure
    average_mean_ap: Figure
    recall: Floats
    precision: Floats


def table_one(scores: Scores, *, seed: int) -> TableOne | None:
    """Pick the paper's ten draws from the scores of leave-one-out.

    Args:
        scores: of leave-one-out on the test images.
        seed: of the draws and of the bootstrap.

    Returns:
        None when a class has fewer than five images.
    """
    draws = paper_draws(scores.classes, seed=seed)
    if not len(draws):
        return None
    found = scores.found[draws].sum(axis=1)
    return TableOne(
        draws=draws,
        paper_map=_draw_means(scores.values[f"precision@{K}"], draws),
        mean_ap=_draw_means(scores.values[AP], draws),
        average_paper_map=_average(scores, f"precision@{K}", draws, seed=seed),
        average_mean_ap=_average(scores, AP, draws, seed=seed),
        recall=found / scores.relevant[draws].sum(axis=1)[:, None],
        precision=found / scores.returned[draws].sum(axis=1),
    )


def _draw_means(values: Floats, draws: Ints) -> Floats:
    defined = ~np.isnan(values[draws])
    sums = np.where(defined, values[draws], 0).sum(axis=1)
    return ratio(sums, defined.sum(axis=1))


def _average(scores: Scores, name: str, draws: Ints, *, seed: int) -> Figure:
    asked = draws.ravel()
    return mean_figure(
        scores.values[name][asked],
        chance=scores.chance[name][asked],
        resamples=resample(scores.clusters[asked], seed=seed),
    )
