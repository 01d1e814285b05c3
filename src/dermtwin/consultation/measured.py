"""What was measured of answers, once for all, kept in `measured.json` beside this file.

`scripts/calibrate_answers.py` and `scripts/measure_trust.py` write it; docs/trust.md says how.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

USUAL_CORRELATION = 0.25
"""For encoders that were not measured: what the one that ships has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfEncoder:
    """What was measured of one encoder.

    Attributes:
        correlation: how much nearest cases are alike in class beyond what the picture's own class
            explains, 0…1; see `dermtwin.consultation.neighbours`.
        unfamiliar: distance of the 20th nearest lesion beyond which a picture may be of a kind
            that the casebook does not hold; None: not measured.
        is_calibrated: whether the correlation was measured.
    """

    correlation: float
    unfamiliar: float | None
    is_calibrated: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OfPictures:
    """What dermoscopic pictures are usually like, by the numbers of `picture.statistics`.

    Attributes:
        mean: float64 [12].
        precision: the inverse of their covariance: float64 [12, 12].
        doubtful, refused: Mahalanobis distances beyond which a picture may not be, or is not
            taken for, dermoscopy.
    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    doubtful: float
    refused: float


def of_encoder(encoder_id: str) -> OfEncoder:
    """What was measured of an encoder; what is usual where nothing was."""
    measured = _kept()["encoders"].get(encoder_id, {})
    return OfEncoder(
        correlation=measured.get("correlation", USUAL_CORRELATION),
        unfamiliar=measured.get("unfamiliar"),
        is_calibrated="correlation" in measured,
    )


@cache
def of_pictures() -> OfPictures:
    """What dermoscopic pictures are usually like."""
    kept = _kept()["pictures"]
    return OfPictures(
        mean=np.array(kept["mean"]),
        precision=np.array(kept["precision"]),
        doubtful=kept["doubtful"],
        refused=kept["refused"],
    )


@cache
def _kept() -> Mapping[str, Any]:
    kept: Mapping[str, Any] = json.loads(
        files(__package__).joinpath("measured.json").read_text(encoding="utf-8")
    )
    return kept
