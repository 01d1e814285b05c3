"""Choose the paper network's open settings on validation images, and write what came out.

    python scripts/choose_settings.py ham10000 parts --out docs/selection/paper.json
    python scripts/choose_settings.py --table docs/selection/paper.json --into docs/training.md

`parts` is what `dermtwin split ham10000 parts` wrote. The validation images are drawn from what it
left out: of no lesion, patient or near-duplicate of either side. Test images are never looked at.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dermtwin.datasets import Dataset, near_duplicates_between, read_dataset, split_dataset
from dermtwin.encoders import Encoder
from dermtwin.evaluation.protocols import LEAVE_ONE_OUT
from dermtwin.files import write_text
from dermtwin.learning.configuration import read_settings
from dermtwin.learning.training import train_encoder

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "paper.toml"
PER_CLASS = 200
SEEDS = (0, 1)
CANDIDATES = (
    {"loss.margin": 2, "optimiser.learning_rate": 0.0005, "optimiser.epochs": 8},
    {"loss.margin": 2, "optimiser.learning_rate": 0.001, "optimiser.epochs": 8},
    {"loss.margin": 2, "optimiser.learning_rate": 0.001, "optimiser.epochs": 16},
    {"loss.margin": 2, "optimiser.learning_rate": 0.002, "optimiser.epochs": 8},
    {"loss.margin": 1, "optimiser.learning_rate": 0.001, "optimiser.epochs": 8},
)
MARKS = ("<!-- selection: written by scripts/choose_settings.py -->", "<!-- end of selection -->")


def main() -> None:
    """Measure the candidates, or write their table into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", type=Path)
    parser.add_argument("parts", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--table", type=Path, help="figures to make a table of")
    parser.add_argument("--into", type=Path, help="the page that holds the table")
    given = parser.parse_args()
    if given.table and given.into:
        write_text(
            given.into, with_table(given.into.read_text(), json.loads(given.table.read_text()))
        )
    elif given.dataset and given.parts and given.out:
        write_text(
            given.out, json.dumps(list(measure(given.dataset, given.parts)), indent=1) + "\n"
        )
    else:
        parser.error("give DATASET PARTS --out FILE, or --table FILE --into PAGE.")


def measure(dataset: Path, parts: Path) -> Iterator[dict]:
    """Train each candidate with each seed; its figures on the validation images."""
    train, test = read_dataset(parts / "train"), read_dataset(parts / "test")
    validation = unseen(read_dataset(dataset), train=train, test=test)
    for candidate in CANDIDATES:
        for seed in SEEDS:
            changes = [f"{key}={value}" for key, value in ({"seed": seed} | candidate).items()]
            settings = read_settings(CONFIG, overrides=changes)
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "candidate.onnx"
                report = train_encoder(settings, train, out=out, validation=validation)
                quality = Encoder.open(out).card.quality
            last = report.losses[-1]
            yield {
                "seed": seed,
                "settings": candidate,
                "training loss": last.training,
                "validation loss": last.validation,
                "quality": quality,
            }
            print(changes, json.dumps(quality), file=sys.stderr, flush=True)


def unseen(whole: Dataset, *, train: Dataset, test: Dataset) -> Dataset:
    """Balanced images that have nothing in common with either side of the split."""
    used = [*train.rows, *test.rows]
    lesions = {row.case.lesion_id for row in used} - {None}
    patients = {row.case.patient_id for row in used} - {None}
    names = {row.case.isic_id for row in used}
    rows = [
        row
        for row in whole.rows
        if row.case.isic_id not in names
        and row.case.lesion_id not in lesions
        and row.case.patient_id not in patients
    ]
    pairs = near_duplicates_between([row.image for row in rows], [row.image for row in used])
    copies = {first for first, _ in pairs}
    free = tuple(row for place, row in enumerate(rows) if place not in copies)
    drawn = split_dataset(
        replace(whole, rows=free), train_per_class=PER_CLASS, test_per_class=1, seed=0
    )
    return replace(whole, rows=drawn.train)


def with_table(page: str, runs: list[dict]) -> str:
    """The page with the table between its marks written anew."""
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n{table(runs)}\n{MARKS[1]}{after}"


def table(runs: list[dict]) -> str:
    """A row a candidate: both seeds' precision@10 of both codes, and their mean."""
    head = ["margin", "learning rate", "epochs"]
    head += [
        f"{output}: {which}" for output in ("code", "map") for which in ("seed 0", "seed 1", "mean")
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for candidate in CANDIDATES:
        mine = [run for run in runs if run["settings"] == candidate]
        cells = [str(value) for value in candidate.values()]
        for output in ("code", "map"):
            values = [
                run["quality"]["figures"][output][LEAVE_ONE_OUT]["precision@10"]["value"]
                for run in mine
            ]
            cells += [f"{value:.3f}" for value in values] + [f"{statistics.mean(values):.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
