"""Hold what the nearest cases say together against what the pictures were.

    python scripts/calibrate_answers.py QUERIES GALLERY --out docs/results/trust [--keep]

Each picture of QUERIES is asked of GALLERY, its own lesion left out. How much neighbours are alike
(`correlation`, see dermtwin.consultation.neighbours) is chosen on one half of the queries' lesions
by the likelihood of their classes, and measured on the other; then the other way round. Writes
calibration.json and reliability.png; --keep writes the first half's choice to the package.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from answer_sides import (
    MEASURED,
    Flags,
    Floats,
    Nearest,
    Side,
    arguments,
    ballot,
    encoded,
    figure,
    halves,
    nearest,
)

from dermtwin.consultation.neighbours import Weighing
from dermtwin.encoders import Encoder
from dermtwin.evaluation.intervals import Statistic, resample
from dermtwin.evaluation.vote import Calibration, calibrate
from dermtwin.files import write_text

SIZES = (5, 10, 20, 50)
CORRELATIONS = tuple(round(0.05 * step, 2) for step in range(20))
SHOWN = 10
RESAMPLES = 1000


def main() -> None:
    """Measure, write, draw."""
    parser = arguments(__doc__)
    given = parser.parse_args()
    encoder = Encoder.open(given.encoder)
    queries, gallery = encoded(given.queries, encoder), encoded(given.gallery, encoder)
    found = nearest(queries, gallery, count=max(SIZES))
    first = halves(queries.lesions)
    chosen = [_best(queries, gallery, found, half) for half in (first, ~first)]
    # Each picture by what was chosen on the half that it is not of.
    fitted = {
        size: np.where(
            first,
            _shares(gallery, found, size=size, correlation=chosen[1]),
            _shares(gallery, found, size=size, correlation=chosen[0]),
        )
        for size in SIZES
    }
    raw = {size: _weighted(gallery, found, size=size) for size in SIZES}
    results = {
        "encoder": encoder.id,
        "queries": len(queries.codes),
        "lesions": len(np.unique(queries.lesions)),
        "gallery": len(gallery.codes),
        "base": round(float(gallery.malignant.mean()), 4),
        "chosen": {"first half": chosen[0], "second half": chosen[1]},
        "sizes": {
            str(size): {
                "as weighted": figure(_error(raw[size], queries, ~first)),
                "second half": figure(_error(fitted[size], queries, ~first)),
                "both halves": figure(_error(fitted[size], queries, np.ones_like(first))),
            }
            for size in SIZES
        },
        "diagnoses": _by_diagnosis(queries, gallery, found, correlations=chosen, first=first),
        "reliability": {
            "as weighted": _bins(raw[SHOWN], queries.malignant),
            "shown": _bins(fitted[SHOWN], queries.malignant),
        },
    }
    write_text(given.out / "calibration.json", json.dumps(results, indent=1) + "\n")
    _draw(results["reliability"], given.out / "reliability.png")
    if given.keep:
        kept = json.loads(MEASURED.read_text())
        kept["encoders"].setdefault(encoder.id, {})["correlation"] = chosen[0]
        write_text(MEASURED, json.dumps(kept, indent=1) + "\n")


def _weighted(gallery: Side, found: Nearest, *, size: int) -> Floats:
    """Shares of malignant cases by closeness alone: float64 [Q]."""
    weighings = [Weighing.of(list(row[:size]), correlation=0) for row in found.distances]
    flags = gallery.malignant[found.rows[:, :size]]
    return np.array([float(each.weights @ row) for each, row in zip(weighings, flags, strict=True)])


def _shares(
    gallery: Side,
    found: Nearest,
    *,
    size: int,
    correlation: float,
    among: Flags | None = None,
) -> Floats:
    """Shares as an answer has them: float64 [Q]; `among` the gallery: bool [N]."""
    among = gallery.malignant if among is None else among
    base = float(among.mean())
    return np.array(
        [
            Weighing.of(list(near[:size]), correlation=correlation)
            .portion(among[rows[:size]], base=base)
            .share
            for near, rows in zip(found.distances, found.rows, strict=True)
        ]
    )


def _best(queries: Side, gallery: Side, found: Nearest, half: Flags) -> float:
    """The correlation under which the classes of these pictures are likeliest, over all sizes."""

    def loss(correlation: float) -> float:
        total = 0.0
        for size in SIZES:
            share = _shares(gallery, found, size=size, correlation=correlation)[half]
            total -= float(np.log(np.where(queries.malignant[half], share, 1 - share)).mean())
        return total

    return min(CORRELATIONS, key=loss)


def _error(shares: Floats, queries: Side, among: Flags) -> Statistic:
    """Expected calibration error over bins of equal mass, with its resamples."""
    votes = ballot(shares[among], queries.malignant[among])
    resamples = resample(queries.lesions[among], seed=0, resamples=RESAMPLES)
    return Statistic(
        value=calibrate(votes).error,
        resampled=resamples.each(lambda weights: calibrate(votes, weights=weights).error),
    )


def _by_diagnosis(
    queries: Side, gallery: Side, found: Nearest, *, correlations: list[float], first: Flags
) -> dict[str, Any]:
    """The same error for each diagnosis's share, and their mean."""
    errors = {}
    for name in np.unique(queries.diagnoses):
        among = gallery.diagnoses == name
        one, other = (
            _shares(gallery, found, size=SHOWN, correlation=each, among=among)
            for each in correlations
        )
        shares = np.where(first, other, one)
        errors[str(name)] = round(calibrate(ballot(shares, queries.diagnoses == name)).error, 4)
    return {"each": errors, "mean": round(float(np.mean(list(errors.values()))), 4)}


def _bins(shares: Floats, malignant: Flags) -> dict[str, list[float]]:
    found: Calibration = calibrate(ballot(shares, malignant))
    return {
        "mean_share": [round(float(each), 4) for each in found.mean_score],
        "share_malignant": [round(float(each), 4) for each in found.share_positive],
    }


def _draw(reliability: dict[str, dict[str, list[float]]], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure_, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="as it should be")
    for (name, bins), mark in zip(reliability.items(), ("o--", "s-"), strict=True):
        axes.plot(bins["mean_share"], bins["share_malignant"], mark, label=name)
    axes.set_xlabel(f"share of malignant cases among the {SHOWN} nearest")
    axes.set_ylabel("pictures that were malignant, share")
    axes.set_title("15 bins of as many pictures each")
    axes.legend()
    figure_.savefig(path, dpi=110)
    plt.close(figure_)


if __name__ == "__main__":
    main()
