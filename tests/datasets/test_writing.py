import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.datasets import Row, read_dataset, write_table
from dermtwin.datasets.table import Dataset
from dermtwin.errors import DermtwinError
from dermtwin.vocabulary import FIELDS, Case

# A lone surrogate is no text, and CSV files have no code for NUL's neighbours in UTF-8 to lose.
NASTY = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
) | st.sampled_from(
    ["=1+1", "\t=x", "\t\tx", '"', '""', "a,b;c", "two\nlines", "\r\n", " ", "-", "é\u2028", "'"]
)
WORD = st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1).filter(
    lambda text: text == text.strip()
)
NAMES = st.sampled_from(["note", "dx", "MEL", "odd, name", 'quo"te', "=formula", "anatom_site_3"])


@st.composite
def cases(draw: st.DrawFn, isic_id: str) -> Case:
    typed = {
        "lesion_id": WORD,
        "diagnosis_1": st.sampled_from(["Benign", "Malignant", "Indeterminate", "else"]),
        "age_approx": st.integers(0, 120),
        "sex": st.sampled_from(["male", "female", "other"]),
        "attribution": WORD,
    }
    chosen = draw(st.sets(st.sampled_from(sorted(typed))))
    known = {name: draw(typed[name]) for name in sorted(chosen)}
    return Case(isic_id=isic_id, extra=draw(st.dictionaries(NAMES, NASTY, max_size=4)), **known)


@st.composite
def tables(draw: st.DrawFn) -> list[Case]:
    names = draw(st.lists(WORD, min_size=1, max_size=5, unique=True))
    return [draw(cases(name)) for name in names]


@settings(max_examples=60, deadline=None)
@given(tables())
def test_what_is_written_is_read_back(written: list[Case]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        image = folder / "pictures" / "odd, näme.jpg"
        image.parent.mkdir()
        image.touch()
        rows = [Row(case, image, 0) for case in written]
        write_table(folder / "table" / "metadata.csv", rows)
        read = read_dataset(folder / "table")
    assert not read.faults
    assert [row.case for row in read] == written
    assert {row.image for row in read} == {image}


def test_columns_come_in_their_order_and_empty_ones_are_kept(tmp_path: Path) -> None:
    image = tmp_path / "A.jpg"
    image.touch()
    row = Row(Case(isic_id="A", sex="male", lesion_id="L", extra={"z": "1", "a": "2"}), image, 2)
    write_table(tmp_path / "metadata.csv", [row], columns=("isic_id", "patient_id", "empty"))
    header = (tmp_path / "metadata.csv").read_text().splitlines()[0]
    assert header == "isic_id,lesion_id,patient_id,sex,image,z,a,empty"
    typed = [name for name in header.split(",") if name in FIELDS]
    assert typed == sorted(typed, key=FIELDS.index)


def test_a_table_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, few_drawn: Dataset
) -> None:
    table = tmp_path / "metadata.csv"
    table.mkdir()
    with pytest.raises(DermtwinError, match="cannot be written"):
        write_table(table, few_drawn.rows)
    assert table.is_dir()
    assert list(tmp_path.iterdir()) == [table]


def test_a_written_dataset_keeps_its_warnings_and_its_mark(
    tmp_path: Path, few_drawn: Dataset
) -> None:
    write_table(tmp_path / "metadata.csv", few_drawn.rows, columns=few_drawn.columns)
    again = read_dataset(tmp_path)
    assert again.is_drawn
    assert [row.case for row in again] == [row.case for row in few_drawn]
    assert [row.image.read_bytes() for row in again] == [
        row.image.read_bytes() for row in few_drawn
    ]
