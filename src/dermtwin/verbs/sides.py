"""The datasets of an evaluation, encoded: what `evaluate` and `compare` measure."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets import Dataset, Row, card_fingerprint, read_dataset
from dermtwin.encoders import Codes, Encoder
from dermtwin.errors import DatasetError, EncoderError, ImageError
from dermtwin.evaluation.distances import METRICS
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT
from dermtwin.evaluation.record import SideFacts, side_facts
from dermtwin.evaluation.study import Compared
from dermtwin.evaluation.subjects import CLASS_NAMES, Subjects, subjects_of
from dermtwin.images import digest, read_file
from dermtwin.learning import quality
from dermtwin.running import Track, in_order

_EXAMPLES = 5

_Encoded = tuple[Mapping[str, NDArray[np.float32]], str]
"""Codes by output, float32 [views, …], and the file's digest."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Side:
    """One dataset, encoded: rows sorted by name, so that the table's order moves no figure.

    Attributes:
        rows: those of the two classes.
        subjects: who they are.
        codes: by output, float32 [N, …].
        turned: the same of each further view of the images.
        facts: what is known of the dataset.
    """

    rows: tuple[Row, ...]
    subjects: Subjects
    codes: Mapping[str, NDArray[np.float32]]
    turned: tuple[Mapping[str, NDArray[np.float32]], ...]
    facts: SideFacts


def read_sides(
    encoder: Encoder,
    *,
    queries: str | Path,
    gallery: str | Path | None,
    views: int,
    track: Track,
) -> dict[str, Side]:
    """Read and encode queries, in so many views, and the gallery, as its images are.

    Raises:
        EncoderError: nothing that the encoder gives can be compared.
        DatasetError: see `read_side`.
    """
    if not encoder.card.compared_by(*METRICS):
        raise EncoderError(f"{encoder.label} has no output that one distance compares.")
    sides = {"queries": read_side(encoder, queries, "queries", views=views, track=track)}
    if gallery is not None:
        sides["gallery"] = read_side(encoder, gallery, "gallery", views=1, track=track)
    return sides


def read_side(encoder: Encoder, path: str | Path, part: str, *, views: int, track: Track) -> Side:
    """Read a dataset and encode its images of the two classes; `part` names it.

    Raises:
        DatasetError: it is of one class only, or holds unreadable images.
    """
    dataset = read_dataset(path, track=track)
    rows = dataset.of_two_classes()
    subjects = subjects_of(row.case for row in rows)
    _refuse_one_class(subjects, dataset)
    work = partial(_encode_one, encoder, views=views)
    by_view, digests = _encode(work, rows, part, track)
    facts = side_facts(
        subjects,
        name="/".join(dataset.table.parts[-2:]),
        fingerprint=card_fingerprint(rows, digests),
        left_out={
            "neither benign nor malignant": len(dataset) - len(rows),
            **Counter(fault.kind.value for fault in dataset.faults),
        },
        drawn=dataset.is_drawn,
    )
    return Side(
        rows=rows, subjects=subjects, codes=by_view[0], turned=tuple(by_view[1:]), facts=facts
    )


def _refuse_one_class(subjects: Subjects, dataset: Dataset) -> None:
    present = set(subjects.classes.tolist())
    if len(present) < len(CLASS_NAMES):
        only = " and ".join(CLASS_NAMES[number] for number in present)
        raise DatasetError(
            f"{dataset.table} has {len(subjects)} images, all of them {only}; "
            "retrieval can only be measured with both classes."
        )


def _encode(
    work: Callable[[Row], _Encoded | str], rows: tuple[Row, ...], part: str, track: Track
) -> tuple[list[dict[str, NDArray[np.float32]]], list[str]]:
    """For each view codes by output, float32 [N, …]; and the files' digests."""
    done = in_order(work, rows)
    found: list[_Encoded] = []
    faults = []
    for each in track(done, label=f"encoding {part}", total=len(rows)):
        if isinstance(each, str):
            faults.append(each)
        else:
            found.append(each)
    if faults:
        more = [f"… and {len(faults) - _EXAMPLES} more"] if len(faults) > _EXAMPLES else []
        told = "\n  ".join([*faults[:_EXAMPLES], *more])
        raise DatasetError(f"{len(faults)} images cannot be read:\n  {told}")
    # By output: float32 [N, views, …].
    codes = {name: np.stack([each[name] for each, _ in found]) for name in found[0][0]}
    views = next(iter(codes.values())).shape[1]
    by_view = [{name: each[:, view] for name, each in codes.items()} for view in range(views)]
    return by_view, [each for _, each in found]


def _encode_one(encoder: Encoder, row: Row, *, views: int) -> _Encoded | str:
    try:
        data = read_file(row.image)
        return encoder.encode(data, name=str(row.image), views=views).by_output, digest(data)
    except ImageError as error:
        return str(error)


def compared_outputs(encoder: Encoder, sides: Mapping[str, Side]) -> list[Compared]:
    """The outputs to measure, and what is derived from them."""
    parts = {LEAVE_ONE_OUT: "queries", GALLERY: "gallery"}
    codes = {
        protocol: Codes(sides[part].codes) for protocol, part in parts.items() if part in sides
    }
    turned = [Codes(each) for each in sides["queries"].turned]
    return quality.compared_outputs(encoder.card, codes, turned=turned)
