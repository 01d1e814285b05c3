"""What artefacts do to retrieval, against naive loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from dermtwin.evaluation.artefacts import K, disturbance, readability
from dermtwin.evaluation.subjects import Subjects


def subjects(count: int, *, seed: int = 0, prefix: str = "q") -> Subjects:
    rng = np.random.default_rng(seed)
    return Subjects(
        images=np.array([f"{prefix}{number}" for number in range(count)]),
        lesions=np.array([f"{prefix}l{number // 2}" for number in range(count)]),
        patients=np.full(count, ""),
        classes=rng.integers(0, 2, count),
    )


def codes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def test_kept_hits_and_precision_are_those_of_a_naive_loop() -> None:
    clean, disturbed, kept_codes = codes(30, 0), codes(30, 1), codes(80, 2)
    queries, gallery = subjects(30), subjects(80, seed=5, prefix="g")
    found = disturbance(
        clean, disturbed, gallery_codes=kept_codes, queries=queries, gallery=gallery, seed=0
    )
    shares, changes = [], []
    for query in range(30):
        hits = [
            np.argsort([np.linalg.norm(code - other) for other in kept_codes])[:K]
            for code in (clean[query], disturbed[query])
        ]
        shares.append(len(set(hits[0]) & set(hits[1])) / K)
        right = [np.mean(gallery.classes[each] == queries.classes[query]) for each in hits]
        changes.append(right[1] - right[0])
    assert found.kept.value == pytest.approx(np.mean(shares))
    assert found.change.value == pytest.approx(np.mean(changes))
    assert found.kept.low < found.kept.value < found.kept.high
    assert found.change.queries == 30


def test_nothing_changes_where_the_codes_do_not() -> None:
    same = codes(12, 0)
    found = disturbance(
        same,
        same,
        gallery_codes=codes(40, 2),
        queries=subjects(12),
        gallery=subjects(40, prefix="g"),
        seed=0,
    )
    assert (found.kept.value, found.kept.low, found.change.value) == (1, 1, 0)


def test_an_own_lesion_never_counts_as_a_kept_hit() -> None:
    own = subjects(24)
    there = codes(24, 3)
    found = disturbance(there, there, gallery_codes=there, queries=own, gallery=own, seed=0)
    assert found.kept.value == 1
    assert found.precision.value < 1


def test_readability_is_the_auc_of_a_weighted_vote() -> None:
    rng = np.random.default_rng(4)
    there, whose = codes(60, 4), subjects(60)
    whose = Subjects(
        images=whose.images, lesions=np.full(60, ""), patients=whose.patients, classes=whose.classes
    )
    seen = there[:, 0] + rng.normal(size=60) > 0
    distances, nearest = NearestNeighbors(n_neighbors=K + 1).fit(there).kneighbors(there)
    weights = 1 / distances[:, 1:]
    scores = (weights * seen[nearest[:, 1:]]).sum(axis=1) / weights.sum(axis=1)
    found = readability(there, seen=seen, subjects=whose, seed=0)
    assert found.value == pytest.approx(roc_auc_score(seen, scores))
    assert 0.6 < found.low < found.value < found.high


def test_codes_that_know_nothing_of_an_artefact_are_at_one_half() -> None:
    found = [
        readability(
            codes(100, seed),
            seen=np.random.default_rng(seed + 50).random(100) < 0.5,
            subjects=subjects(100),
            seed=0,
        ).value
        for seed in range(12)
    ]
    assert 0.42 < np.mean(found) < 0.52
