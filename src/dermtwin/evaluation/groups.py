"""The two-class figures for groups of queries: by site, age band, sex, skin type and source.

The gallery stays whole; a group is asked, not searched.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.intervals import resample
from dermtwin.evaluation.ranking import Flags
from dermtwin.evaluation.scores import K, Scores
from dermtwin.evaluation.subjects import AGE_BANDS, Names, Subjects
from dermtwin.evaluation.summary import (
    VOTE_AUC,
    Figure,
    mean_figure,
    vote_figure,
)

GROUPINGS = ("site", "age", "sex", "skin type", "source")
GROUP_MEASURES = (f"precision@{K}", VOTE_AUC)
UNKNOWN = "unknown"

SMALLEST_GROUP = 20
"""Queries below which a group is shown with its count and without a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of queries.

    Attributes:
        queries: how many.
        figures: by measure; empty for a group that is too small.
    """

    queries: int
    figures: Mapping[str, Figure]


def groups(scores: Scores, *, queries: Subjects, seed: int) -> dict[str, dict[str, Group]]:
    """Every grouping with its groups, unknown last; without a source on record none by source.

    Args:
        scores: of one protocol.
        queries: who asked.
        seed: of the bootstrap over each group's own lesions.
    """
    return {
        grouping: {
            name: _group(scores, labels == ("" if name == UNKNOWN else name), seed=seed)
            for name in _names(labels)
        }
        for grouping in GROUPINGS
        if (labels := queries.labels.get(grouping)) is not None
        and (grouping != "source" or (labels != "").any())
    }


def _names(labels: Names) -> list[str]:
    present = sorted(set(labels.tolist()) - {""})
    bands = [name for name in AGE_BANDS if name in present]
    return [*(bands or present), *([UNKNOWN] if (labels == "").any() else [])]


def _group(scores: Scores, mine: Flags, *, seed: int) -> Group:
    count = int(mine.sum())
    if count < SMALLEST_GROUP:
        return Group(queries=count, figures={})
    some = scores.only(np.flatnonzero(mine))
    resamples = resample(some.clusters, seed=seed)
    name = f"precision@{K}"
    return Group(
        queries=count,
        figures={
            name: mean_figure(some.values[name], chance=some.chance[name], resamples=resamples),
            VOTE_AUC: vote_figure(some, k=K, resamples=resamples),
        },
    )
