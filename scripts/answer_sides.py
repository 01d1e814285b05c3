"""What the scripts share that measure answers: two datasets encoded, and each query's nearest."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermtwin.consultation.picture import statistics
from dermtwin.datasets import Row, read_dataset
from dermtwin.encoders import Encoder
from dermtwin.evaluation import vote
from dermtwin.evaluation.distances import distance_rows
from dermtwin.evaluation.intervals import Resamples, Statistic
from dermtwin.images import decode, read_file
from dermtwin.running import in_order
from dermtwin.vocabulary import BASE_ENCODER

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Names = NDArray[np.str_]

MEASURED = Path(__file__).parents[1] / "src" / "dermtwin" / "consultation" / "measured.json"
PICTURE_SIDE = 320


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Side:
    """A dataset, encoded.

    Attributes:
        codes: float32 [N, D].
        energy: length of the sum of each picture's regions: float64 [N].
        pictures: float64 [N, 12], as `picture.statistics` has them.
        lesions, diagnoses: str [N]; `diagnoses` are the deepest that are known.
        malignant: bool [N].
    """

    codes: NDArray[np.float32]
    energy: Floats
    pictures: Floats
    lesions: Names
    diagnoses: Names
    malignant: Flags


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Nearest:
    """The nearest lesions of each query, one image each, its own lesion left out.

    Attributes:
        distances: float64 [Q, n], ascending.
        rows: int64 [Q, n], which of the gallery's images.
    """

    distances: Floats
    rows: NDArray[np.int64]


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """QUERIES GALLERY --out FOLDER, with --encoder and --keep."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("queries", type=Path)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("--encoder", default=BASE_ENCODER)
    parser.add_argument("--out", type=Path, default=Path("docs/results/trust"))
    parser.add_argument("--keep", action="store_true", help="write what was chosen to the package")
    return parser


def encoded(folder: Path, encoder: Encoder) -> Side:
    """Read and encode a dataset."""
    rows = sorted(read_dataset(folder), key=lambda row: row.case.isic_id)
    done = list(in_order(partial(_encoded, encoder=encoder), rows))
    return Side(
        codes=np.concatenate([code for code, _, _ in done]),
        energy=np.array([energy for _, energy, _ in done]),
        pictures=np.stack([numbers for _, _, numbers in done]),
        lesions=np.array([row.case.lesion_id or row.case.isic_id for row in rows]),
        diagnoses=np.array([row.case.diagnosis or "unknown" for row in rows]),
        malignant=np.array([row.case.is_malignant is True for row in rows]),
    )


def of_picture(data: bytes, *, encoder: Encoder, name: str) -> tuple[NDArray[np.float32], float]:
    """A picture's code, float32 [1, D], and the length of the sum of its regions."""
    codes = encoder.encode(data, name=name)
    return codes.vectors(), float(np.linalg.norm(codes.by_output["regions"].sum(axis=(1, 2))))


def numbers_of(data: bytes, *, name: str) -> Floats:
    """A picture's numbers, as a consultation has them: float64 [12]."""
    return statistics(decode(data, name=name, at_least=PICTURE_SIDE))


def _encoded(row: Row, *, encoder: Encoder) -> tuple[NDArray[np.float32], float, Floats]:
    data, name = read_file(row.image), str(row.image)
    return *of_picture(data, encoder=encoder, name=name), numbers_of(data, name=name)


def halves(lesions: Names, *, seed: int = 0) -> Flags:
    """True for the images of one half of the lesions, drawn by chance."""
    names, lesion_of = np.unique(lesions, return_inverse=True)
    chosen = np.random.default_rng(seed).permutation(len(names)) < len(names) // 2
    return np.asarray(chosen[lesion_of])


def nearest(queries: Side, gallery: Side, *, count: int, among: Flags | None = None) -> Nearest:
    """Each query's `count` nearest lesions among some of the gallery's images."""
    keep = np.flatnonzero(np.ones(len(gallery.codes), bool) if among is None else among)
    lesions = gallery.lesions[keep]
    distances, rows = [], []
    each = distance_rows(queries.codes, gallery.codes[keep])
    for own, row in zip(queries.lesions, each, strict=True):
        order = np.argsort(row, kind="stable")
        order = order[lesions[order] != own][: 8 * count]
        _, first = np.unique(lesions[order], return_index=True)
        picked = order[np.sort(first)][:count]
        distances.append(row[picked])
        rows.append(keep[picked])
    return Nearest(distances=np.array(distances), rows=np.array(rows))


def auc(scores: Floats, positive: Flags, *, resamples: Resamples) -> Statistic:
    """Area under the ROC curve, with its resamples."""
    return vote.auc_of(ballot(scores, positive), resamples=resamples)


def ballot(scores: Floats, positive: Flags) -> vote.Ballot:
    """Scores of queries as votes."""
    one = np.ones(1)
    return vote.ballot([vote.Vote(np.array([each]), one) for each in scores], positive=positive)


def figure(statistic: Statistic) -> dict[str, float]:
    """A number with its 95 % interval, for JSON."""
    low, high = statistic.bounds
    return {
        name: round(value, 4)
        for name, value in zip(("value", "low", "high"), (statistic.value, low, high), strict=True)
    }


def rows_of(names: Names) -> Iterator[tuple[str, Flags]]:
    """Each name with where it stands."""
    for name in np.unique(names):
        yield str(name), names == name
