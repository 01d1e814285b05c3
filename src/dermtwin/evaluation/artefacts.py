"""What artefacts do to retrieval: hits that change with them, and whether codes give them away."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dermtwin.evaluation.distances import distance_rows
from dermtwin.evaluation.intervals import interval, resample
from dermtwin.evaluation.measures import precision_at
from dermtwin.evaluation.protocols import rankings
from dermtwin.evaluation.ranking import Flags, Floats, Ranking
from dermtwin.evaluation.subjects import MALIGNANT, Subjects
from dermtwin.evaluation.vote import ballot, roc_auc, vote

K = 10

Codes = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure over queries with its 95 % interval."""

    value: float
    low: float
    high: float
    queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """How answers change when an artefact is laid over the queries.

    Attributes:
        kept: share of a query's first ten hits that are still among them.
        precision: precision@10 without the artefact.
        change: precision@10 with the artefact, less that without.
    """

    kept: Estimate
    precision: Estimate
    change: Estimate


def disturbance(  # noqa: PLR0913 - both sides' codes and names
    clean: Codes,
    disturbed: Codes,
    *,
    gallery_codes: Codes,
    queries: Subjects,
    gallery: Subjects,
    seed: int,
) -> Disturbance:
    """Compare the answers to pictures with those to the same pictures with an artefact.

    Args:
        clean: codes of the pictures, float32 [Q, D].
        disturbed: codes of the same with the artefact, likewise.
        gallery_codes: float32 [N, D].
        queries: who asks.
        gallery: who may come back; a query's own image, lesion and patient never do.
        seed: of the bootstrap over the queries' lesions.
    """

    def ranked(codes: Codes) -> list[Ranking]:
        rows = distance_rows(codes, gallery_codes)
        return list(rankings(rows, queries=queries, gallery=gallery))

    before, after = ranked(clean), ranked(disturbed)
    kept = [
        len(np.intersect1d(first.items[:K], second.items[:K])) / K
        for first, second in zip(before, after, strict=True)
    ]
    precision = _precisions(before)

    def estimate(values: Floats) -> Estimate:
        low, high = interval(resample(queries.clusters, seed=seed).means(values))
        return Estimate(
            value=float(values.mean()), low=float(low), high=float(high), queries=len(values)
        )

    return Disturbance(
        kept=estimate(np.array(kept)),
        precision=estimate(precision),
        change=estimate(_precisions(after) - precision),
    )


def _precisions(ranked: Iterable[Ranking]) -> Floats:
    return np.array([precision_at(each, k=K) for each in ranked])


def readability(codes: Codes, *, seen: Flags, subjects: Subjects, seed: int) -> Estimate:
    """AUC with which the vote of the ten nearest other images tells that an artefact is there.

    One half says that codes know nothing of it (a little less, as an image's own label is missing
    among the others'); an encoder that sorts by ruler sorts by clinic.

    Args:
        codes: float32 [N, D].
        seen: whether a person saw the artefact in each image: bool [N].
        subjects: of the images.
        seed: of the bootstrap over lesions.
    """
    # The votes' classes are "with" and "without", in place of malignant and benign.
    marked = replace(subjects, classes=np.where(seen, MALIGNANT, 1 - MALIGNANT))
    ranked = rankings(distance_rows(codes, codes), queries=marked, gallery=marked)
    votes = ballot([vote(each, k=K, positive_class=MALIGNANT) for each in ranked], positive=seen)
    drawn = resample(subjects.clusters, seed=seed).each(
        lambda weights: roc_auc(votes, weights=weights)
    )
    low, high = interval(drawn)
    return Estimate(value=roc_auc(votes), low=float(low), high=float(high), queries=len(seen))
