"""`dermtwin split`."""

from pathlib import Path
from typing import Annotated

import typer

import dermtwin
from dermtwin.cli.options import PseudonymKey, Seed
from dermtwin.cli.printing import note, track
from dermtwin.datasets import Split


def command(
    dataset: Annotated[Path, typer.Argument(help="A folder of images.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    *,
    train_per_class: Annotated[
        int | None, typer.Option(min=1, help="Training images a class; by default 684.")
    ] = None,
    test_per_class: Annotated[
        int | None, typer.Option(min=1, help="Test images a class; by default 113.")
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="Instead of counts: this share of all lesions to test on, such as 0.15."),
    ] = None,
    hold_out: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Instead of both: the rows to test on, such as dataset=rosendahl or dx=vasc.",
        ),
    ] = None,
    seed: Seed = 0,
    pseudonym_key: PseudonymKey = None,
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
        hold_out=hold_out,
        seed=seed,
        pseudonym_key=pseudonym_key,
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
    note(_left_out(report.split, is_held_out=hold_out is not None))


def _left_out(split: Split, *, is_held_out: bool) -> str:
    why = (
        "that share a lesion, patient or photograph with test"
        if is_held_out
        else "not needed or kept from the other side"
    )
    return (
        f"left out: {split.unused:,} {why}, "
        f"{split.unclassified:,} neither benign nor malignant; "
        f"near-duplicate pairs kept together: {split.near_duplicates:,}"
    )
