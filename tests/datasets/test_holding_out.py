import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dermtwin.datasets import (
    Dataset,
    Row,
    draw_dataset,
    draw_lesion,
    hold_out_value,
    read_dataset,
)
from dermtwin.datasets.table import Fault, FaultKind
from dermtwin.errors import DatasetError, SettingsError
from dermtwin.verbs.split import split
from dermtwin.vocabulary import Case

COPY, ORIGINAL = 7, 2
CLINICS = ("north", "south", "")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve photographs, one of which stands there twice."""
    folder = tmp_path_factory.mktemp("pictures")
    for place in range(12):
        picture = Image.fromarray(draw_lesion(place, size=(160, 120)).rgb)
        picture.save(folder / f"{place:02d}.jpg", quality=92)
    shutil.copy(folder / f"{ORIGINAL:02d}.jpg", folder / f"{COPY:02d}.jpg")
    return sorted(folder.iterdir())


def rows_of(pictures: Sequence[Path], **columns: Sequence[str | None]) -> list[Row]:
    """A row for each picture: `clinic` is a column of the table's own, the others are fields."""
    rows = []
    for place, path in enumerate(pictures):
        own = {name: values[place] for name, values in columns.items()}
        clinic = own.pop("clinic", None)
        extra = {} if clinic is None else {"clinic": clinic}
        fields = {"diagnosis_1": "Malignant" if place % 3 else "Benign", **own}
        rows.append(Row(Case(isic_id=path.stem, extra=extra, **fields), path, place + 2))  # type: ignore[arg-type]
    return rows


def as_dataset(rows: Sequence[Row]) -> Dataset:
    return Dataset(table=Path("metadata.csv"), columns=(), rows=tuple(rows))


def together(rows: Sequence[Row]) -> list[set[str]]:
    """Naive: groups are merged until none of them share anything."""
    by_name = {row.case.isic_id: row.case for row in rows}

    def share(first: set[str], second: set[str]) -> bool:
        copies = {f"{COPY:02d}", f"{ORIGINAL:02d}"}
        if first & copies and second & copies:
            return True
        return any(
            getattr(by_name[one], key) == getattr(by_name[other], key) is not None
            for one in first
            for other in second
            for key in ("lesion_id", "patient_id")
        )

    groups: list[set[str]] = []
    for name in by_name:
        own = [group for group in groups if share(group, {name})]
        groups = [group for group in groups if group not in own]
        groups.append({name}.union(*own))
    return groups


def column(values: Sequence[str | None]) -> st.SearchStrategy[list[str | None]]:
    return st.lists(st.sampled_from(values), min_size=12, max_size=12)


@settings(max_examples=12, deadline=None)
@given(
    lesions=column([None, "L1", "L2", "L3", "L4"]),
    patients=column([None, None, "P1", "P2", "P3"]),
    diagnoses=column(["Benign", "Malignant", "Indeterminate"]),
    clinics=column(CLINICS),
)
def test_a_value_is_held_out_with_all_that_belongs_to_it(
    pictures, lesions, patients, diagnoses, clinics
) -> None:
    rows = rows_of(
        pictures, lesion_id=lesions, patient_id=patients, diagnosis_1=diagnoses, clinic=clinics
    )
    known = [row for row in rows if row.case.is_malignant is not None]
    test = {row.case.isic_id for row in known if row.case.extra["clinic"] == "north"}
    tainted = set[str]().union(*(group for group in together(rows) if group & test))
    train = {row.case.isic_id for row in known} - tainted - test
    if not (train and test):
        with pytest.raises(DatasetError):
            hold_out_value(as_dataset(rows), column="clinic", value="north")
        return
    parts = hold_out_value(as_dataset(rows), column="clinic", value="north")
    assert [row.case.isic_id for row in parts.test] == sorted(test)
    assert [row.case.isic_id for row in parts.train] == sorted(train)
    assert parts.unclassified == len(rows) - len(known)
    assert parts.unused == len(known) - len(train) - len(test)
    assert hold_out_value(as_dataset(rows[::-1]), column="clinic", value="north") == parts


def test_a_copy_of_a_held_out_photograph_is_no_training_image(pictures) -> None:
    clinics = ["north" if place == ORIGINAL else "south" for place in range(12)]
    parts = hold_out_value(
        as_dataset(rows_of(pictures, clinic=clinics)), column="clinic", value="north"
    )
    assert [row.case.isic_id for row in parts.test] == [f"{ORIGINAL:02d}"]
    assert f"{COPY:02d}" not in {row.case.isic_id for row in parts.train}
    assert (len(parts.train), parts.unused, parts.near_duplicates) == (10, 1, 1)


