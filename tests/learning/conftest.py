"""Blobs of two classes, drawn here so that the room's tests stand by themselves."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermtwin.datasets import Dataset, Row, draw_dataset
from dermtwin.learning.settings import InputSettings, OptimiserSettings, TrainingSettings
from dermtwin.vocabulary import Case

MakeBlobs = Callable[..., Dataset]


def blob(rng: np.random.Generator, *, malignant: bool) -> np.ndarray:
    """A spot on skin, uint8 [60, 80, 3]: dark and ragged, or brown and round."""
    rows, columns = np.mgrid[:60, :80]
    angle = np.arctan2(rows - 30, columns - 40)
    radius = (
        14 + rng.uniform(-2, 2) + (5 * np.sin(5 * angle + rng.uniform(0, 6)) if malignant else 0)
    )
    inside = np.hypot(rows - 30, columns - 40) < radius
    skin = np.array([220, 180, 160]) + rng.normal(0, 8, (60, 80, 3))
    spot = np.array([70, 40, 40] if malignant else [150, 100, 70]) + rng.normal(0, 12, (60, 80, 3))
    return np.where(inside[..., None], spot, skin).clip(0, 255).astype(np.uint8)


def _write_table(path: Path, rows: list[Row]) -> None:
    columns = ("isic_id", "lesion_id", "diagnosis_1", "image_manipulation")
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for row in rows:
            known = dict(row.case.known_fields()) | dict(row.case.extra)
            table.writerow([known[column] for column in columns])


@pytest.fixture
def make_blobs(tmp_path: Path) -> MakeBlobs:
    def make(
        *,
        per_class: int = 8,
        name: str = "blobs",
        seed: int = 0,
        diagnoses: tuple[str, ...] = ("Benign", "Malignant"),
    ) -> Dataset:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(seed)
        rows = []
        for number in range(per_class * len(diagnoses)):
            diagnosis = diagnoses[number % len(diagnoses)]
            image = folder / f"{name}-{number:03}.png"
            Image.fromarray(blob(rng, malignant=diagnosis == "Malignant")).save(image)
            case = Case(
                isic_id=image.stem,
                # Two photographs a lesion now and then.
                lesion_id=f"lesion-{name}-{diagnosis}-{number // 3}",
                diagnosis_1=diagnosis,
                extra={"image_manipulation": "synthetic"},
            )
            rows.append(Row(case, image, number + 2))
        _write_table(folder / "metadata.csv", rows)
        return Dataset(table=folder / "metadata.csv", columns=("isic_id",), rows=tuple(rows))

    return make


@pytest.fixture
def quick() -> TrainingSettings:
    """Three epochs of two steps each on sixteen small images."""
    return TrainingSettings(
        name="quick",
        input=InputSettings(size=50),
        optimiser=OptimiserSettings(epochs=3, batch_pairs=8, learning_rate=0.002),
    )


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Drawn lesions of every diagnosis that more than one of them has."""
    folder = tmp_path_factory.mktemp("drawn") / "drawn"
    drawn = draw_dataset(folder, lesions=40, seed=2, size=(64, 48))
    # Diagnoses of a single lesion cannot be learnt from.
    rows = [row for row in drawn if row.case.is_malignant is not None]
    owners: dict[str, set[str]] = {}
    for row in rows:
        owners.setdefault(row.case.diagnosis, set()).add(row.case.lesion_id)
    return replace(drawn, rows=tuple(row for row in rows if len(owners[row.case.diagnosis]) > 1))


@pytest.fixture(scope="session")
def unseen(dataset: Dataset) -> Dataset:
    """As many images of other lesions and patients, to go by their names."""

    def other(row: Row) -> Row:
        names = ("isic_id", "lesion_id", "patient_id")
        known = {name: f"other-{value}" for name in names if (value := getattr(row.case, name))}
        return replace(row, case=replace(row.case, **known))

    return replace(dataset, rows=tuple(other(row) for row in dataset))
