"""Who is asked of whom, what never comes back, and what a knowing and an empty encoder score."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.errors import SettingsError
from dermtwin.evaluation.distances import distance_rows
from dermtwin.evaluation.intervals import interval, resample
from dermtwin.evaluation.leaks import comparisons, find_leaks, neighbours
from dermtwin.evaluation.paper import table_one
from dermtwin.evaluation.protocols import paper_draws, rankings
from dermtwin.evaluation.scores import Scores, curve_depths, score
from dermtwin.evaluation.subjects import STANDARD, Exclusion, Subjects, subjects_of
from dermtwin.evaluation.summary import MAP_MACRO, MAP_MICRO, VOTE_AUC, VOTE_ERROR, summarise
from dermtwin.vocabulary import Case


def subjects(classes, *, lesions=None, patients=None, prefix="i") -> Subjects:
    size = len(classes)
    return Subjects(
        images=np.array([f"{prefix}{n}" for n in range(size)]),
        lesions=np.array(lesions if lesions is not None else [""] * size, dtype=np.str_),
        patients=np.array(patients if patients is not None else [""] * size, dtype=np.str_),
        classes=np.asarray(classes),
    )


def scores_of(codes, people, exclusion=STANDARD) -> Scores:
    found = rankings(
        distance_rows(codes, codes), queries=people, gallery=people, exclusion=exclusion
    )
    return score(found, queries=people, gallery_size=len(people))


names = st.lists(
    st.tuples(st.sampled_from(["", "L1", "L2", "L3"]), st.sampled_from(["", "P1", "P2"])),
    min_size=2,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(names, names)
def test_no_hit_shares_image_lesion_or_patient(mine, theirs) -> None:
    queries = subjects([0] * len(mine), lesions=[a for a, _ in mine], patients=[b for _, b in mine])
    gallery = subjects(
        [1] * len(theirs), lesions=[a for a, _ in theirs], patients=[b for _, b in theirs]
    )
    zeros = [np.zeros(len(theirs))] * len(mine)
    for q, ranking in enumerate(rankings(zeros, queries=queries, gallery=gallery)):
        naive = [
            g
            for g in range(len(theirs))
            if g != q
            and not (mine[q][0] and mine[q][0] == theirs[g][0])
            and not (mine[q][1] and mine[q][1] == theirs[g][1])
        ]
        assert sorted(ranking.items) == naive


def test_near_duplicates_are_left_out_where_asked() -> None:
    people = subjects([0, 1, 1, 0])
    pairs = neighbours([(0, 2), (2, 0), (1, 1)], queries=people, gallery=people)
    assert pairs == {0: frozenset({2}), 2: frozenset({0})}
    rule = Exclusion(near_duplicates=pairs)
    assert list(rule.eligible(people, people, query=0)) == [False, True, False, True]
    assert list(rule.eligible(people, people, query=1)) == [True, False, True, True]


def test_distances_are_exact_and_equal_codes_tie_exactly() -> None:
    generator = np.random.default_rng(0)
    queries = generator.random((70, 625), dtype=np.float32)
    gallery = np.concatenate([generator.random((9, 625), dtype=np.float32), queries[:3]])
    rows = np.array(list(distance_rows(queries, gallery)))
    naive = np.sqrt(
        ((queries[:, None].astype(np.float64) - gallery[None].astype(np.float64)) ** 2).sum(axis=2)
    )
    np.testing.assert_allclose(rows, naive, rtol=1e-12)
    assert rows[0, 9] == rows[1, 10] == rows[2, 11] == 0
    same = np.array(
        list(distance_rows(np.tile(queries[:1], (70, 1)), np.tile(gallery[:1], (5, 1))))
    )
    assert len(np.unique(same)) == 1


def test_bit_codes_compare_by_sign() -> None:
    codes = np.array([[1, -1, 2], [3, 4, -1]], dtype=np.float32)
    assert [list(row) for row in distance_rows(codes, codes, metric="hamming")] == [[0, 2], [2, 0]]


def test_distances_refuse_what_cannot_be_compared() -> None:
    with pytest.raises(SettingsError, match="cannot be compared"):
        list(distance_rows(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)))
    with pytest.raises(SettingsError, match="unknown"):
        list(distance_rows(np.zeros((2, 3)), np.zeros((2, 3)), metric="jaccard"))


def test_a_collapsed_encoder_is_exactly_chance_in_every_figure() -> None:
    people = subjects([1] * 113 + [0] * 113)
    scores = scores_of(np.full((226, 5), 0.3, np.float32), people)
    summary = summarise(scores, seed=0)
    assert summary.figures["precision@10"].value == pytest.approx(112 / 225, abs=1e-12)
    assert summary.figures["precision@10"].chance == pytest.approx(112 / 225, abs=1e-12)
    for name, figure in summary.figures.items():
        assert figure.value == pytest.approx(figure.chance, abs=1e-12), name
        assert figure.undefined == 0
    np.testing.assert_allclose(summary.micro.precision, 112 / 225)
    np.testing.assert_allclose(summary.micro.chance, 112 / 225)
    np.testing.assert_allclose(summary.interpolated.precision, summary.interpolated.chance)
    table = table_one(scores, seed=0)
    np.testing.assert_allclose(table.paper_map, 112 / 225)
    assert table.average_paper_map.value == pytest.approx(112 / 225)


def test_a_knowing_encoder_scores_one() -> None:
    people = subjects([1] * 20 + [0] * 30)
    codes = np.repeat(np.float32([[0], [1]]), [20, 30], axis=0)
    figures = summarise(scores_of(codes, people), seed=0).figures
    for name in ("precision@1", "precision@10", MAP_MICRO, MAP_MACRO, VOTE_AUC):
        assert figures[name].value == figures[name].low == figures[name].high == 1
    assert figures[VOTE_ERROR].value == 0


def test_random_codes_lie_around_chance() -> None:
    people = subjects([1] * 100 + [0] * 100)
    codes = np.random.default_rng(3).random((200, 5), dtype=np.float32)
    figures = summarise(scores_of(codes, people), seed=0).figures
    for name in ("precision@10", MAP_MICRO, VOTE_AUC):
        figure = figures[name]
        assert figure.low <= figure.value <= figure.high
        assert figure.value == pytest.approx(figure.chance, abs=0.05)


def test_micro_and_macro_differ_as_defined_and_undefined_is_counted() -> None:
    people = subjects([1] * 3 + [0] * 12 + [2])
    codes = np.random.default_rng(0).random((16, 4), dtype=np.float32)
    scores = scores_of(codes, people)
    values = scores.values["AP"]
    assert np.isnan(values[15])
    figures = summarise(scores, seed=0).figures
    assert figures[MAP_MICRO].undefined == 1
    assert figures[MAP_MICRO].queries == 15
    assert figures[MAP_MICRO].value == pytest.approx(values[:15].mean())
    assert figures[MAP_MACRO].value == pytest.approx((values[:3].mean() + values[3:15].mean()) / 2)


def test_micro_curve_pools_hits_over_images_returned() -> None:
    people = subjects([1, 1, 0, 0, 1], lesions=["a", "a", "", "", ""])
    codes = np.random.default_rng(5).random((5, 3), dtype=np.float32)
    summary = summarise(scores_of(codes, people), seed=0)
    pooled = list(rankings(distance_rows(codes, codes), queries=people, gallery=people))
    for place, depth in enumerate(summary.depths):
        found = sum(int(each.relevant[:depth].sum()) for each in pooled)
        returned = sum(min(depth, len(each)) for each in pooled)
        total = sum(int(each.relevant.sum()) for each in pooled)
        assert summary.micro.precision[place] == pytest.approx(found / returned)
        assert summary.micro.recall[place] == pytest.approx(found / total)
    assert summary.micro.recall[-1] == 1


def test_curve_depths_reach_the_end_of_a_large_gallery() -> None:
    depths = curve_depths(10_000)
    assert depths[0] == 1
    assert depths[-1] == 10_000
    assert len(depths) <= 200
    assert list(curve_depths(3)) == [1, 2, 3]


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.integers(0, 2**32 - 1))
def test_paper_draws_are_five_of_each_without_repeats(malignant, benign, seed) -> None:
    classes = np.array([1] * malignant + [0] * benign)
    draws = paper_draws(classes, seed=seed)
    assert draws.shape == (10, 10)
    for draw in draws:
        assert len(set(draw)) == 10
        assert list(classes[draw]) == [1] * 5 + [0] * 5
    np.testing.assert_array_equal(draws, paper_draws(classes, seed=seed))


def test_table_one_is_the_plain_mean_of_what_each_query_returns() -> None:
    people = subjects([1] * 30 + [0] * 30)
    codes = np.random.default_rng(8).random((60, 5), dtype=np.float32)
    table = table_one(scores_of(codes, people), seed=4)
    for draw, value in zip(table.draws, table.paper_map, strict=True):
        shares = []
        for q in draw:
            away = np.linalg.norm(codes.astype(np.float64) - codes[q], axis=1)
            away[q] = np.inf
            shares.append(np.mean(people.classes[np.argsort(away)[:10]] == people.classes[q]))
        assert value == pytest.approx(np.mean(shares))
    assert table.average_paper_map.value == pytest.approx(table.paper_map.mean())
    assert table.average_paper_map.chance == pytest.approx(29 / 59)


def test_too_few_of_a_class_have_no_table_one() -> None:
    people = subjects([1] * 4 + [0] * 30)
    codes = np.random.default_rng(8).random((34, 5), dtype=np.float32)
    assert table_one(scores_of(codes, people), seed=0) is None


def test_lesions_are_resampled_whole() -> None:
    clusters = np.array(["a", "a", "b", "c"])
    resamples = resample(clusters, seed=0, resamples=50)
    values = np.array([1.0, 2.0, 4.0, np.nan])
    naive = []
    for weights in resamples.weights():
        assert weights[0] == weights[1]
        assert weights[0] + weights[2] + weights[3] == 3
        mass = weights[:3].sum()
        naive.append((weights[:3] @ values[:3]) / mass if mass else np.nan)
    np.testing.assert_allclose(resamples.means(values), naive)


def test_interval_matches_the_normal_one_for_independent_queries() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(resample(np.arange(400).astype(str), seed=0).means(values))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.012)
    assert high == pytest.approx(values.mean() + half, abs=0.012)


def test_several_photographs_of_a_lesion_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=50), 8)
    by_image = interval(resample(np.arange(400).astype(str), seed=0).means(values))
    by_lesion = interval(resample(np.repeat(np.arange(50), 8).astype(str), seed=0).means(values))
    assert by_lesion[1] - by_lesion[0] > 2 * (by_image[1] - by_image[0])


def test_leaks_are_found_and_told_apart() -> None:
    queries = subjects([1, 1, 0, 0], lesions=["a", "b", "", "d"], patients=["p", "q", "r", ""])
    gallery = replace(
        subjects([1, 0, 0], lesions=["a", "x", ""], patients=["z", "r", ""], prefix="g"),
        images=np.array(["g0", "g1", "i3"]),
    )
    pairs = neighbours([(1, 2), (3, 2)], queries=queries, gallery=gallery)
    leaks = find_leaks(queries, gallery, near_duplicates=pairs)
    assert list(leaks.lesion) == [True, False, False, False]
    assert list(leaks.patient) == [False, False, True, False]
    assert list(leaks.near_duplicate) == [False, True, False, False]
    assert list(leaks.any) == [True, True, True, False]


def test_figures_with_a_leak_are_better_than_without() -> None:
    lesions = [f"l{n // 2}" for n in range(40)]
    people = subjects([1] * 20 + [0] * 20, lesions=lesions)
    generator = np.random.default_rng(1)
    codes = np.repeat(generator.random((20, 3), dtype=np.float32), 2, axis=0)
    with_leak, standard, strict = (
        summarise(scores_of(codes, people, exclusion=rule), seed=0).figures["precision@1"].value
        for rule in comparisons({}).values()
    )
    assert with_leak == 1
    assert standard < 0.9
    assert strict == standard


def test_cases_become_subjects_or_are_refused() -> None:
    people = subjects_of(
        [
            Case(isic_id="a", lesion_id="l", diagnosis_1="Malignant"),
            Case(isic_id="b", patient_id="p", diagnosis_1="Benign"),
        ]
    )
    assert list(people.classes) == [1, 0]
    assert list(people.clusters) == ["l", "image b"]
    assert list(people.patients) == ["", "p"]
    with pytest.raises(SettingsError, match="neither"):
        subjects_of([Case(isic_id="c", diagnosis_1="Indeterminate")])
