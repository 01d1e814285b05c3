"""`dermtwin split`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import Seed
from dermtwin.cli.printing import note, track
from dermtwin.datasets import Split


def command(
    dataset: Annotated[Path, typer.Argument(help="A folder of images.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    *,
    train_per_class: Annotated[int, typer.Option(min=1, help="Training images a class.")] = 684,
    test_per_class: Annotated[int, typer.Option(min=1, help="Test images a class.")] = 113,
    test_share: Annotated[
        float | None,
        typer.Option(help="Instead of counts: this share of all lesions to test on, such as 0.15."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Split a dataset in two: no lesion, patient or near-duplicate on both sides.

    Writes OUT/train and OUT/test: tables that refer to the images where they are.

    Example: dermtwin split lesions parts --train-per-class 684 --test-per-class 113 --seed 0
    """
    report = dermtwin.split(
        dataset,
        out,
        train_per_class=train_per_class,
        test_per_class=test_per_class,
        test_share=test_share,
        seed=seed,
        track=track,
    )
    for warning in report.warnings:
        note(warning)
    for folder, rows, lesions in (
        (report.train, report.split.train, report.split.train_lesions),
        (report.test, report.split.test, report.split.test_lesions),
    ):
        malignant = sum(row.case.is_malignant is True for row in rows)
        note(f"{folder}: {len(rows):,} images of {lesions:,} lesions, {malignant:,} malignant")
    note(_left_out(report.split))


def _left_out(split: Split) -> str:
    return (
        f"left out: {split.unused:,} not needed or kept from the other side, "
        f"{split.unclassified:,} neither benign nor malignant; "
        f"near-duplicate pairs kept together: {split.near_duplicates:,}"
    )
