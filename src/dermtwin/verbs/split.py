"""`dermtwin split`: a dataset in two tables that share no lesion, patient or photograph."""

from dataclasses import dataclass
from pathlib import Path

from dermtwin.datasets import Split, read_dataset, share_dataset, split_dataset, write_table
from dermtwin.running import Track, untracked


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
    train_per_class: int = 684,
    test_per_class: int = 113,
    test_share: float | None = None,
    seed: int = 0,
    track: Track = untracked,
) -> SplitResult:
    """Write `out/train` and `out/test`, free of leaks; balanced by class, or all by a share.

    Args:
        dataset: a dataset's folder or table.
        out: where the two folders go; tables that stand there are replaced.
        train_per_class: images of each class for training.
        test_per_class: images of each class for testing.
        test_share: instead of counts: the share of all lesions to test on, the rest to train on.
        seed: of the draw; the same rows and seed give the same split.
        track: watches the work go by.

    Raises:
        DatasetError: the dataset cannot be read, has faults, or holds too few images.
        ImageError: an image cannot be decoded.
        MissingExtraError: the extra `evaluate` is not installed.
        SettingsError: a count is below 1, or the share not between 0 and 1.
    """
    source = read_dataset(dataset, track=track)
    if test_share is None:
        parts = split_dataset(
            source,
            train_per_class=train_per_class,
            test_per_class=test_per_class,
            seed=seed,
            track=track,
        )
    else:
        parts = share_dataset(source, test_share=test_share, seed=seed, track=track)
    train, test = Path(out) / "train", Path(out) / "test"
    for folder, rows in ((train, parts.train), (test, parts.test)):
        write_table(folder / "metadata.csv", rows, columns=source.columns)
    return SplitResult(
        train=train, test=test, split=parts, is_drawn=source.is_drawn, warnings=source.warnings
    )
