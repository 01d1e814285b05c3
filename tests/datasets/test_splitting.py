import errno
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dermtwin import files
from dermtwin.datasets import (
    Dataset,
    Row,
    Split,
    connect,
    count_lesions,
    draw_dataset,
    draw_lesion,
    is_held_out,
    near_duplicates,
    read_dataset,
    share_dataset,
    split_dataset,
)
from dermtwin.datasets.table import Fault, FaultKind
from dermtwin.errors import DatasetError, DermtwinError, SettingsError
from dermtwin.verbs.split import split
from dermtwin.vocabulary import Case

POOL = 24
# These pictures of the pool are copies of the one before them: one of the bytes, one re-encoded.
COPIES = (5, 11)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pool")
    for place in range(POOL):
        path = folder / f"{place:02d}.jpg"
        Image.fromarray(draw_lesion(place, size=(160, 120)).rgb).save(path, quality=92)
    shutil.copy(folder / "04.jpg", folder / "05.jpg")
    with Image.open(folder / "10.jpg") as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(folder / "11.jpg", quality=85)
    return sorted(folder.iterdir())


def make_dataset(rows: Sequence[Row]) -> Dataset:
    return Dataset(table=Path("metadata.csv"), columns=(), rows=tuple(rows))


@st.composite
def row_sets(draw: st.DrawFn) -> list[tuple[str | None, str | None, str]]:
    lesion = st.sampled_from([None, *(f"L{number}" for number in range(9))])
    patient = st.sampled_from([None, None, *(f"P{number}" for number in range(7))])
    diagnosis = st.sampled_from(["Benign", "Malignant", "Indeterminate"])
    return draw(st.lists(st.tuples(lesion, patient, diagnosis), min_size=POOL, max_size=POOL))


@settings(max_examples=30, deadline=None)
@given(row_sets(), st.tuples(st.integers(1, 6), st.integers(1, 3)), st.integers(0, 9), st.randoms())
def test_nothing_stands_on_both_sides(
    pool: list[Path],
    drawn: list[tuple[str | None, str | None, str]],
    asked: tuple[int, int],
    seed: int,
    shuffle: Random,
) -> None:
    train, test = asked
    rows = [
        Row(
            Case(isic_id=path.stem, lesion_id=lesion, patient_id=patient, diagnosis_1=diagnosis),
            path,
            place + 2,
        )
        for place, (path, (lesion, patient, diagnosis)) in enumerate(zip(pool, drawn, strict=True))
    ]
    arguments = {"train_per_class": train, "test_per_class": test, "seed": seed}
    try:
        parts = split_dataset(make_dataset(rows), **arguments)
    except DatasetError:
        counts = Counter(row.case.is_malignant for row in rows)
        assert min(counts[True], counts[False]) < train + test or not _is_feasible(
            rows, train=train, test=test
        )
        return
    _check(parts, rows, train=train, test=test)
    shuffle.shuffle(rows)
    assert split_dataset(make_dataset(rows), **arguments) == parts


def _check(parts: Split, rows: list[Row], *, train: int, test: int) -> None:
    for side, count in ((parts.train, train), (parts.test, test)):
        classes = Counter(row.case.is_malignant for row in side)
        assert classes == {True: count, False: count}
    for name in ("lesion_id", "patient_id", "isic_id"):
        first, second = (
            {getattr(row.case, name) for row in side} - {None} for side in (parts.train, parts.test)
        )
        assert not first & second
    sides = [{row.case.isic_id for row in side} for side in (parts.train, parts.test)]
    for copy in COPIES:
        pair = {f"{copy - 1:02d}", f"{copy:02d}"}
        assert not (pair & sides[0] and pair & sides[1])
    unknown = sum(row.case.is_malignant is None for row in rows)
    assert parts.unclassified == unknown
    assert len(parts.train) + len(parts.test) + parts.unused + unknown == len(rows)
    assert parts.near_duplicates >= len(COPIES)


