"""How often an answer's marks are right: pictures that are no dermoscopy, kinds not in a casebook.

    pip install scikit-image scikit-learn
    python scripts/measure_trust.py QUERIES GALLERY --elsewhere FOLDER … --keep

Limits are chosen on one half of the queries' lesions, and on some kinds of foreign pictures
(scripts/not_dermoscopy.py); all figures are of the other half and the other kinds. Each --elsewhere
is a dataset of other clinics, on which nothing is chosen. Writes trust.json; --keep writes the
limits to the package.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from answer_sides import (
    MEASURED,
    PICTURE_SIDE,
    Flags,
    Floats,
    Names,
    Nearest,
    Side,
    arguments,
    auc,
    encoded,
    figure,
    halves,
    nearest,
    numbers_of,
    of_picture,
    rows_of,
)
from not_dermoscopy import pictures

from dermtwin.consultation.trust import FAMILY, FAR
from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.evaluation.intervals import mean_of, resample
from dermtwin.files import write_text
from dermtwin.images import decode, read_file
from dermtwin.preparation.quality import judge
from dermtwin.preparation.view import inner_view
from dermtwin.running import in_order

EACH = 20
"""Foreign pictures of each source."""

RESAMPLES = 1000
USUAL = 0.95
"""Share of the first half's pictures that are to be called familiar."""

MARGIN = 1.25
"""A picture this many times as far as the farthest of the first half's is refused."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Foreign:
    """Pictures that are no dermoscopy; one row each."""

    is_chosen_on: Flags
    kinds: Names
    sources: Names
    strange: Floats
    near: Floats
    energy: Floats
    skin: Floats


def main() -> None:
    """Measure and write."""
    parser = arguments(__doc__)
    parser.add_argument("--elsewhere", type=Path, nargs="*", default=())
    given = parser.parse_args()
    encoder = Encoder.open(given.encoder)
    queries, gallery = encoded(given.queries, encoder), encoded(given.gallery, encoder)
    first = halves(queries.lesions)
    mean = gallery.pictures.mean(axis=0)
    precision = np.linalg.inv(np.cov(gallery.pictures.T))
    strange = _mahalanobis(queries.pictures, mean, precision)
    limits = {"doubtful": float(strange[first].max())}
    limits["refused"] = MARGIN * limits["doubtful"]
    found = nearest(queries, gallery, count=FAMILY)
    foreign = _foreign(encoder, gallery, mean=mean, precision=precision)
    unfamiliar = float(np.quantile(found.distances[first, FAMILY - 1], USUAL))
    own = {
        "statistics of the picture": strange,
        "distance of the nearest case": found.distances[:, 0],
        "energy of the features": -queries.energy,
        "one hue, as skin": _skins(given.queries),
    }
    results: dict[str, Any] = {
        "encoder": encoder.id,
        "queries": len(queries.codes),
        "gallery": len(gallery.codes),
        "limits": limits | {"unfamiliar": unfamiliar},
        "foreign": {
            "pictures": len(foreign.kinds),
            "scores": _scores(queries, foreign, kept=~first, own=own),
            "marked": _marked(foreign, limits),
            "dermoscopy": _shares(strange[~first], queries.lesions[~first], limits),
            "elsewhere": {
                folder.name: _elsewhere(folder, foreign, limits, mean=mean, precision=precision)
                for folder in given.elsewhere
            },
        },
        "unseen": _unseen(queries, gallery, first, unfamiliar=unfamiliar),
        "usual": _usual(queries, first, found, encoder, unfamiliar=unfamiliar),
    }
    write_text(given.out / "trust.json", json.dumps(results, indent=1) + "\n")
    if given.keep:
        kept = json.loads(MEASURED.read_text())
        kept["pictures"] = {"mean": mean.tolist(), "precision": precision.tolist()} | limits
        kept["encoders"].setdefault(encoder.id, {})["unfamiliar"] = unfamiliar
        write_text(MEASURED, json.dumps(kept, indent=1) + "\n")


def _mahalanobis(numbers: Floats, mean: Floats, precision: Floats) -> Floats:
    off = numbers - mean
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", off, precision, off)))


def _foreign(encoder: Encoder, gallery: Side, *, mean: Floats, precision: Floats) -> Foreign:
    drawn = list(pictures(each=EACH))
    coded = [of_picture(data, encoder=encoder, name=source) for *_, source, data in drawn]
    codes = np.concatenate([code for code, _ in coded])
    numbers = np.stack([numbers_of(data, name=source) for *_, source, data in drawn])
    # Codes have length 1.
    near = np.sqrt(np.maximum(0, 2 - 2 * (codes @ gallery.codes.T).max(axis=1)))
    return Foreign(
        is_chosen_on=np.array([part == "chosen on" for part, *_ in drawn]),
        kinds=np.array([kind for _, kind, *_ in drawn]),
        sources=np.array([source for *_, source, _ in drawn]),
        strange=_mahalanobis(numbers, mean, precision),
        near=near.astype(np.float64),
        energy=np.array([energy for _, energy in coded]),
        skin=np.array([_skin(data) for *_, data in drawn]),
    )


def _skins(folder: Path) -> Floats:
    """How far each picture of a dataset is from one hue, by name."""
    rows = sorted(read_dataset(folder), key=lambda row: row.case.isic_id)
    return -np.array(list(in_order(lambda row: _skin(read_file(row.image)), rows)))


def _skin(data: bytes) -> float:
    view = inner_view(decode(data, name="picture", at_least=PICTURE_SIDE))
    lens = np.zeros(view.shape[:2], dtype=np.bool_)
    return judge(view, lens=lens, lesion=None, size=(view.shape[1], view.shape[0])).skin


def _scores(
    queries: Side,
    foreign: Foreign,
    *,
    kept: Flags,
    own: Mapping[str, Floats],
) -> dict[str, Any]:
    """How well each score tells foreign pictures from those of the queries that are `kept`."""
    other = {
        "statistics of the picture": foreign.strange,
        "distance of the nearest case": foreign.near,
        "energy of the features": -foreign.energy,
        "one hue, as skin": -foreign.skin,
    }
    return {
        name: _foreign_auc(own[name][kept], queries.lesions[kept], foreign, other=other[name])
        for name in other
    }


def _foreign_auc(
    own: Floats, lesions: Names, foreign: Foreign, *, other: Floats | None = None
) -> dict[str, float]:
    """AUC against the kinds that nothing was chosen on; interval over lesions and sources."""
    kept = ~foreign.is_chosen_on
    other = foreign.strange if other is None else other
    clusters = np.concatenate([lesions, foreign.sources[kept]])
    positive = np.concatenate([np.zeros(len(own), bool), np.ones(int(kept.sum()), bool)])
    resamples = resample(clusters, seed=0, resamples=RESAMPLES)
    return figure(auc(np.concatenate([own, other[kept]]), positive, resamples=resamples))


def _elsewhere(
    folder: Path,
    foreign: Foreign,
    limits: Mapping[str, float],
    *,
    mean: Floats,
    precision: Floats,
) -> dict[str, Any]:
    """The same for a dataset that nothing was chosen on."""
    rows = list(read_dataset(folder))
    numbers = in_order(lambda row: numbers_of(read_file(row.image), name=str(row.image)), rows)
    far = _mahalanobis(np.stack(list(numbers)), mean, precision)
    names = np.array([row.case.isic_id for row in rows])
    marked = _shares(far, names, limits)
    return marked | {"pictures": len(rows), "auc": _foreign_auc(far, names, foreign)}


def _marked(foreign: Foreign, limits: Mapping[str, float]) -> dict[str, Any]:
    kept, strange = ~foreign.is_chosen_on, foreign.strange
    by_kind = {
        kind: _shares(strange[kept & among], foreign.sources[kept & among], limits)
        for kind, among in rows_of(foreign.kinds)
    }
    return {"all": _shares(strange[kept], foreign.sources[kept], limits), "kinds": by_kind}


def _shares(strange: Floats, clusters: Names, limits: Mapping[str, float]) -> dict[str, Any]:
    """Which share of pictures is marked, and which refused."""
    resamples = resample(clusters, seed=0, resamples=RESAMPLES)
    return {
        name: figure(mean_of((strange > limit).astype(np.float64), resamples=resamples))
        for name, limit in limits.items()
    }


def _unseen(queries: Side, gallery: Side, first: Flags, *, unfamiliar: float) -> dict[str, Any]:
    """Each diagnosis left out of the gallery: its pictures against the others' in the same one."""
    diagnoses = {}
    for name, among in rows_of(gallery.diagnoses):
        found = nearest(queries, gallery, count=FAMILY, among=~among)
        scores = _unfamiliarity(queries, gallery, found)
        unseen = queries.diagnoses == name
        marked = (found.distances[:, FAMILY - 1] > unfamiliar).astype(np.float64)
        diagnoses[name] = {
            "pictures": int(unseen[~first].sum()),
            "scores": {
                score: figure(
                    auc(
                        values[~first],
                        unseen[~first],
                        resamples=resample(queries.lesions[~first], seed=0, resamples=RESAMPLES),
                    )
                )
                for score, values in scores.items()
            },
            "marked": {
                "unseen": _mean(marked, ~first & unseen, queries.lesions),
                "others": _mean(marked, ~first & ~unseen, queries.lesions),
            },
        }
    names = next(iter(diagnoses.values()))["scores"]
    means = {
        score: round(
            float(np.mean([each["scores"][score]["value"] for each in diagnoses.values()])), 4
        )
        for score in names
    }
    return {"diagnoses": diagnoses, "mean": means}


