"""The paper's test set drawn from a larger one: against a naive loop."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from dermtwin.evaluation.balanced import balanced_draws
from dermtwin.evaluation.study import Compared, Design, study
from dermtwin.evaluation.subjects import BENIGN, MALIGNANT, Subjects

Floats = np.ndarray


def subjects(benign: int, malignant: int) -> Subjects:
    count = benign + malignant
    return Subjects(
        images=np.array([f"i{n}" for n in range(count)]),
        lesions=np.array([f"l{n // 2}" for n in range(count)]),  # two photographs of each
        patients=np.full(count, ""),
        classes=np.array([BENIGN] * benign + [MALIGNANT] * malignant),
    )


def naive(codes: Floats, who: Subjects, rows: Floats) -> tuple[list[float], list[float]]:
    precisions, averages = [], []
    for query in rows:
        others = [n for n in rows if n != query and who.lesions[n] != who.lesions[query]]
        others.sort(key=lambda n: float(np.linalg.norm(codes[n] - codes[query])))
        same = [who.classes[n] == who.classes[query] for n in others]
        precisions.append(np.mean(same[:10]))
        ranks = np.flatnonzero(same) + 1
        averages.append(np.mean([(place + 1) / rank for place, rank in enumerate(ranks)]))
    return precisions, averages


def test_figures_are_those_of_a_naive_loop() -> None:
    who = subjects(150, 120)
    codes = np.random.default_rng(0).normal(size=(270, 4)).astype(np.float32)
    codes[:, 0] += who.classes
    compared = Compared(
        output="code", shape=(4,), metric="euclidean", codes={"leave-one-out": codes}
    )
    design = Design(queries=who, gallery=None, near_duplicates={}, seed=3)
    figures = study(compared, design=design).balanced
    pairs = [naive(codes, who, rows) for rows in balanced_draws(who.classes, seed=3)]
    expected = [np.mean([each[part] for each in pairs]) for part in (0, 1)]
    assert [each.value for each in figures.values()] == pytest.approx(expected)
    assert list(figures) == ["precision@10", "mAP, micro"]
    for figure in figures.values():
        assert figure.low < figure.value < figure.high
        assert figure.chance == pytest.approx(0.5, abs=0.02)
        assert figure.queries == 2260


def test_every_draw_is_balanced_and_without_repeats() -> None:
    classes = subjects(150, 120).classes
    draws = balanced_draws(classes, seed=0)
    assert draws.shape == (10, 226)
    for rows in draws:
        assert len(set(rows.tolist())) == 226
        assert np.bincount(classes[rows]).tolist() == [113, 113]
    assert len({tuple(rows) for rows in draws.tolist()}) == 10


@pytest.mark.parametrize(
    ("benign", "malignant", "of_each"), [(112, 300, 112), (300, 26, 26), (113, 114, 113)]
)
def test_smaller_sets_give_smaller_draws(benign, malignant, of_each) -> None:
    classes = subjects(benign, malignant).classes
    for rows in balanced_draws(classes, seed=0):
        assert np.bincount(classes[rows]).tolist() == [of_each, of_each]


@pytest.mark.parametrize(("benign", "malignant"), [(113, 113), (20, 20), (10, 300), (0, 5)])
def test_nothing_is_drawn_where_all_draws_are_the_same_or_too_small(benign, malignant) -> None:
    assert not len(balanced_draws(subjects(benign, malignant).classes, seed=0))
