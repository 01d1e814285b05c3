"""Queries asked in several views: the nearest view ranks, the mean of the views votes."""

from dataclasses import replace

import numpy as np
import pytest

from dermtwin.evaluation.ranking import rank
from dermtwin.evaluation.study import Compared, Design, balanced, derived, ranked, scored
from dermtwin.evaluation.subjects import Subjects, subjects_of
from dermtwin.evaluation.vote import vote
from dermtwin.vocabulary import Case

QUERIES, GALLERY, VIEWS = 40, 60, 3
RNG = np.random.default_rng(8)


def people(count: int, prefix: str) -> Subjects:
    return subjects_of(
        Case(
            isic_id=f"{prefix}{number:03d}",
            lesion_id=f"{prefix}L{number // 2:03d}",
            diagnosis_1="Malignant" if number % 3 == 0 else "Benign",
        )
        for number in range(count)
    )


@pytest.fixture
def design() -> Design:
    return Design(
        queries=people(QUERIES, "Q"), gallery=people(GALLERY, "G"), near_duplicates={}, seed=0
    )


def compared(metric: str = "euclidean") -> Compared:
    codes = {
        name: RNG.normal(size=(size, 8)).astype(np.float32)
        for name, size in (("leave-one-out", QUERIES), ("gallery", GALLERY))
    }
    turned = tuple(RNG.normal(size=(QUERIES, 8)).astype(np.float32) for _ in range(VIEWS - 1))
    return Compared(output="code", shape=(8,), metric=metric, codes=codes, turned=turned)


def distance(one, other, metric: str) -> float:
    if metric == "hamming":
        return float(((one > 0) != (other > 0)).sum())
    return float(np.sqrt(((one.astype(float) - other.astype(float)) ** 2).sum()))


def allowed(design: Design, query: int, protocol: str) -> list[int]:
    side = design.sides()[protocol]
    if protocol == "gallery":
        return list(range(len(side)))
    return [n for n in range(len(side)) if side.clusters[n] != design.queries.clusters[query]]


@pytest.mark.parametrize("metric", ["euclidean", "hamming"])
@pytest.mark.parametrize("protocol", ["leave-one-out", "gallery"])
def test_a_case_is_as_near_as_to_the_nearest_view(design, metric, protocol) -> None:
    each = compared(metric)
    found = list(ranked(each, protocol, design))
    assert len(found) == QUERIES
    for query, ranking in enumerate(found):
        asked = [each.codes["leave-one-out"][query], *(more[query] for more in each.turned)]
        naive = {
            other: min(distance(view, each.codes[protocol][other], metric) for view in asked)
            for other in allowed(design, query, protocol)
        }
        assert set(ranking.items.tolist()) == set(naive)
        expected = [naive[item] for item in ranking.items.tolist()]
        np.testing.assert_allclose(ranking.distances, expected, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 16])
def test_the_vote_is_the_mean_of_the_views_votes(design, k) -> None:
    each = compared()
    for query, ranking in enumerate(ranked(each, "gallery", design)):
        votes = []
        for asked in (each.codes["leave-one-out"], *each.turned):
            found = sorted(
                (distance(asked[query], code, "euclidean"), int(design.gallery.classes[row]))
                for row, code in enumerate(each.codes["gallery"])
            )[:k]
            votes.append(sum(c / d for d, c in found) / sum(1 / d for d, _ in found))
        told = vote(ranking, k=k, positive_class=1)
        assert told.scores.tolist() == pytest.approx([np.mean(votes)])
        assert told.chances.tolist() == [1]


def test_what_ties_leave_open_counts_as_expected() -> None:
    classes, first, second = [1, 0, 0, 1], [1.0, 1.0, 2.0, 3.0], [3.0, 2.0, 2.0, 1.0]
    told = vote(rank([first, second], classes=classes, query_class=1), k=1, positive_class=1)
    assert told.scores.tolist() == [(0.5 + 1) / 2]
    short = vote(rank([first, second], classes=classes, query_class=1), k=5, positive_class=1)
    assert not len(short.scores)


def test_equal_views_are_as_good_as_one(design) -> None:
    each = compared()
    same = replace(each, turned=(each.codes["leave-one-out"],) * 3)
    alone = replace(each, turned=())
    for protocol in design.sides():
        (one, levels), (many, more) = (scored(it, protocol, design) for it in (alone, same))
        for name, values in one.values.items():
            np.testing.assert_array_equal(values, many.values[name])
        for k, votes in one.votes.items():
            for ours, theirs in zip(votes, many.votes[k], strict=True):
                np.testing.assert_allclose(ours.scores @ ours.chances, theirs.scores)
        assert levels.keys() == more.keys()


def test_the_order_of_further_views_changes_nothing(design) -> None:
    each = compared()
    turned = replace(each, turned=each.turned[::-1])
    for ours, theirs in zip(
        ranked(each, "gallery", design), ranked(turned, "gallery", design), strict=True
    ):
        np.testing.assert_array_equal(ours.items, theirs.items)


def test_shorter_and_reranked_bits_are_asked_in_the_same_views(design) -> None:
    code = compared()
    bits = Compared(
        output="bits",
        shape=(64,),
        metric="hamming",
        codes={
            name: RNG.normal(size=(len(codes), 64)).astype(np.float32)
            for name, codes in code.codes.items()
        },
        turned=tuple(RNG.normal(size=(QUERIES, 64)).astype(np.float32) for _ in code.turned),
    )
    half, reranked = derived({"bits": bits, "code": code})
    for ours, theirs in zip(half.turned, bits.turned, strict=True):
        np.testing.assert_array_equal(ours, theirs[:, :32])
    # The gallery is smaller than the shortlist: all of it is put in order by the code.
    for ours, theirs in zip(
        ranked(reranked, "gallery", design), ranked(code, "gallery", design), strict=True
    ):
        np.testing.assert_array_equal(ours.items, theirs.items)


def test_draws_keep_the_views_of_their_queries() -> None:
    many = people(90, "Q")
    codes = RNG.normal(size=(90, 4)).astype(np.float32)
    shifted = (codes + many.classes[:, None] * 5).astype(np.float32)
    knowing = Compared(
        output="code",
        shape=(4,),
        metric="euclidean",
        codes={"leave-one-out": shifted},
        turned=(shifted,),
    )
    design = Design(queries=many, gallery=None, near_duplicates={}, seed=0)
    rows = np.arange(0, 90, 2)
    np.testing.assert_array_equal(knowing.among(rows).turned[0], shifted[rows])
    assert balanced(knowing, design)["precision@10"].value > 0.9
