"""The training pictures of ISIC 2018 task 1 as a dataset to learn from beside HAM10000.

Its table names melanomas and seborrhoeic keratoses and calls all else benign. HAM10000 counts
seborrhoeic keratoses to its `bkl`, and nearly all that is benign otherwise in that challenge are
naevi: so they are spelt here, for HAM10000's classes to gain by them. For training alone; figures
on these pictures go by their own table.

    python scripts/isic2018_beside.py ISIC2018_TASK1 OUT
"""

import argparse
import csv
import io
from pathlib import Path

from dermtwin.datasets import read_dataset
from dermtwin.files import write_text
from dermtwin.vocabulary import CHALLENGE_DIAGNOSES, DIAGNOSIS_LEVELS


def main() -> None:
    """Write the table; the pictures stay where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["isic_id", "image", *DIAGNOSIS_LEVELS])
    for row in read_dataset(given.dataset):
        case = row.case
        benign = "bkl" if case.diagnosis_3 else "nv"
        known = CHALLENGE_DIAGNOSES["mel" if case.is_malignant else benign]
        levels = [known.get(level, "") for level in DIAGNOSIS_LEVELS]
        table.writerow([case.isic_id, row.image.resolve(), *levels])
    write_text(given.out / "metadata.csv", text.getvalue())


if __name__ == "__main__":
    main()
