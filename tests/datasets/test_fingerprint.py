import dataclasses
import shutil
from pathlib import Path

from dermtwin.datasets import Dataset, fingerprint, read_dataset


def test_the_order_of_rows_and_other_columns_do_not_matter(few_drawn: Dataset) -> None:
    turned = dataclasses.replace(few_drawn, rows=few_drawn.rows[::-1])
    plain = dataclasses.replace(
        few_drawn,
        rows=tuple(
            dataclasses.replace(row, case=dataclasses.replace(row.case, age_approx=None))
            for row in few_drawn
        ),
    )
    assert fingerprint(turned) == fingerprint(few_drawn) == fingerprint(plain)
    assert len(fingerprint(few_drawn)) == 64


def test_name_class_and_bytes_do(tmp_path: Path, few_drawn: Dataset) -> None:
    shutil.copytree(few_drawn.table.parent, tmp_path / "copy")
    copy = read_dataset(tmp_path / "copy")
    first, *rest = copy.rows
    seen = {fingerprint(copy), fingerprint(dataclasses.replace(copy, rows=tuple(rest)))}
    for change in ({"isic_id": "other"}, {"diagnosis_1": None}):
        case = dataclasses.replace(first.case, **change)
        changed = dataclasses.replace(first, case=case)
        seen.add(fingerprint(dataclasses.replace(copy, rows=(changed, *rest))))
    with first.image.open("ab") as file:
        file.write(b"\0")
    seen.add(fingerprint(copy))
    assert len(seen) == 5