def _unfamiliarity(queries: Side, gallery: Side, found: Nearest) -> dict[str, Floats]:
    """Ways to tell that a picture is of a kind that the gallery does not hold."""
    near = found.distances
    return {
        "nearest": near[:, 0],
        "mean of 10": near[:, :10].mean(axis=1),
        "10th": near[:, 9],
        f"{FAMILY}th": near[:, FAMILY - 1],
        "disagreement": np.array([_entropy(gallery.diagnoses[rows]) for rows in found.rows]),
        "energy": -queries.energy,
    }


def _entropy(diagnoses: Names) -> float:
    _, counts = np.unique(diagnoses, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _usual(
    queries: Side, first: Flags, found: Nearest, encoder: Encoder, *, unfamiliar: float
) -> dict[str, Any]:
    """How often dermoscopic pictures of kinds that the gallery holds are marked all the same."""
    far = encoder.card.distances["code"][FAR]
    marks = {
        "nothing-near": found.distances[:, 0] > far,
        "unfamiliar": found.distances[:, FAMILY - 1] > unfamiliar,
    }
    return {
        name: _mean(each.astype(np.float64), ~first, queries.lesions)
        for name, each in marks.items()
    }


def _mean(values: Floats, among: Flags, lesions: Names) -> dict[str, float]:
    resamples = resample(lesions[among], seed=0, resamples=RESAMPLES)
    return figure(mean_of(values[among], resamples=resamples))


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
