"""Encoders side by side on the same queries, with paired intervals of their differences.

All encoders are asked with the same queries, and the same lesions are drawn anew for all of them;
what makes a query hard for both then falls out of their difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.intervals import Resamples, Statistic, macro_of, mean_of, resample
from dermtwin.evaluation.levels import MAP, LevelScores
from dermtwin.evaluation.scores import AP, K, Scores
from dermtwin.evaluation.study import Compared, Design, scored
from dermtwin.evaluation.subjects import DIAGNOSIS
from dermtwin.evaluation.summary import VOTE_AUC, vote_statistic

_PRECISION = f"precision@{K}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One encoder's figure, and how far it is from the first encoder's.

    Attributes:
        value, low, high: the measure and its 95 % interval.
        difference, difference_low, difference_high: this one minus the first, paired; None for the
            first itself.
    """

    value: float
    low: float
    high: float
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None

    @property
    def differs(self) -> bool:
        """Whether the interval of the difference leaves 0 out."""
        if self.difference_low is None or self.difference_high is None:
            return False
        return self.difference_low > 0 or self.difference_high < 0


def side_by_side(
    encoders: Mapping[str, Compared], protocol: str, design: Design
) -> dict[str, dict[str, Beside]]:
    """Measure encoders on the same queries.

    Args:
        encoders: by name, the output of each that is compared; the first is what the others are
            set against.
        protocol: whose gallery is searched.
        design: who is asked of whom.

    Returns:
        By measure and encoder.
    """
    resamples = resample(design.queries.clusters, seed=design.seed)
    found = {
        name: _statistics(*scored(each, protocol, design), resamples)
        for name, each in encoders.items()
    }
    first = next(iter(found.values()))
    return {
        measure: {
            name: _beside(each[measure], None if each is first else first[measure])
            for name, each in found.items()
        }
        for measure in first
    }


def _statistics(
    scores: Scores, levels: Mapping[str, LevelScores], resamples: Resamples
) -> dict[str, Statistic]:
    found = {
        f"{_PRECISION}, two classes": mean_of(scores.values[_PRECISION], resamples=resamples),
        "mAP, two classes": mean_of(scores.values[AP], resamples=resamples),
        f"{VOTE_AUC}, two classes": vote_statistic(scores, k=K, resamples=resamples),
    }
    if DIAGNOSIS not in levels:
        return found
    deepest = levels[DIAGNOSIS]
    for name in (_PRECISION, MAP):
        values, labels = deepest.values[name], deepest.level.queries
        found[f"{name}, macro, diagnoses"] = macro_of(
            values,
            classes=labels,
            among=np.unique(labels[~np.isnan(values)]).tolist(),
            resamples=resamples,
        )
    return found


def _beside(mine: Statistic, first: Statistic | None) -> Beside:
    low, high = mine.bounds
    if first is None:
        return Beside(value=mine.value, low=low, high=high)
    difference = mine - first
    difference_low, difference_high = difference.bounds
    return Beside(
        value=mine.value,
        low=low,
        high=high,
        difference=difference.value,
        difference_low=difference_low,
        difference_high=difference_high,
    )
