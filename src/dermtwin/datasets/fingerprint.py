"""What a dataset is made of, as one number: for the card of an encoder trained on it."""

import hashlib

from dermtwin.datasets.table import Dataset, Row
from dermtwin.images import digest, read_file
from dermtwin.running import in_order

_CLASSES = {True: "malignant", False: "benign", None: "unknown"}


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over each row's name, image bytes and class, sorted: the same in any row order.

    Raises:
        ImageError: an image cannot be read.
    """
    lines = sorted(in_order(_describe, dataset.rows))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _describe(row: Row) -> str:
    known = _CLASSES[row.case.is_malignant]
    # The length keeps a name with a tab or newline in it from passing for two fields.
    name = row.case.isic_id
    return f"{len(name)}\t{name}\t{digest(read_file(row.image))}\t{known}\n"
