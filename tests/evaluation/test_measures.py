"""Agreement with scikit-learn on random rankings, and what is not defined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dermtwin.errors import SettingsError
from dermtwin.evaluation.measures import (
    average_precision,
    average_precision_at,
    interpolated_precision,
    precision_at,
)
from dermtwin.evaluation.ranking import Ranking, rank
from dermtwin.evaluation.vote import Vote, ballot, calibrate, closeness, roc_auc, roc_curve, vote

metrics = pytest.importorskip("sklearn.metrics")


def random_ranking(seed, *, size=200, tied=False) -> tuple[np.ndarray, np.ndarray]:
    """Distances below, at and above zero: an oracle must see the values that really occur."""
    generator = np.random.default_rng(seed)
    distances = generator.normal(size=size)
    if tied:
        distances = np.round(distances, 1)
    return distances, generator.integers(0, 2, size=size)


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_agrees_with_scikit_learn(seed) -> None:
    distances, classes = random_ranking(seed)
    ours = average_precision(rank(distances, classes=classes, query_class=1))
    assert ours == pytest.approx(metrics.average_precision_score(classes, -distances), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_precision_agrees_with_scikit_learn_by_depth(seed) -> None:
    distances, classes = random_ranking(seed)
    ranking = rank(distances, classes=classes, query_class=1)
    precision, recall, thresholds = metrics.precision_recall_curve(classes, -distances)
    nearest = np.sort(distances)
    for p, r, threshold in zip(precision, recall, thresholds, strict=False):
        depth = int(np.searchsorted(nearest, -threshold, side="right"))
        assert precision_at(ranking, k=depth) == pytest.approx(p, abs=1e-9)
        assert precision_at(ranking, k=depth) * depth / classes.sum() == pytest.approx(r, abs=1e-9)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_interpolated_precision_is_the_best_at_that_recall_or_beyond(seed, tied) -> None:
    distances, classes = random_ranking(seed, size=60, tied=tied)
    ranking = rank(distances, classes=classes, query_class=1)
    levels = np.linspace(0, 1, 23)
    points = []
    for depth in range(1, 61):
        precision = precision_at(ranking, k=depth)
        points.append((precision * depth / classes.sum(), precision))
    naive = [max(p for r, p in points if r >= level - 1e-9) for level in levels]
    np.testing.assert_allclose(interpolated_precision(ranking, levels=levels), naive, atol=1e-9)


def test_a_perfect_ranking_scores_one_and_the_worst_as_computed_by_hand() -> None:
    best = rank([1, 2, 3, 4], classes=[1, 1, 0, 0], query_class=1)
    worst = rank([1, 2, 3, 4], classes=[0, 0, 1, 1], query_class=1)
    assert (
        average_precision(best) == average_precision_at(best, k=2) == precision_at(best, k=2) == 1
    )
    assert average_precision(worst) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert average_precision_at(worst, k=2) == 0


def test_one_hit_of_fifty_at_rank_one_is_a_tenth_by_the_denominator_named() -> None:
    ranking = rank(range(60), classes=[1] + [0] * 10 + [1] * 49, query_class=1)
    assert average_precision_at(ranking, k=10) == pytest.approx(0.1)


def test_undefined_is_nan_and_never_a_free_point() -> None:
    nothing = rank([1, 2], classes=[0, 0], query_class=1)
    assert np.isnan(average_precision(nothing))
    assert np.isnan(average_precision_at(nothing, k=1))
    assert np.isnan(precision_at(nothing, k=1))
    assert np.isnan(interpolated_precision(nothing)).all()
    empty = rank([], classes=[], query_class=1)
    assert np.isnan(average_precision(empty))
    assert np.isnan(precision_at(rank([1, 2], classes=[1, 1], query_class=1), k=3))


def test_rankings_are_checked() -> None:
    with pytest.raises(SettingsError, match="rows of one length"):
        rank([1, 2], classes=[1], query_class=1)
    with pytest.raises(SettingsError, match="ascending"):
        rank([1, float("nan")], classes=[1, 1], query_class=1)
    row = {"query_class": 1, "distances": np.zeros(2), "classes": np.zeros(2, dtype=int)}
    with pytest.raises(SettingsError, match="twice"):
        Ranking(**row, items=np.zeros(2, dtype=int))
    with pytest.raises(SettingsError, match="lengths"):
        Ranking(**row, items=np.zeros(1, dtype=int))


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, (25,), elements=st.floats(0.01, 9), unique=True),
    arrays(np.int64, (25,), elements=st.integers(0, 1)),
)
def test_vote_agrees_with_the_weighted_neighbours_of_scikit_learn(distances, classes) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    classes[0], classes[1] = 0, 1
    model = KNeighborsClassifier(10, weights="distance").fit(distances[:, None], classes)
    ours = vote(rank(distances, classes=classes, query_class=1), k=10, positive_class=1)
    assert len(ours.scores) == 1
    assert ours.scores[0] == pytest.approx(model.predict_proba([[0.0]])[0, 1], abs=1e-9)


def test_closeness_bears_zero_and_the_smallest_numbers() -> None:
    np.testing.assert_array_equal(closeness(np.array([0, 0, 0.5])), [1, 1, 0])
    tiny = np.nextafter(0, 1)
    np.testing.assert_array_equal(closeness(np.array([tiny, tiny * 2])), [1, 0.5])


@pytest.mark.parametrize("seed", range(10))
def test_roc_agrees_with_scikit_learn_with_weights_and_ties(seed) -> None:
    generator = np.random.default_rng(seed)
    scores = np.round(generator.random(80), 1)
    positive = generator.random(80) < 0.4
    weights = generator.integers(0, 4, size=80).astype(float)
    votes = ballot([Vote(np.array([s]), np.ones(1)) for s in scores], positive=positive)
    expected = metrics.roc_auc_score(positive, scores, sample_weight=weights)
    assert roc_auc(votes, weights=weights) == pytest.approx(expected, abs=1e-9)
    false, true = roc_curve(votes)
    assert metrics.auc(false, true) == pytest.approx(metrics.roc_auc_score(positive, scores))


def test_roc_of_one_class_is_not_defined() -> None:
    votes = ballot([Vote(np.array([0.5]), np.ones(1))], positive=np.array([True]))
    assert np.isnan(roc_auc(votes))


def test_calibration_is_that_of_equal_bins() -> None:
    generator = np.random.default_rng(1)
    scores = np.sort(generator.random(150))
    positive = generator.random(150) < scores**2
    votes = ballot([Vote(np.array([s]), np.ones(1)) for s in scores], positive=positive)
    result = calibrate(votes)
    gaps = [
        abs(part.mean() - truth.mean())
        for part, truth in zip(np.split(scores, 15), np.split(positive, 15), strict=True)
    ]
    assert result.error == pytest.approx(np.mean(gaps), abs=1e-9)
    np.testing.assert_allclose(result.share_positive, np.split(positive, 15) @ np.full(10, 0.1))


def test_calibration_of_equal_scores_does_not_depend_on_their_order() -> None:
    positive = np.array([True] * 30 + [False] * 10)
    same = [Vote(np.array([0.5]), np.ones(1))] * 40
    one, other = (calibrate(ballot(same, positive=each)) for each in (positive, positive[::-1]))
    assert one.error == pytest.approx(0.25)
    np.testing.assert_allclose(one.share_positive, 0.75)
    np.testing.assert_allclose(other.share_positive, one.share_positive)


def test_calibration_without_votes_is_not_defined() -> None:
    assert np.isnan(calibrate(ballot([], positive=np.empty(0))).error)
