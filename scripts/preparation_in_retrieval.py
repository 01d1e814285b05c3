"""What preparation does to retrieval: the paper's network with and without it, on real images.

    python scripts/preparation_in_retrieval.py HAM10000 ISIC2018_TASK1 --work FOLDER --out FILE

Both networks of a seed learn from the same images with the same draws. Measured are the paper's
protocol on unseen lesions, how answers change when an artefact is drawn over the queries, and
whether codes give artefacts away (ISIC 2018 task 1's labels). Encoders are kept in FOLDER, and a
killed run goes on. About 25 minutes on one core.
"""

import argparse
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import dermtwin
from dermtwin.datasets import Dataset, Row, lay_artefact, read_dataset
from dermtwin.datasets.annotations import seen_artefacts
from dermtwin.encoders import Encoder
from dermtwin.evaluation.artefacts import disturbance, readability
from dermtwin.evaluation.subjects import Subjects, subjects_of
from dermtwin.files import write_text
from dermtwin.images import decode, read_file
from dermtwin.running import in_order
from dermtwin.vocabulary import Artefact

PREPARED = ("preparation.crop=square", "input.resize=pad")
WAYS = {"without": (), "with": PREPARED}
INSERTED = (Artefact.INK, Artefact.RULER, Artefact.HAIR, Artefact.DARK_CORNER)
SEEDS = 3


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("ham10000", type=Path)
    parser.add_argument("isic2018_task1", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where encoders are kept")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    parts = given.work / "parts"
    if not (parts / "train" / "metadata.csv").exists():
        dermtwin.split(given.ham10000, parts, train_per_class=684, test_per_class=113, seed=0)
    isic = read_dataset(given.isic2018_task1)
    runs = [
        measured(seed, way, parts=parts, isic=isic, work=given.work)
        for seed in range(given.seeds)
        for way in WAYS
    ]
    write_text(given.out, json.dumps({"format": 1, "runs": runs}, indent=1, allow_nan=False))


def measured(seed: int, way: str, *, parts: Path, isic: Dataset, work: Path) -> dict[str, Any]:
    """All figures of one encoder."""
    path, kept = work / f"{way}-{seed}.onnx", work / f"{way}-{seed}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    if not path.exists():
        overrides = [f"seed={seed}", f"name=paper-{way}", *WAYS[way]]
        dermtwin.train("configs/paper.toml", parts / "train", out=path, overrides=overrides)
    encoder = Encoder.open(path)
    run = {"seed": seed, "way": way, "encoder": encoder.id}
    run |= retrieval(path, parts, out=work / f"{way}-{seed}-report")
    run |= {"inserted": insertions(encoder, parts), "read": readings(encoder, isic)}
    write_text(kept, json.dumps(run, indent=1, allow_nan=False))
    print(f"seed {seed}, {way}: {run['paper_map']['code']}", flush=True)
    return run


def retrieval(path: Path, parts: Path, *, out: Path) -> dict[str, Any]:
    """The paper's protocol and leave-one-out."""
    done = dermtwin.evaluate(path, queries=parts / "test", out=out)
    return {
        "paper_map": {name: asdict(each) for name, each in done.paper_map.items()},
        "mean_average_precision": {
            name: asdict(each)
            for name, each in done.mean_average_precision["leave-one-out"].items()
        },
    }


def insertions(encoder: Encoder, parts: Path) -> dict[str, Any]:
    """How answers change with each artefact; the gallery are the training cases, as they are."""
    asked, kept = (_rows(read_dataset(parts / part)) for part in ("test", "train"))
    gallery, clean = _codes(encoder, kept), _codes(encoder, asked)
    compare = partial(
        disturbance, clean, gallery_codes=gallery, queries=_who(asked), gallery=_who(kept), seed=0
    )
    return {str(kind): asdict(compare(_codes(encoder, asked, inserted=kind))) for kind in INSERTED}


def readings(encoder: Encoder, isic: Dataset) -> dict[str, Any]:
    """How well each artefact can be read from the codes."""
    rows = _rows(isic)
    codes, who = _codes(encoder, rows), _who(rows)
    seen = [seen_artefacts(row.case) for row in rows]
    return {
        str(kind): asdict(
            readability(codes, seen=np.array([each[kind] for each in seen]), subjects=who, seed=0)
        )
        for kind in Artefact
    }


def _rows(dataset: Dataset) -> list[Row]:
    known = (row for row in dataset if row.case.is_malignant is not None)
    return sorted(known, key=lambda row: row.case.isic_id)


def _who(rows: Iterable[Row]) -> Subjects:
    return subjects_of(row.case for row in rows)


def _codes(
    encoder: Encoder, rows: list[Row], *, inserted: Artefact | None = None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    work = partial(_code, encoder, inserted=inserted)
    return np.concatenate(list(in_order(work, rows)))


def _code(
    encoder: Encoder, row: Row, *, inserted: Artefact | None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    data, name = read_file(row.image), str(row.image)
    if inserted is not None:
        seed = zlib.crc32(row.case.isic_id.encode())
        picture, _ = lay_artefact(decode(data, name=name), inserted, seed=seed)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        data = buffer.getvalue()
    return encoder.encode(data, name=name).vectors()


if __name__ == "__main__":
    main()
