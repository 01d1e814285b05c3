"""Drawn lesions as pictures, with exact masks, and as whole datasets."""

import io
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.datasets.drawn.artefacts import draw_artefacts, order_artefacts
from dermtwin.datasets.drawn.kinds import Kind, Traits, draw_traits
from dermtwin.datasets.drawn.lesion import paint_lesion
from dermtwin.datasets.drawn.photograph import Photograph, draw_skin, take_photograph
from dermtwin.datasets.drawn.population import Sitting, plan_sittings
from dermtwin.datasets.reading import read_dataset
from dermtwin.datasets.table import Dataset, Row
from dermtwin.datasets.writing import write_table
from dermtwin.errors import DatasetError, SettingsError
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import Artefact

SIZE = (400, 300)
_QUALITY = 90


def draw_dataset(
    out: str | Path,
    *,
    lesions: int = 1020,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    track: Track = untracked,
) -> Dataset:
    """Draw a dataset of lesions, half of them malignant, one to three photographs each.

    The folder appears when all is drawn. The same arguments give the same bytes.

    Args:
        out: the folder to make; it must not exist or be empty.
        lesions: how many lesions; there are about 1.8 photographs of each.
        seed: of everything that is drawn.
        size: width and height in pixels.
        track: watches the lesions go by.

    Raises:
        DatasetError: the folder holds something already, or cannot be written.
        SettingsError: fewer than two lesions are asked for.
    """
    out = Path(out)
    if lesions < 2:
        raise SettingsError(f"{lesions} lesions cannot be of two classes; draw at least 2.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not empty; give a new folder to draw into.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            folder = Path(temporary) / out.name
            folder.mkdir()
            _draw_into(folder, list(plan_sittings(lesions, seed=seed)), size=size, track=track)
            folder.replace(out)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DatasetError(f"{out} cannot be written: {reason}.") from error
    return read_dataset(out)


def draw_lesion(
    seed: int,
    *,
    kind: Kind | None = None,
    severity: float | None = None,
    artefacts: Iterable[Artefact] | None = None,
    size: tuple[int, int] = SIZE,
) -> Photograph:
    """Draw one picture, with the exact masks of the lesion and of what lies in the way.

    Args:
        seed: of everything that is not given.
        kind: the diagnosis; None: any, both classes alike.
        severity: 0 (round, even, one colour) … 1 (ragged, many colours); None: as the class has it.
        artefacts: what lies in the way; None: drawn by their frequency.
        size: width and height in pixels.
    """
    rng = np.random.default_rng(seed)
    drawn = draw_traits(rng, malignant=kind.is_malignant if kind else rng.random() < 0.5)
    traits = Traits(
        kind or drawn.kind, drawn.severity if severity is None else severity, drawn.seed
    )
    return take_photograph(
        paint_lesion(traits, side=_side(size)),
        skin=draw_skin(rng),
        rng=rng,
        size=size,
        artefacts=draw_artefacts(rng) if artefacts is None else order_artefacts(artefacts),
    )


def _draw_into(
    folder: Path, sittings: list[Sitting], *, size: tuple[int, int], track: Track
) -> None:
    rows = []
    drawn = in_order(partial(_draw_sitting, size=size), sittings)
    for sitting, pictures in zip(
        sittings, track(drawn, label="drawing", total=len(sittings)), strict=True
    ):
        for shot, picture in zip(sitting.shots, pictures, strict=True):
            image = folder / f"{shot.case.isic_id}.jpg"
            image.write_bytes(picture)
            rows.append(Row(shot.case, image, 0))
    write_table(folder / "metadata.csv", rows)


def _draw_sitting(sitting: Sitting, *, size: tuple[int, int]) -> list[bytes]:
    lesion = paint_lesion(sitting.traits, side=_side(size))
    return [
        _encode(
            take_photograph(
                lesion,
                skin=sitting.skin,
                rng=np.random.default_rng(shot.seed),
                size=size,
                artefacts=shot.artefacts,
            ).rgb
        )
        for shot in sitting.shots
    ]


def _encode(rgb: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _side(size: tuple[int, int]) -> int:
    """Pixels of the lesion's own frame, so that its details are as fine as the photograph's."""
    return round(1.3 * min(size))
