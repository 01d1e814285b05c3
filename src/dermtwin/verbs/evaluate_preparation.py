"""`dermtwin evaluate-preparation`: what preparation finds against what people drew and saw."""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dermtwin.datasets import (
    HELD_OUT_SEED,
    HELD_OUT_SHARE,
    Dataset,
    Row,
    fingerprint,
    is_held_out,
    lay_artefact,
    read_dataset,
)
from dermtwin.datasets.annotations import load_mask, mask_path, seen_artefacts
from dermtwin.errors import DatasetError, DermtwinError, ImageError
from dermtwin.evaluation.intervals import COVERAGE, RESAMPLES
from dermtwin.evaluation.preparation import (
    Marks,
    Measured,
    Truth,
    f1,
    lesion_free_part,
    mark,
    measure,
)
from dermtwin.files import write_text
from dermtwin.images import Rgb, load
from dermtwin.preparation import Preparation
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import Artefact

FORMAT = 1

_BOOTSTRAP_SEED = 0
_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationEvaluation:
    """What came out.

    Attributes:
        out: the file with all of it.
        figures: in the order to be shown.
        counts: of the dataset's rows, by what became of them.
        drawn: whether any picture was drawn, not real.
        warnings: what was noticed in the table.
    """

    out: Path
    figures: tuple[Measured, ...]
    counts: Mapping[str, int]
    drawn: bool
    warnings: tuple[str, ...]


def evaluate_preparation(
    dataset: str | Path, *, out: str | Path, every_case: bool = False, track: Track = untracked
) -> PreparationEvaluation:
    """Measure lesion masks, their confidence, crops and artefact fractions, with 95 % intervals.

    Masks are read from `masks/<isic_id>.png` or `masks/<isic_id>_segmentation.png` beside the
    table, labels from its columns `label_hair`, `label_ruler` and so on; cases without a mask are
    left out and counted.

    Args:
        dataset: a dataset's folder or table.
        out: the JSON file to write; one that stands there is replaced.
        every_case: measure on all cases; else on the third that no training has seen.
        track: looks on while pictures are examined.

    Raises:
        DatasetError: the dataset cannot be read, none of the cases asked for has a mask, or masks,
            labels or pictures are faulty.
        DermtwinError: `out` cannot be written.
    """
    out = Path(out)
    if out.is_dir():
        raise DermtwinError(f"{out} is a folder; give a file for the result.")
    source = read_dataset(dataset, track=track)
    used, counts = _choose(source, every_case=every_case)
    preparation = Preparation()
    marks = _examine_all(preparation, used, track=track)
    figures = measure(marks, seed=_BOOTSTRAP_SEED)
    values = {
        "format": FORMAT,
        "dataset": "/".join(source.table.parts[-2:]),
        "fingerprint": fingerprint(used),
        "drawn": used.is_drawn,
        "held_out": None if every_case else {"share": HELD_OUT_SHARE, "seed": HELD_OUT_SEED},
        "counts": counts,
        "recipe": preparation.recipe.id,
        "intervals": {"coverage": COVERAGE, "resamples": RESAMPLES, "seed": _BOOTSTRAP_SEED},
        "figures": {each.key: _plain(each) for each in figures},
        "cases": [asdict(each) for each in marks],
    }
    write_text(out, json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False))
    return PreparationEvaluation(
        out=out, figures=figures, counts=counts, drawn=used.is_drawn, warnings=source.warnings
    )


def _choose(source: Dataset, *, every_case: bool) -> tuple[Dataset, Mapping[str, int]]:
    """The rows to measure on, and how many rows went where."""
    masked = [row for row in source if mask_path(source, row) is not None]
    if not masked:
        raise DatasetError(f"{source.table} has no masks; they belong into masks/<isic_id>.png.")
    used = [row for row in masked if every_case or _is_held_out(row)]
    if not used:
        raise DatasetError(
            f"{source.table} has masks, but none of a case that is held out; use --all to measure "
            "on all cases."
        )
    counts = {
        "used": len(used),
        "not held out": len(masked) - len(used),
        "without a mask": len(source) - len(masked),
        "rows that cannot be used": len(source.faults),
    }
    return replace(source, rows=tuple(used)), counts


def _is_held_out(row: Row) -> bool:
    return is_held_out(row.case.isic_id, share=HELD_OUT_SHARE, seed=HELD_OUT_SEED)


def _examine_all(preparation: Preparation, used: Dataset, *, track: Track) -> list[Marks]:
    """All rows' marks; what cannot be read is collected and told at once."""
    rows = sorted(used, key=lambda row: row.case.isic_id)
    done = in_order(partial(_examine, preparation, used), rows)
    results = list(track(done, label="examining", total=len(rows)))
    faults = [each for each in results if isinstance(each, str)]
    if faults:
        raise DatasetError(_told(faults, table=used.table))
    return [each for each in results if isinstance(each, Marks)]


def _told(faults: Sequence[str], *, table: Path) -> str:
    more = [f"… and {len(faults) - _EXAMPLES} more"] if len(faults) > _EXAMPLES else []
    return "\n  ".join([f"{table} has {len(faults)} cases to mend:", *faults[:_EXAMPLES], *more])


def _examine(preparation: Preparation, used: Dataset, row: Row) -> Marks | str:
    """One row's marks, or what is wrong with it."""
    path = mask_path(used, row)
    assert path is not None
    try:
        pixels = load(row.image)
        height, width = pixels.shape[:2]
        lesion = load_mask(path, size=(width, height))
        truth = Truth(lesion=lesion, seen=seen_artefacts(row.case))
    except (DatasetError, ImageError) as error:
        return str(error)
    part = lesion_free_part(lesion)
    hairless = truth.seen.get(Artefact.HAIR) is False
    return mark(
        preparation.examine(pixels),
        truth,
        name=row.case.isic_id,
        cluster=row.case.lesion_id or f"image {row.case.isic_id}",
        empty_refused=None if part is None else _refuses(preparation, pixels[part.slices]),
        hair_f1=_hair_f1(preparation, pixels, row) if hairless else None,
    )


def _refuses(preparation: Preparation, pixels: Rgb) -> bool:
    return preparation.examine(np.ascontiguousarray(pixels)).lesion is None


def _hair_f1(preparation: Preparation, pixels: Rgb, row: Row) -> float:
    """How well hair that is drawn over a picture without any is found."""
    seed = zlib.crc32(row.case.isic_id.encode())
    hairy, hair = lay_artefact(pixels, Artefact.HAIR, seed=seed)
    return f1(preparation.examine(hairy).artefact_mask(Artefact.HAIR), hair)


def _plain(figure: Measured) -> dict[str, Any]:
    # JSON has no word for "not a number".
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(figure).items()
        if name != "key"
    }
