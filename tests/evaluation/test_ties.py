"""Every measure equals its plain definition, averaged over every order of tied items."""

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.evaluation.chance import (
    average_precision_at_chance,
    average_precision_chance,
    precision_chance,
    vote_chance,
)
from dermtwin.evaluation.measures import (
    average_precision,
    average_precision_at,
    expected_counts,
    interpolated_precision,
    precision_at,
)
from dermtwin.evaluation.ranking import rank
from dermtwin.evaluation.vote import ballot, roc_auc, vote

EXACT = {"rel": 1e-9, "abs": 1e-12}


def plain_average_precision(relevant, depth=None, denominator=None) -> float:
    depth = len(relevant) if depth is None else depth
    total = 0.0
    for i in range(1, depth + 1):
        if i <= len(relevant) and relevant[i - 1]:
            total += sum(relevant[:i]) / i
    return total / (sum(relevant) if denominator is None else denominator)


def orders(distances, classes) -> Iterator[list[tuple[float, int]]]:
    """Each order that the distances allow, as rows of (distance, class)."""
    groups = [
        [(d, c) for d, c in zip(distances, classes, strict=True) if d == level]
        for level in sorted(set(distances))
    ]
    for chosen in product(*(permutations(group) for group in groups)):
        yield [item for group in chosen for item in group]


tied_lists = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 1.0, 1.5]), st.integers(0, 1)), min_size=1, max_size=7
)


@settings(max_examples=60, deadline=None)
@given(tied_lists, st.integers(1, 7))
def test_measures_are_the_mean_over_all_orders(items, k) -> None:
    distances, classes = zip(*items, strict=True)
    ranking = rank(distances, classes=classes, query_class=1)
    every = [[c == 1 for _, c in order] for order in orders(distances, classes)]
    relevant = sum(classes)
    if not relevant:
        assert np.isnan(average_precision(ranking))
        assert np.isnan(average_precision_at(ranking, k=k))
        assert np.isnan(precision_at(ranking, k=k))
        return
    expected = np.mean([plain_average_precision(each) for each in every])
    assert average_precision(ranking) == pytest.approx(expected, **EXACT)
    expected = np.mean([plain_average_precision(each, k, min(k, relevant)) for each in every])
    assert average_precision_at(ranking, k=k) == pytest.approx(expected, **EXACT)
    if k <= len(items):
        expected = np.mean([sum(each[:k]) / k for each in every])
        assert precision_at(ranking, k=k) == pytest.approx(expected, **EXACT)
    counts = np.mean([np.append(0, np.cumsum(each)) for each in every], axis=0)
    np.testing.assert_allclose(expected_counts(ranking, ranking.relevant), counts, rtol=1e-9)


def plain_vote(order, k) -> float:
    nearest = order[:k]
    exact = [c for d, c in nearest if d == 0]
    if exact:
        return sum(exact) / len(exact)
    return sum(c / d for d, c in nearest) / sum(1 / d for d, _ in nearest)


@settings(max_examples=60, deadline=None)
@given(tied_lists, st.integers(1, 4))
def test_vote_has_the_distribution_of_all_orders(items, k) -> None:
    distances, classes = zip(*items, strict=True)
    result = vote(rank(distances, classes=classes, query_class=1), k=k, positive_class=1)
    if len(items) < k:
        assert len(result.scores) == 0
        return
    every = [plain_vote(order, k) for order in orders(distances, classes)]
    assert result.chances.sum() == pytest.approx(1, **EXACT)
    for power in (1, 2, 3):
        expected = np.mean(np.power(every, power))
        assert result.chances @ result.scores**power == pytest.approx(expected, **EXACT)


def plain_auc(positive, scores) -> float:
    within = [round(s, 12) for s, p in zip(scores, positive, strict=True) if p]
    against = [round(s, 12) for s, p in zip(scores, positive, strict=True) if not p]
    won = [(a > b) + (a == b) / 2 for a in within for b in against]
    return sum(won) / len(won)


def test_roc_auc_is_the_mean_over_all_orders_of_all_queries() -> None:
    queries = [
        ([1, 1, 1, 2], [1, 0, 0, 1], True),
        ([1, 2, 2, 2], [0, 1, 1, 0], True),
        ([1, 1, 2, 2], [1, 0, 1, 0], False),
        ([3, 3, 3, 3], [0, 0, 1, 1], False),
    ]
    positive = [each[2] for each in queries]
    votes = [vote(rank(d, classes=c, query_class=1), k=2, positive_class=1) for d, c, _ in queries]
    every = [[plain_vote(order, 2) for order in orders(d, c)] for d, c, _ in queries]
    expected = np.mean([plain_auc(positive, scores) for scores in product(*every)])
    assert roc_auc(ballot(votes, positive=positive)) == pytest.approx(expected, **EXACT)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=60), st.integers(1, 60))
def test_equal_codes_score_exactly_chance(classes, k) -> None:
    ranking = rank(np.zeros(len(classes)), classes=classes, query_class=1)
    known = {"relevant": sum(classes), "total": len(classes)}
    same = pytest.approx
    assert average_precision(ranking) == same(average_precision_chance(**known), nan_ok=True)
    assert average_precision_at(ranking, k=k) == same(
        average_precision_at_chance(**known, k=k), nan_ok=True
    )
    assert precision_at(ranking, k=k) == same(precision_chance(**known, k=k), nan_ok=True)
    if sum(classes):
        np.testing.assert_allclose(interpolated_precision(ranking), precision_chance(**known))
    voted, by_chance = (
        vote(ranking, k=k, positive_class=1),
        vote_chance(positive=known["relevant"], total=known["total"], k=k),
    )
    np.testing.assert_array_equal(voted.scores, by_chance.scores)
    np.testing.assert_array_equal(voted.chances, by_chance.chances)


def test_chance_of_the_paper() -> None:
    assert precision_chance(relevant=112, total=225, k=10) == 112 / 225