def _is_feasible(rows: list[Row], *, train: int, test: int) -> bool:
    """Brute force over all ways to give each group to a side."""
    links = near_duplicates([row.image for row in rows])
    for i, j in product(range(len(rows)), repeat=2):
        one, other = rows[i].case, rows[j].case
        same_lesion = one.lesion_id is not None and one.lesion_id == other.lesion_id
        same_patient = one.patient_id is not None and one.patient_id == other.patient_id
        if same_lesion or same_patient:
            links.append((i, j))
    components = connect(len(rows), links)
    groups: dict[int, Counter[bool | None]] = {}
    for place, row in zip(components, rows, strict=True):
        groups.setdefault(place, Counter())[row.case.is_malignant] += 1
    stocks = np.array([[group[False], group[True]] for group in groups.values()])
    choices = np.array(list(product((0, 1), repeat=len(stocks)))) if len(stocks) <= 16 else None
    if choices is None:
        return True
    tests = choices @ stocks
    trains = (1 - choices) @ stocks
    return bool(((tests >= test).all(axis=1) & (trains >= train).all(axis=1)).any())


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_components_are_those_of_a_naive_search(links: list[tuple[int, int]]) -> None:
    reach = np.eye(12, dtype=bool)
    for i, j in links:
        reach[i, j] = reach[j, i] = True
    for _ in range(12):
        reach = reach @ reach
    assert connect(12, links) == [int(np.argmax(row)) for row in reach]


def test_every_lesion_comes_before_any_comes_twice(few_drawn: Dataset) -> None:
    parts = split_dataset(few_drawn, train_per_class=12, test_per_class=4)
    assert parts.train_lesions == len(parts.train)
    assert parts.test_lesions == len(parts.test)
    many = split_dataset(few_drawn, train_per_class=20, test_per_class=5)
    by_lesion = Counter(row.case.lesion_id for row in many.train)
    assert len(by_lesion) == count_lesions(many.train) < len(many.train)


