"""How well codes retrieve while a training is under way: the figure that it is judged by."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dermtwin.evaluation.distances import distance_rows
from dermtwin.evaluation.measures import average_precision
from dermtwin.evaluation.protocols import rankings
from dermtwin.evaluation.subjects import subjects_of
from dermtwin.learning.images import TrainingImages


def macro_map(codes: NDArray[np.float32], images: TrainingImages) -> float | None:
    """Mean over diagnoses of the mean average precision of their images, leave-one-out.

    Args:
        codes: float32 [N, D].
        images: whose they are; an image's own lesion and patient never come back.

    Returns:
        From 0 to 1; images whose diagnosis is no other lesion's do not count. None: all are so.
    """
    names = np.array([case.diagnosis or "" for case in images.cases], dtype=np.str_)
    classes = np.unique(names, return_inverse=True)[1]
    subjects = replace(subjects_of(images.cases), classes=classes.astype(np.int64))
    ranked = rankings(distance_rows(codes, codes), queries=subjects, gallery=subjects)
    values = np.array([average_precision(each) for each in ranked])
    means = [
        np.nanmean(values[classes == each])
        for each in np.unique(classes)
        if not np.isnan(values[classes == each]).all()
    ]
    return float(np.mean(means)) if means else None
