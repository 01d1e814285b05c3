"""How well an encoder retrieves from images that it has not seen, for its card."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.encoders import Codes
from dermtwin.evaluation.distances import distance_rows
from dermtwin.evaluation.protocols import LEAVE_ONE_OUT, rankings
from dermtwin.evaluation.scores import score
from dermtwin.evaluation.subjects import Subjects, subjects_of
from dermtwin.evaluation.summary import MAP_MICRO, Figure, summarise
from dermtwin.learning.images import TrainingImages

_SHOWN = ("precision@10", MAP_MICRO)
_BOOTSTRAP_SEED = 0


def measured_quality(codes: Codes, images: TrainingImages) -> dict[str, Any]:
    """Each image against all others, by each output.

    Args:
        codes: of the images, in their order.
        images: whose they are.

    Returns:
        Protocol, what was measured on, and by output and measure the value with its 95 % interval,
        chance and number of queries; None where no query defines it.
    """
    subjects = subjects_of(images.cases)
    figures = {
        output: _figures(codes.vectors(output), subjects) for output in sorted(codes.by_output)
    }
    return {"protocol": LEAVE_ONE_OUT, "data": images.described(), "figures": figures}


def _figures(vectors: NDArray[np.float32], subjects: Subjects) -> dict[str, Any]:
    ranked = rankings(distance_rows(vectors, vectors), queries=subjects, gallery=subjects)
    scores = score(ranked, queries=subjects, gallery_size=len(subjects))
    found: Mapping[str, Figure] = summarise(scores, seed=_BOOTSTRAP_SEED).figures
    return {name: _without_nan(asdict(found[name])) for name in _SHOWN}


def _without_nan(figure: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no word for "not a number".
    return {name: None if math.isnan(value) else value for name, value in figure.items()}