def test_a_typed_field_is_a_column_too(pictures) -> None:
    rows = rows_of(pictures, sex=["female"] * 5 + [None] * 7)
    aged = [replace(row, case=replace(row.case, age_approx=45)) for row in rows[:4]] + rows[4:]
    assert len(hold_out_value(as_dataset(aged), column="sex", value="female").test) == 5
    assert len(hold_out_value(as_dataset(aged), column="age_approx", value="45").test) == 4


def test_what_is_not_there_is_told_with_what_is(pictures) -> None:
    rows = rows_of(pictures, clinic=["north"] * 7 + ["south"] * 4 + [""], sex=[None] * 12)
    dataset = as_dataset(rows)
    with pytest.raises(DatasetError, match=r"no column source .* isic_id, diagnosis_1, clinic"):
        hold_out_value(dataset, column="source", value="north")
    with pytest.raises(DatasetError, match="no column sex"):
        hold_out_value(dataset, column="sex", value="male")
    with pytest.raises(DatasetError, match=r"north \(7\), south \(4\), \(empty\) \(1\)\."):
        hold_out_value(dataset, column="clinic", value="North")
    with pytest.raises(DatasetError, match=r"isic_id=none; there are: 00 \(1\)"):
        hold_out_value(dataset, column="isic_id", value="none")


def test_a_side_left_empty_is_refused(pictures) -> None:
    everywhere = as_dataset(rows_of(pictures, clinic=["north"] * 12))
    with pytest.raises(DatasetError, match="nothing is left to train on"):
        hold_out_value(everywhere, column="clinic", value="north")
    one_patient = rows_of(pictures, clinic=["north"] + ["south"] * 11, patient_id=["P1"] * 12)
    with pytest.raises(DatasetError, match="nothing is left to train on"):
        hold_out_value(as_dataset(one_patient), column="clinic", value="north")
    unknown = rows_of(
        pictures,
        clinic=["north"] + ["south"] * 11,
        diagnosis_1=["Indeterminate"] + ["Benign"] * 11,
    )
    with pytest.raises(DatasetError, match="nothing is left to test on"):
        hold_out_value(as_dataset(unknown), column="clinic", value="north")


def test_faults_are_refused(pictures) -> None:
    fault = Fault(FaultKind.NO_FILE, Path("metadata.csv"), 7, "A has no image file.")
    dataset = replace(as_dataset(rows_of(pictures, clinic=["north"] * 12)), faults=(fault,))
    with pytest.raises(DatasetError, match=r"metadata\.csv:7"):
        hold_out_value(dataset, column="clinic", value="north")


def test_the_verb_holds_out_and_its_parts_can_be_parted_again(tmp_path) -> None:
    drawn = draw_dataset(tmp_path / "drawn", lesions=40, seed=3, size=(64, 48))
    kind = drawn.rows[0].case.diagnosis_3
    first = split(tmp_path / "drawn", tmp_path / "parts", hold_out=f"diagnosis_3 = {kind}")
    held, kept = read_dataset(first.test), read_dataset(first.train)
    assert {row.case.diagnosis_3 for row in held} == {kind}
    assert kind not in {row.case.diagnosis_3 for row in kept}
    assert len(held) + len(kept) + first.split.unused == len(drawn)
    again = split(first.train, tmp_path / "more", test_share=0.3)
    assert len(again.split.train) + len(again.split.test) == len(kept)


@pytest.mark.parametrize("told", ["dataset", "=rosendahl", "dataset=", " = "])
def test_what_is_no_column_and_value_is_refused(tmp_path, told) -> None:
    with pytest.raises(SettingsError, match="COLUMN=VALUE"):
        split(tmp_path, tmp_path / "out", hold_out=told)


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        ({"test_share": 0.2, "hold_out": "a=b"}, "a test share and a value to hold out"),
        ({"test_per_class": 3, "hold_out": "a=b"}, "counts for each class and a value"),
        ({"train_per_class": 3, "test_share": 0.2}, "counts for each class and a test share"),
    ],
)
def test_a_split_is_made_in_one_way(tmp_path, ways, told) -> None:
    with pytest.raises(SettingsError, match=told):
        split(tmp_path, tmp_path / "out", **ways)
