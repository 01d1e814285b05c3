"""`dermtwin split`: a dataset in two tables that share no lesion, patient or photograph."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dermtwin.datasets import (
    Dataset,
    Split,
    hold_out_value,
    share_dataset,
    split_dataset,
    write_tables,
)
from dermtwin.errors import SettingsError
from dermtwin.running import Track, untracked
from dermtwin.verbs.pseudonyms import read_to_write

TRAIN_PER_CLASS, TEST_PER_CLASS = 684, 113
"""Images of each class, as in the paper."""

_TABLE = "metadata.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitResult:
    """What was written, and what was left out.

    Attributes:
        train, test: the folders, each a dataset whose table refers to the images where they are.
        split: the rows on each side and the counts of those on none.
        is_drawn: whether the pictures are drawn, not real.
        warnings: what was noticed in the table.
    """

    train: Path
    test: Path
    split: Split
    is_drawn: bool
    warnings: tuple[str, ...]


def split(
    dataset: str | Path,
    out: str | Path,
    *,
    train_per_class: int | None = None,
    test_per_class: int | None = None,
    test_share: float | None = None,
    hold_out: str | None = None,
    seed: int = 0,
    pseudonym_key: str | Path | None = None,
    track: Track = untracked,
) -> SplitResult:
    """Write `out/train` and `out/test`, free of leaks: balanced, by a share, or by a value.

    Args:
        dataset: a dataset's folder or table.
        out: where the two folders go; tables that stand there are replaced.
        train_per_class: images of each class for training; None: 684.
        test_per_class: images of each class for testing; None: 113.
        test_share: instead of counts: the share of all lesions to test on, the rest to train on.
        hold_out: instead of both: `COLUMN=VALUE`, the rows to test on, such as `dataset=rosendahl`
            or `dx=vasc`; the rest to train on, but for what belongs together with those.
        seed: of the draw; the same rows and seed give the same split. Nothing is drawn by a value.
        pseudonym_key: a file whose bytes are the key of the pseudonyms that patients of DICOM
            files are given; needed where any is written.
        track: watches the work go by.

    Raises:
        DatasetError: the dataset cannot be read, has faults, holds too few images, or has no such
            column or value.
        ImageError: an image cannot be decoded.
        SettingsError: a count is below 1, the share not between 0 and 1, the value to hold out not
            `COLUMN=VALUE`, or two ways to split are given; the table would be replaced; or a
            pseudonym needs a key.
    """
    counts = (train_per_class, test_per_class)
    _refuse_two_ways(counts=counts, test_share=test_share, hold_out=hold_out)
    column, value = _column_and_value(hold_out) if hold_out is not None else ("", "")
    train, test = Path(out) / "train", Path(out) / "test"
    source = read_to_write(dataset, key_file=pseudonym_key, track=track)
    _refuse_replacing(source.table, written=(train / _TABLE, test / _TABLE))
    if hold_out is not None:
        parts = hold_out_value(source, column=column, value=value, track=track)
    elif test_share is not None:
        parts = share_dataset(source, test_share=test_share, seed=seed, track=track)
    else:
        parts = _balanced(source, counts, seed=seed, track=track)
    tables = {train / _TABLE: parts.train, test / _TABLE: parts.test}
    write_tables(tables, columns=source.columns)
    return SplitResult(
        train=train, test=test, split=parts, is_drawn=source.is_drawn, warnings=source.warnings
    )


def _balanced(
    source: Dataset, counts: tuple[int | None, int | None], *, seed: int, track: Track
) -> Split:
    train, test = counts
    return split_dataset(
        source,
        train_per_class=TRAIN_PER_CLASS if train is None else train,
        test_per_class=TEST_PER_CLASS if test is None else test,
        seed=seed,
        track=track,
    )


def _refuse_replacing(table: Path, *, written: Sequence[Path]) -> None:
    if os.path.realpath(table) in map(os.path.realpath, written):
        raise SettingsError(
            f"{table} is what is to be split, and would be replaced by a part of it; name another "
            "folder to write to."
        )


def _refuse_two_ways(
    *, counts: tuple[int | None, ...], test_share: float | None, hold_out: str | None
) -> None:
    ways = {
        "counts for each class": counts != (None, None),
        "a test share": test_share is not None,
        "a value to hold out": hold_out is not None,
    }
    given = [way for way, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise SettingsError(f"a split is made in one way, got {' and '.join(given)}; give one.")


def _column_and_value(hold_out: str) -> tuple[str, str]:
    column, _, value = (part.strip() for part in hold_out.partition("="))
    if not column or not value:
        raise SettingsError(
            f"what to hold out is COLUMN=VALUE, such as dataset=rosendahl, got {hold_out!r}."
        )
    return column, value