def test_the_seed_decides(few_drawn: Dataset) -> None:
    first, again, other = (
        split_dataset(few_drawn, train_per_class=8, test_per_class=4, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first.train != other.train


def test_the_verb_writes_two_datasets_that_refer_to_the_images(
    tmp_path: Path, few_drawn: Dataset
) -> None:
    done = split(few_drawn.table.parent, tmp_path, train_per_class=9, test_per_class=4, seed=2)
    train, test = read_dataset(done.train), read_dataset(done.test)
    assert (len(train), len(test)) == (18, 8)
    assert not train.warnings
    assert not train.faults
    assert train.is_drawn
    assert done.is_drawn
    images = {row.case.isic_id: row.image for row in few_drawn}
    for row in (*train, *test):
        assert row.image.samefile(images[row.case.isic_id])
    assert [row.case for row in test] == [row.case for row in done.split.test]
    assert set(few_drawn.columns) <= set(train.columns)


def test_too_few_and_one_class_and_faults(few_drawn: Dataset) -> None:
    benign = sum(row.case.is_malignant is False for row in few_drawn)
    with pytest.raises(DatasetError, match=f"{benign} benign of 20 lesions"):
        split_dataset(few_drawn, train_per_class=684, test_per_class=113)
    malignant = make_dataset([row for row in few_drawn if row.case.is_malignant])
    with pytest.raises(DatasetError, match="holds no benign image"):
        split_dataset(malignant, train_per_class=2, test_per_class=1)
    fault = Fault(FaultKind.NO_FILE, Path("metadata.csv"), 7, "A has no image file.")
    faulty = Dataset(table=few_drawn.table, columns=(), rows=few_drawn.rows, faults=(fault,))
    with pytest.raises(DatasetError, match=r"metadata\.csv:7: A has no image file"):
        split_dataset(faulty, train_per_class=2, test_per_class=1)
    with pytest.raises(SettingsError, match="at least 1"):
        split_dataset(few_drawn, train_per_class=0, test_per_class=1)


def test_one_patient_cannot_stand_on_two_sides(pool: list[Path]) -> None:
    rows = [
        Row(
            Case(
                isic_id=path.stem,
                patient_id="P1",
                diagnosis_1="Benign" if place % 2 else "Malignant",
            ),
            path,
            place + 2,
        )
        for place, path in enumerate(pool)
    ]
    with pytest.raises(DatasetError, match="belong together"):
        split_dataset(make_dataset(rows), train_per_class=2, test_per_class=2)


def test_nothing_is_written_when_the_split_fails(tmp_path: Path, few_drawn: Dataset) -> None:
    with pytest.raises(DatasetError):
        split(few_drawn.table, tmp_path / "out", train_per_class=500)
    assert not (tmp_path / "out").exists()


def test_a_second_split_that_fails_leaves_no_leaking_pair(
    tmp_path: Path, few_drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(seed: int) -> None:
        split(few_drawn.table, tmp_path, train_per_class=9, test_per_class=4, seed=seed)

    def tables() -> list[bytes]:
        return [path.read_bytes() for path in sorted(tmp_path.rglob("*.csv"))]

    draw(0)
    before = tables()
    # The disk is full: now as the second table is written, now as it is forced to the disk.
    for method, left in ((Path, before), (files, [])):
        with monkeypatch.context() as patch:
            _fail_in_test(method, patch)
            with pytest.raises(
                DermtwinError, match=r"test.metadata\.csv cannot be written: no space"
            ):
                draw(1)
        assert tables() == left
    draw(1)
    assert len(tables()) == len(before) == 2


def _fail_in_test(owner: object, patch: pytest.MonkeyPatch) -> None:
    """Make what writes fail in the folder `test`."""
    name = "write_bytes" if owner is Path else "sync"
    write = getattr(owner, name)

    def fail(path: Path, *data: bytes) -> None:
        if path.parent.name == "test":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, *data)

    patch.setattr(owner, name, fail)


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_split_does_not_replace_what_it_reads(
    tmp_path: Path, few_drawn: Dataset, side: str
) -> None:
    split(few_drawn.table, tmp_path, train_per_class=9, test_per_class=4)
    before = (tmp_path / side / "metadata.csv").read_bytes()
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / side)
    for source in (tmp_path / side, linked / "metadata.csv"):
        with pytest.raises(SettingsError, match="would be replaced"):
            split(source, tmp_path, train_per_class=1, test_per_class=1)
    assert (tmp_path / side / "metadata.csv").read_bytes() == before


def test_a_share_parts_all_rows_and_never_what_belongs_together(tmp_path) -> None:
    dataset = draw_dataset(tmp_path / "drawn", lesions=60, seed=3, size=(64, 48))
    split = share_dataset(dataset, test_share=0.3, seed=1)
    names = [row.case.isic_id for row in (*split.train, *split.test)]
    assert sorted(names) == sorted(
        row.case.isic_id for row in dataset if row.case.is_malignant is not None
    )
    lesions, patients = (
        [{getattr(row.case, field) for row in side} - {None} for side in (split.train, split.test)]
        for field in ("lesion_id", "patient_id")
    )
    assert not lesions[0] & lesions[1]
    assert not patients[0] & patients[1]
    assert 0.15 < split.test_lesions / (split.test_lesions + split.train_lesions) < 0.45
    # A case that is gone moves none of the others.
    fewer = replace(dataset, rows=dataset.rows[:-1])
    again = share_dataset(fewer, test_share=0.3, seed=1)
    assert {row.case.isic_id for row in again.test} <= {row.case.isic_id for row in split.test}


def test_a_case_added_later_moves_at_most_what_it_belongs_to(
    pool: list[Path],
) -> None:
    def sides(names: Sequence[tuple[str, str]]) -> dict[str, bool]:
        rows = [
            Row(Case(isic_id=name, patient_id=patient, diagnosis_1="Benign"), path, 0)
            for (name, patient), path in zip(names, pool[12:], strict=False)
        ]
        parts = share_dataset(make_dataset(rows), test_share=0.5)
        return {row.case.isic_id: row in parts.test for row in (*parts.train, *parts.test)}

    names = [(f"M{number}", f"P{number // 2}") for number in range(8)]
    before = sides(names)
    added = sides([*names, ("A", "P9")])
    assert {name: added[name] for name in before} == before
    # A lower name in a known patient's group: the whole group may follow it, and nothing else.
    least = next(
        f"B{n}" for n in range(9) if is_held_out(f"B{n}", share=0.5, seed=0) != before["M0"]
    )
    moved = sides([*names, (least, "P0")])
    assert {name for name in before if moved[name] != before[name]} == {"M0", "M1"}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0])
def test_a_share_of_nothing_or_all_is_refused(tmp_path, share) -> None:
    dataset = draw_dataset(tmp_path / "drawn", lesions=2, seed=3, size=(64, 48))
    with pytest.raises(SettingsError, match="above 0 and below 1"):
        share_dataset(dataset, test_share=share)
