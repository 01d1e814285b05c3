"""Levels, groups, confusion and paired statistics against plain loops and scikit-learn."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.evaluation.distances import distance_rows, reranked_rows
from dermtwin.evaluation.groups import GROUP_MEASURES, SMALLEST_GROUP, groups
from dermtwin.evaluation.intervals import macro_of, mean_of, resample
from dermtwin.evaluation.levels import (
    LevelTally,
    confusion,
    levels_of,
    neighbour_shares,
    summarise_level,
)
from dermtwin.evaluation.protocols import LEAVE_ONE_OUT, rankings
from dermtwin.evaluation.ranking import rank
from dermtwin.evaluation.scores import Scores, score
from dermtwin.evaluation.study import Compared, Design, derived, ranked
from dermtwin.evaluation.subjects import (
    AGE_BANDS,
    Subjects,
    age_band,
    source,
    subjects_of,
)
from dermtwin.evaluation.vote import Vote, auc_of, ballot, roc_auc
from dermtwin.vocabulary import Case

KINDS = (
    ("Malignant", "melanocytic", "melanoma"),
    ("Benign", "melanocytic", "nevus"),
    ("Benign", "vascular", None),
)


def people(size: int, *, prefix: str, seed: int = 0) -> Subjects:
    generator = np.random.default_rng(seed)
    return subjects_of(
        Case(
            isic_id=f"{prefix}{n}",
            lesion_id=f"{prefix}{n // 2}",
            diagnosis_1=KINDS[kind][0],
            diagnosis_2=KINDS[kind][1],
            diagnosis_3=KINDS[kind][2],
            sex="male" if n < 25 else None,
            age_approx=5 * (n % 18),
        )
        for n, kind in enumerate(generator.integers(0, 3, size=size))
    )


def codes_of(size: int, *, seed: int) -> np.ndarray:
    """Few distinct values, so that many distances tie."""
    return np.random.default_rng(seed).integers(0, 4, size=(size, 2)).astype(np.float32)


def measured(queries, gallery, codes, others) -> tuple[Scores, dict]:
    tally = LevelTally(queries, gallery)
    ranked = tally.watch(rankings(distance_rows(codes, others), queries=queries, gallery=gallery))
    return score(ranked, queries=queries, gallery_size=len(gallery)), tally.scores()


@pytest.mark.parametrize("alone", [True, False])
def test_a_level_is_what_plain_loops_and_scikit_learn_find(alone) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    queries = people(40, prefix="q")
    gallery = queries if alone else people(60, prefix="g", seed=1)
    codes = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    others = codes if alone else np.random.default_rng(3).normal(size=(60, 3)).astype(np.float32)
    _, levels = measured(queries, gallery, codes, others)
    assert set(levels) == {"diagnosis_1", "diagnosis_2", "diagnosis_3", "diagnosis"}
    for name, found in levels.items():
        mine, theirs = queries.labels[name], gallery.labels[name]
        for q in range(40):
            kept = [
                g
                for g in range(len(gallery))
                if theirs[g] and gallery.lesions[g] != queries.lesions[q]
            ]
            away = np.linalg.norm(others[kept].astype(float) - codes[q], axis=1)
            same = theirs[kept] == mine[q]
            if not mine[q]:
                assert all(np.isnan(each[q]) for each in found.values.values())
                continue
            expected = metrics.average_precision_score(same, -away)
            assert found.values["mAP"][q] == pytest.approx(expected)
            nearest = np.argsort(away)
            assert found.values["precision@1"][q] == same[nearest[0]]
            assert found.values["precision@10"][q] == pytest.approx(same[nearest[:10]].mean())
            assert found.chance["precision@10"][q] == pytest.approx(same.mean())
            for label, share in zip(found.level.names, found.shares[q], strict=True):
                assert share == pytest.approx((theirs[kept][nearest[:10]] == label).mean())


def test_the_first_level_is_the_two_classes_ties_and_all() -> None:
    queries, gallery = people(40, prefix="q"), people(50, prefix="g", seed=1)
    scores, levels = measured(queries, gallery, codes_of(40, seed=4), codes_of(50, seed=5))
    first = levels["diagnosis_1"]
    for name, other in {
        "precision@1": "precision@1",
        "precision@10": "precision@10",
        "mAP": "AP",
    }.items():
        np.testing.assert_array_equal(first.values[name], scores.values[other])
        np.testing.assert_array_equal(first.chance[name], scores.chance[other])


def test_macro_is_the_mean_of_the_diagnoses_means_and_unknown_is_counted() -> None:
    queries, gallery = people(40, prefix="q"), people(50, prefix="g", seed=1)
    _, levels = measured(queries, gallery, codes_of(40, seed=4), codes_of(50, seed=5))
    resamples = resample(queries.clusters, seed=0, resamples=200)
    for name, found in levels.items():
        summary = summarise_level(found, resamples=resamples)
        labels = queries.labels[name]
        assert summary.unknown == {
            "queries": (labels == "").sum(),
            "gallery": (gallery.labels[name] == "").sum(),
        }
        values = found.values["mAP"]
        means = {label: values[labels == label].mean() for label in set(labels) - {""}}
        assert summary.figures["mAP, macro"].value == pytest.approx(np.mean([*means.values()]))
        assert summary.figures["mAP, micro"].value == pytest.approx(values[labels != ""].mean())
        assert {n: each["mAP"].value for n, each in summary.classes.items()} == pytest.approx(means)
        assert {n: each["mAP"].queries for n, each in summary.classes.items()} == {
            label: (labels == label).sum() for label in means
        }
        assert summary.macro_classes == len(means)
        for figure in summary.figures.values():
            assert figure.low <= figure.value <= figure.high


def test_a_diagnosis_of_one_lesion_is_no_part_of_the_macro_mean() -> None:
    cases = [Case(isic_id=f"a{n}", diagnosis_1="Benign", diagnosis_2="x") for n in range(12)]
    cases += [Case(isic_id=f"b{n}", diagnosis_1="Malignant", diagnosis_2="y") for n in range(12)]
    cases += [Case(isic_id="c", diagnosis_1="Benign", diagnosis_2="z")]
    lone = subjects_of(cases)
    codes = np.random.default_rng(0).normal(size=(25, 2)).astype(np.float32)
    _, levels = measured(lone, lone, codes, codes)
    summary = summarise_level(levels["diagnosis_2"], resamples=resample(lone.clusters, seed=0))
    assert summary.macro_classes == 2
    assert not np.isnan(summary.figures["mAP, macro"].value)
    assert summary.figures["mAP, macro"].undefined == 1
    assert np.isnan(summary.classes["z"]["mAP"].value)
    assert (summary.classes["z"]["mAP"].queries, summary.classes["z"]["mAP"].undefined) == (0, 1)


def test_a_level_of_one_diagnosis_is_not_measured() -> None:
    same = subjects_of(
        Case(isic_id=f"{n}", diagnosis_1=kind, diagnosis_2="x")
        for n, kind in enumerate(["Benign", "Malignant"])
    )
    assert set(levels_of(same, same)) == {"diagnosis_1"}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=10, max_size=40),
)
def test_neighbour_shares_are_fair_to_ties(items) -> None:
    distances, classes = (np.array(each) for each in zip(*items, strict=True))
    shares = neighbour_shares(rank(distances, classes=classes, query_class=0), classes=3)
    assert shares.sum() == pytest.approx(1)
    boundary = np.sort(distances)[9]
    inside, edge = distances < boundary, distances == boundary
    naive = [
        ((classes[inside] == each).sum() + (10 - inside.sum()) * (classes[edge] == each).mean())
        / 10
        for each in range(3)
    ]
    np.testing.assert_allclose(shares, naive, atol=1e-12)


def test_neighbour_shares_are_the_mean_over_all_orders() -> None:
    distances = np.array([0.0] * 8 + [1.0] * 4)
    classes = np.array([0] * 4 + [1] * 4 + [1, 2, 2, 0])
    every = [
        np.bincount([*classes[:8], *order[:2]], minlength=3) / 10
        for order in permutations(classes[8:])
    ]
    found = neighbour_shares(rank(distances, classes=classes, query_class=0), classes=3)
    np.testing.assert_allclose(found, np.mean(every, axis=0))
    few = rank(distances[:9], classes=classes[:9], query_class=0)
    assert np.isnan(neighbour_shares(few, classes=3)).all()


def test_confusion_rows_are_means_of_shares_and_the_diagonal_is_precision() -> None:
    queries, gallery = people(40, prefix="q"), people(50, prefix="g", seed=1)
    _, levels = measured(queries, gallery, codes_of(40, seed=4), codes_of(50, seed=5))
    found = levels["diagnosis"]
    matrix = confusion(found)
    assert matrix.queries == ("melanoma", "nevus", "vascular")
    np.testing.assert_allclose(matrix.shares.sum(axis=1), 1)
    assert matrix.counts.sum() == 40
    resamples = resample(queries.clusters, seed=0, resamples=10)
    classes = summarise_level(found, resamples=resamples).classes
    for place, name in enumerate(matrix.queries):
        column = matrix.neighbours.index(name)
        assert matrix.shares[place, column] == pytest.approx(classes[name]["precision@10"].value)


def test_groups_are_the_scores_of_their_queries_alone() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    queries, gallery = people(60, prefix="q"), people(80, prefix="g", seed=1)
    codes = np.random.default_rng(7).normal(size=(140, 2)).astype(np.float32)
    scores, _ = measured(queries, gallery, codes[:60], codes[60:])
    found = groups(scores, queries=queries, seed=0)
    assert set(found) == {"site", "age", "sex", "skin type"}
    assert list(found["sex"]) == ["male", "unknown"]
    assert list(found["age"]) == list(AGE_BANDS)
    assert found["site"]["unknown"].queries == 60
    male = queries.labels["sex"] == "male"
    figures = found["sex"]["male"].figures
    assert tuple(figures) == GROUP_MEASURES
    assert figures["precision@10"].value == pytest.approx(
        scores.values["precision@10"][male].mean()
    )
    votes = np.array([float(each.scores[0]) for each in scores.votes[10]])
    expected = metrics.roc_auc_score(queries.classes[male], votes[male])
    assert figures["vote@10: ROC AUC"].value == pytest.approx(expected)
    for members in found.values():
        assert sum(each.queries for each in members.values()) == 60
        for each in members.values():
            assert bool(each.figures) == (each.queries >= SMALLEST_GROUP)


def test_ages_and_sources_are_named() -> None:
    assert [age_band(years) for years in (0, 29, 30, 45, 60, 74, 75, 85, None)] == [
        *("0-29", "0-29", "30-44", "45-59", "60-74", "60-74", "75+", "75+", None)
    ]
    assert (
        source(Case(isic_id="a", attribution="MSK", extra={"dataset": "rosendahl"})) == "rosendahl"
    )
    assert source(Case(isic_id="a", attribution="MSK")) == "MSK"
    assert source(Case(isic_id="a")) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 20), st.booleans()), min_size=1, max_size=25
    ),
    st.integers(1, 12),
)
def test_reranking_is_two_plain_sorts(items, first) -> None:
    coarse, fine, allowed = (np.array(each) for each in zip(*items, strict=True))
    [row] = reranked_rows(
        [coarse.astype(float)], [fine.astype(float)], eligible=[allowed], first=first
    )
    inside = sorted(coarse[allowed])
    limit = inside[min(first, len(inside)) - 1] if inside else -1
    near = [i for i in np.flatnonzero(allowed) if coarse[i] <= limit]
    assert [row[i] for i in near] == [fine[i] for i in near]
    far = [i for i in np.flatnonzero(allowed) if coarse[i] > limit]
    assert all(row[i] > row[j] for i in far for j in near)
    for i in far:
        for j in far:
            assert (row[i] < row[j]) == (coarse[i] < coarse[j])


def test_resampled_auc_is_the_auc_of_each_resample() -> None:
    generator = np.random.default_rng(0)
    clusters = generator.integers(0, 15, size=40).astype(str)
    votes = [
        Vote(np.round(generator.random(n), 1), np.full(n, 1 / n) if n else np.empty(0))
        for n in generator.integers(0, 4, size=40)
    ]
    cast = ballot(votes, positive=generator.random(40) < 0.4)
    resamples = resample(clusters, seed=1, resamples=300)
    found = auc_of(cast, resamples=resamples)
    assert found.value == roc_auc(cast)
    naive = resamples.each(lambda weights: roc_auc(cast, weights=weights))
    np.testing.assert_allclose(found.resampled, naive, rtol=1e-9)
    assert np.isnan(auc_of(ballot([], positive=np.empty(0)), resamples=resamples).value)


def test_a_paired_difference_is_narrower_than_two_apart() -> None:
    generator = np.random.default_rng(0)
    shared, clusters = generator.random(300), np.arange(300).astype(str)
    resamples = resample(clusters, seed=0)
    one, other = (
        mean_of(shared + offset * generator.random(300), resamples=resamples)
        for offset in (0.05, 0.1)
    )
    difference = other - one
    assert difference.value == pytest.approx(other.value - one.value)
    low, high = difference.bounds
    assert low <= difference.value <= high
    assert high - low < (other.bounds[1] - other.bounds[0]) / 3
    assert (one - one).bounds == (0, 0)


def test_macro_is_not_defined_in_a_resample_without_a_class() -> None:
    values, classes = np.array([1.0, 0.0, 0.5]), np.array([0, 1, 1])
    resamples = resample(np.array(["a", "b", "c"]), seed=0, resamples=40)
    found = macro_of(values, classes=classes, among=(0, 1), resamples=resamples)
    assert found.value == pytest.approx((1 + 0.25) / 2)
    for weights, value in zip(resamples.weights(), found.resampled, strict=True):
        means = [
            np.average(values[classes == each], weights=weights[classes == each])
            for each in (0, 1)
            if weights[classes == each].any()
        ]
        expected = np.mean(means) if len(means) == 2 else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_reranked_rows_leave_out_what_may_not_come_back_before_the_shortlist() -> None:
    lesions = [f"l{n // 5}" for n in range(300)]
    whose = subjects_of(
        Case(isic_id=f"{n}", lesion_id=lesion, diagnosis_1=("Benign", "Malignant")[n % 2])
        for n, lesion in enumerate(lesions)
    )
    generator = np.random.default_rng(0)
    floats = generator.normal(size=(300, 8)).astype(np.float32)
    bits = (floats @ generator.normal(size=(8, 64))).astype(np.float32)
    names = {"bits": (64, "hamming", bits), "code": (8, "euclidean", floats)}
    outputs = {
        name: Compared(output=name, shape=(size,), metric=metric, codes={LEAVE_ONE_OUT: codes})
        for name, (size, metric, codes) in names.items()
    }
    half, reranked = derived(outputs)
    np.testing.assert_array_equal(half.codes[LEAVE_ONE_OUT], bits[:, :32])
    design = Design(queries=whose, gallery=None, near_duplicates={}, seed=0)
    for q, ranking in enumerate(ranked(reranked, LEAVE_ONE_OUT, design)):
        others = [n for n in range(300) if lesions[n] != lesions[q]]
        away = ((bits[others] > 0) != (bits[q] > 0)).sum(axis=1)
        near = [n for n, d in zip(others, away, strict=True) if d <= np.sort(away)[99]]
        exact = np.linalg.norm(floats[near].astype(float) - floats[q], axis=1)
        assert ranking.items[: len(near)].tolist() == [near[i] for i in np.argsort(exact)]
        assert len(ranking) == 295


def test_shares_never_exceed_one_by_rounding() -> None:
    for size in range(10, 400):
        ranking = rank(np.zeros(size), classes=np.zeros(size, np.int64), query_class=0)
        (share,) = neighbour_shares(ranking, classes=1)
        assert share <= 1
        assert share == pytest.approx(1)
