"""What a dataset is made of, as one number: by it results and encoders name their images."""

import hashlib
from collections.abc import Sequence

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


def card_fingerprint(rows: Sequence[Row], digests: Sequence[str]) -> str:
    """SHA-256 over each row's name, class, lesion and file, in this order.

    An encoder's card tells its images by it, and an evaluation sees by it whether a gallery is
    what the encoder learnt from.

    Args:
        rows: in an order that no table decides.
        digests: of their image files.
    """
    lines = (
        f"{row.case.isic_id}\t{row.case.diagnosis_1}\t{row.case.lesion_id or ''}\t{each}\n"
        for row, each in zip(rows, digests, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _describe(row: Row) -> str:
    known = _CLASSES[row.case.is_malignant]
    # The length keeps a name with a tab or newline in it from passing for two fields.
    name = row.case.isic_id
    return f"{len(name)}\t{name}\t{digest(read_file(row.image))}\t{known}\n"
