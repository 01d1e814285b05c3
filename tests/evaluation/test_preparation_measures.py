"""Measures of preparation against scikit-learn and naive loops; the verb with a made-up finder."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

from dermtwin.datasets import HELD_OUT_SEED, HELD_OUT_SHARE, is_held_out
from dermtwin.errors import DatasetError, DermtwinError
from dermtwin.evaluation.preparation import (
    Marks,
    border_area,
    bounds,
    f1,
    jaccard,
    kept_share,
    lesion_free_part,
    measure,
    split_by_confidence,
)
from dermtwin.preparation import Box
from dermtwin.verbs import evaluate_preparation as verb
from dermtwin.vocabulary import Artefact


def ellipse(*, size=(60, 80), centre=(30, 40), radii=(10, 12)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def random_marks(rng, count: int) -> list[Marks]:
    # Coarse values, so that ties are many.
    return [
        Marks(
            name=f"c{number:03d}",
            cluster=f"l{number // 2}",
            found=True,
            jaccard=rng.integers(0, 11) / 10,
            confidence=rng.random(),
            kept=rng.integers(90, 101) / 100,
            border_there=int(rng.integers(0, 3) * 100),
            border_left=0,
            empty_refused=(None, True, False)[rng.integers(3)],
            hair_f1=(None, 0.25, 0.5, 1.0)[rng.integers(4)],
            fractions={kind: rng.integers(0, 6) / 20 for kind in Artefact},
            seen={kind: bool(rng.integers(2)) for kind in Artefact if rng.random() < 0.9},
        )
        for number in range(count)
    ]


def by_key(marks) -> dict:
    return {each.key: each for each in measure(marks, seed=0)}


@pytest.mark.parametrize("seed", range(5))
def test_jaccard_is_scikit_learns(seed) -> None:
    rng = np.random.default_rng(seed)
    found, true = rng.random((2, 9, 7)) < rng.uniform(0.2, 0.8)
    expected = jaccard_score(true.ravel(), found.ravel())
    assert jaccard(found, true) == pytest.approx(expected)
    assert f1(found, true) == pytest.approx(f1_score(true.ravel(), found.ravel()))


def test_undefined_is_nan() -> None:
    nothing = np.zeros((4, 4), bool)
    assert np.isnan(jaccard(nothing, nothing))
    assert np.isnan(kept_share(nothing, crop=Box(0, 0, 4, 4)))


def test_kept_share_counts_pixels() -> None:
    true = np.zeros((10, 10), bool)
    true[2:4, 2:7] = True
    assert kept_share(true, crop=Box(3, 0, 10, 3)) == 4 / 10


@pytest.mark.parametrize("seed", range(30))
def test_border_area_is_that_of_all_squares_tried(seed) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(6, 14, 2)
    border = rng.random((height, width)) < 0.4
    true = np.zeros((height, width), bool)
    top, left = rng.integers(0, height), rng.integers(0, width)
    true[top : rng.integers(top, height) + 1, left : rng.integers(left, width) + 1] = True
    box = bounds(true)
    side = max(box.width, box.height)
    squares = [
        border[y : y + side, x : x + side].sum()
        for y in range(height - side + 1)
        for x in range(width - side + 1)
        if y <= box.top and box.bottom <= y + side and x <= box.left and box.right <= x + side
    ]
    least = min(squares, default=border[box.slices].sum())
    crop = Box(0, 0, int(rng.integers(1, width + 1)), int(rng.integers(1, height + 1)))
    inside = border[: crop.bottom, : crop.right].sum()
    expected = (border.sum() - least, max(0, inside - least))
    assert border_area(border, true, crop=crop) == expected


@pytest.mark.parametrize("centre", [(30, 15), (30, 65), (15, 40), (45, 40)])
def test_a_lesion_free_part_is_clear_of_the_lesion(centre) -> None:
    true = ellipse(centre=centre)
    part = lesion_free_part(true)
    assert part is not None
    clear = int(np.ceil(0.03 * 60))
    grown = Box(
        max(0, part.left - clear), max(0, part.top - clear), part.right + clear, part.bottom + clear
    )
    assert not true[grown.slices].any()
    assert min(part.width, part.height) >= 0.35 * 60
    assert 0 <= part.left < part.right <= 80
    assert 0 <= part.top < part.bottom <= 60


def test_a_large_lesion_leaves_no_part() -> None:
    assert lesion_free_part(ellipse(radii=(25, 35))) is None


def test_the_tenth_is_that_of_each_picture_counted_ten_times() -> None:
    rng = np.random.default_rng(0)
    trust, overlap = rng.random(37), rng.random(37)
    weights = rng.integers(0, 4, (6, 37)).astype(float)
    low, high = split_by_confidence(trust, overlap, weights=weights)
    for row, got_low, got_high in zip(weights, low, high, strict=True):
        order = np.argsort(trust)
        listed = np.repeat(overlap[order], 10 * row[order].astype(int))
        cut = len(listed) // 10
        assert got_low == pytest.approx(listed[:cut].mean())
        assert got_high == pytest.approx(listed[cut:].mean())


def test_equal_confidence_tells_nothing_apart() -> None:
    overlap = np.arange(30) / 30
    low, high = split_by_confidence(np.full(30, 0.5), overlap, weights=np.ones((1, 30)))
    assert low == pytest.approx(overlap.mean())
    assert high == pytest.approx(overlap.mean())


@pytest.mark.parametrize("seed", range(4))
def test_aucs_are_scikit_learns(seed) -> None:
    marks = random_marks(np.random.default_rng(seed), 60)
    figures = by_key(marks)
    for kind in Artefact:
        known = [each for each in marks if kind in each.seen]
        seen = [each.seen[kind] for each in known]
        figure = figures[f"{kind}_auc"]
        assert figure.value == pytest.approx(
            roc_auc_score(seen, [each.fractions[kind] for each in known])
        )
        assert (figure.n, figure.positives) == (len(known), sum(seen))
        assert figure.low <= figure.value <= figure.high
    poor = [each.jaccard < 0.65 for each in marks]
    doubt = [1 - each.confidence for each in marks]
    assert figures["confidence_auc"].value == pytest.approx(roc_auc_score(poor, doubt))


def test_means_and_shares_are_plain_ones() -> None:
    marks = random_marks(np.random.default_rng(1), 50)
    figures = by_key(marks)
    refused = [each.empty_refused for each in marks if each.empty_refused is not None]
    assert figures["jaccard"].value == pytest.approx(np.mean([each.jaccard for each in marks]))
    assert figures["jaccard_poor"].value == np.mean([each.jaccard < 0.65 for each in marks])
    assert figures["lesion_kept"].value == np.mean([each.kept >= 0.99 for each in marks])
    assert figures["empty_refused"].value == pytest.approx(np.mean(refused))
    assert figures["empty_refused"].n == len(refused)
    hairy = [each.hair_f1 for each in marks if each.hair_f1 is not None]
    assert figures["hair_f1"].value == pytest.approx(np.mean(hairy))


def test_border_left_is_pooled_over_pictures() -> None:
    first, second, third = random_marks(np.random.default_rng(0), 3)
    figure = by_key(
        [
            replace(first, border_there=100, border_left=50),
            replace(second, border_there=900, border_left=0),
            replace(third, border_there=0, border_left=0),
        ]
    )["border_left"]
    assert figure.value == 0.05
    assert figure.n == 2


def test_the_interval_of_a_mean_is_about_two_standard_errors() -> None:
    rng = np.random.default_rng(2)
    marks = [replace(each, cluster=each.name) for each in random_marks(rng, 400)]
    figure = by_key(marks)["jaccard"]
    error = np.std([each.jaccard for each in marks]) / 20
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_the_order_of_the_table_moves_nothing() -> None:
    marks = random_marks(np.random.default_rng(3), 40)
    assert measure(marks, seed=0) == measure(marks[::-1], seed=0)


def test_without_labels_an_auc_is_undefined() -> None:
    marks = [replace(each, seen={}) for each in random_marks(np.random.default_rng(0), 5)]
    figure = by_key(marks)["hair_auc"]
    assert np.isnan([figure.value, figure.low, figure.high]).all()
    assert (figure.n, figure.positives) == (0, 0)


class Finder:
    """Stands in for Preparation: what is dark is lesion, and the crop is its bounding box."""

    def __init__(self) -> None:
        self.recipe = SimpleNamespace(id="none")

    def examine(self, pixels) -> SimpleNamespace:
        mask = pixels[:, :, 1] < 100
        height, width = mask.shape
        lesion = SimpleNamespace(mask=mask, confidence=0.9) if mask.any() else None
        return SimpleNamespace(
            lesion=lesion,
            crop=bounds(mask) if lesion else Box(0, 0, width, height),
            artefacts={kind: SimpleNamespace(fraction=0.25) for kind in Artefact},
            # A finder that takes everything for hair, and nothing for anything else.
            artefact_mask=lambda kind: np.full((height, width), kind is Artefact.HAIR),
        )


HELD = [f"C{number}" for number in range(60)]
HELD = [n for n in HELD if is_held_out(n, share=HELD_OUT_SHARE, seed=HELD_OUT_SEED)][:3]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(verb, "Preparation", Finder)
    (tmp_path / "masks").mkdir()
    names = [*HELD, *(n for n in (f"C{i}" for i in range(60)) if n not in HELD)][:5]
    for number, name in enumerate(names):
        lesion = ellipse(centre=(30, 20 + 3 * number))
        grey = np.where(lesion, 60, 200).astype(np.uint8)
        Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(tmp_path / f"{name}.png")
        ending = "_segmentation" if number % 2 else ""
        Image.fromarray(lesion).save(tmp_path / f"masks/{name}{ending}.png")
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["isic_id", "diagnosis_1", "label_hair", "label_ink"])
        writer.writerows([n, "Benign", i % 2, ""] for i, n in enumerate(names))
    return tmp_path


def run(folder, **options) -> dict:
    done = verb.evaluate_preparation(folder, out=folder / "result.json", **options)
    assert done.out.is_file()
    return json.loads(done.out.read_text())


def test_the_verb_measures_the_held_out_cases(folder) -> None:
    result = run(folder)
    assert sorted(each["name"] for each in result["cases"]) == sorted(HELD)
    assert result["counts"]["used"] == 3
    figures = result["figures"]
    assert figures["jaccard"]["value"] == figures["empty_refused"]["value"] == 1
    assert figures["hair_auc"]["value"] == 0.5
    assert figures["ink_auc"]["value"] is None
    assert figures["border_left"]["value"] is None
    assert result["cases"][0]["fractions"]["gel_bubble"] == 0.25
    # Only over pictures that a person saw no hair in is hair drawn, and only that counts.
    hairy = [each["hair_f1"] for each in result["cases"]]
    assert sum(each is not None for each in hairy) == figures["hair_f1"]["n"] == 2
    assert 0 < figures["hair_f1"]["value"] < 0.5


def test_the_verb_measures_all_cases_and_again_the_same(folder) -> None:
    first, second = run(folder, every_case=True), run(folder, every_case=True)
    assert first == second
    assert first["counts"] == {
        "used": 5,
        "not held out": 0,
        "without a mask": 0,
        "rows that cannot be used": 0,
    }


def test_masks_that_cannot_be_used_are_told_together(folder) -> None:
    Image.new("1", (80, 60)).save(next((folder / "masks").glob(f"{HELD[0]}*")))
    Image.new("1", (60, 60), 1).save(next((folder / "masks").glob(f"{HELD[1]}*")))
    with pytest.raises(DatasetError, match=r"2 cases to mend(.|\n)*marks no lesion") as told:
        run(folder)
    assert "60x60" in str(told.value)
    assert not (folder / "result.json").exists()


def test_a_foreign_label_is_refused(folder) -> None:
    table = folder / "metadata.csv"
    table.write_text(table.read_text().replace(f"{HELD[0]},Benign,0", f"{HELD[0]},Benign,maybe"))
    with pytest.raises(DatasetError, match="label_hair is 'maybe'"):
        run(folder)


def test_without_masks_nothing_is_measured(folder) -> None:
    for path in (folder / "masks").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="has no masks"):
        run(folder)


def test_without_held_out_cases_it_says_what_to_do(folder) -> None:
    for name in HELD:
        next((folder / "masks").glob(f"{name}*")).unlink()
    with pytest.raises(DatasetError, match="--all"):
        run(folder)


def test_a_folder_is_no_place_for_the_result(folder) -> None:
    with pytest.raises(DermtwinError, match="is a folder"):
        verb.evaluate_preparation(folder, out=folder)
