"""Speed and size beside the obvious way, in one run: `make bench`.

The obvious way is what one writes in an afternoon: Pillow, the network in PyTorch, eager, and a
NumPy scan over all codes; files copied, nothing forced to the disk. Both sides run alternately on
the same pictures. Absolute figures belong to the machine; the ratios are what to compare.
"""

import argparse
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from bench_casebook import gallery_rows, record_rows
from bench_encoders import measure_encoders
from bench_gallery import measure_gallery
from bench_page import measure_page, queries_of, seconds
from bench_record import measure_record
from PIL import Image

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.datasets import read_dataset
from dermtwin.learning.configuration import read_settings
from dermtwin.learning.network import TwinNetwork

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "configs" / "paper.toml"
HEADER = f"{'':<58} {'dermtwin':>9} {'obvious':>9} {'':<9} {'better':>7}"


def main() -> None:
    """Measure, print a line each, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000, help="cases in the casebook")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--encoder", default="dermtwin-base", help="of a metric training")
    parser.add_argument("--pictures", type=int, default=40, help="that the encoder is timed on")
    parser.add_argument(
        "--only",
        choices=("install", "cases", "encoders", "casebook", "page"),
        help="these rows alone",
    )
    parser.add_argument(
        "--size", type=int, default=100_000, help="cases in gallery and record, with ready codes"
    )
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        figures = list(measure(Path(folder), options))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> Iterable[dict]:
    """The rows that were asked for."""
    if options.only in (None, "install"):
        yield from measure_install()
    if options.only in (None, "encoders"):
        (folder / "encoders").mkdir()
        yield from measure_encoders(
            folder / "encoders",
            encoder=options.encoder,
            pictures=options.pictures,
            report=report,
        )
    if options.only in (None, "cases"):
        yield from measure_cases(folder, options)
    if options.only in (None, "casebook"):
        yield from measure_casebook(folder, size=options.size)
    if options.only in (None, "page"):
        yield from measure_drawn_page(folder / "page", options)


def measure_drawn_page(folder: Path, options: argparse.Namespace) -> Iterable[dict]:
    """The page with drawn cases; `bench_page.py` takes real ones."""
    folder.mkdir()
    dermtwin.draw(folder / "drawn", lesions_per_class=500)
    yield from measure_page(
        folder,
        cases=folder / "drawn",
        queries=queries_of(None, count=options.queries),
        report=report,
    )


def measure_casebook(folder: Path, *, size: int) -> Iterable[dict]:
    """Search and record at a size, with ready codes; each part's own lines, then the table."""
    (folder / "record").mkdir()
    gallery = measure_gallery(size)
    record = measure_record(folder / "record", size=size)
    print(f"{f'a casebook of {size:,} cases, medians':<58} {HEADER[59:]}")
    yield from gallery_rows(gallery, report=report)
    yield from record_rows(record, report=report)


def report(what: str, *, ours: float, theirs: float, unit: str, more_is_better: bool) -> dict:
    """Print one line: both figures and how many times better ours is."""
    ratio = ours / theirs if more_is_better else theirs / ours
    print(f"{what:<58} {ours:>9.4g} {theirs:>9.4g} {unit:<9} {ratio:>6.2f}x", flush=True)
    return {"what": what, "ours": ours, "obvious": theirs, "unit": unit, "times_better": ratio}


def measure_install() -> Iterable[dict]:
    """Start-up time and installed size."""
    bare = import_seconds("pass")
    yield report(
        "import (peer: torch, PIL, numpy)",
        ours=import_seconds("import dermtwin") - bare,
        theirs=import_seconds("import torch, PIL.Image, numpy") - bare,
        unit="s",
        more_is_better=False,
    )
    yield report(
        "installed packages (peer: torch, pillow, numpy)",
        ours=installed_megabytes(["dermtwin"]),
        theirs=installed_megabytes(["torch", "pillow", "numpy"]),
        unit="MB",
        more_is_better=False,
    )


def import_seconds(statement: str) -> float:
    """Median wall time of a fresh interpreter that runs one statement."""
    command = [sys.executable, "-c", statement]
    subprocess.run(command, check=True)
    return statistics.median(seconds(lambda: subprocess.run(command, check=True)) for _ in range(7))


def installed_megabytes(names: Sequence[str]) -> float:
    """Size of packages and of all that they require without extras, compiled files included."""
    waiting, seen, total = list(names), set(), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        total += sum(
            path.stat().st_size for each in found.files or () if (path := each.locate()).is_file()
        )
        waiting += [
            re.match(r"[\w.-]+", line)[0] for line in found.requires or () if ";" not in line
        ]
    return total / 1e6


def measure_cases(folder: Path, options: argparse.Namespace) -> Iterable[dict]:
    """`add` and one query, with the paper's network as it is before training."""
    encoder_path = make_encoder(folder)
    make_pictures(folder / "pictures", count=options.cases)
    paths = [row.image for row in read_dataset(folder / "pictures")]
    obvious = Obvious()

    started = time.perf_counter()
    dermtwin.add(folder / "pictures", casebook=folder / "cases", encoder=encoder_path)
    ours = options.cases / (time.perf_counter() - started)
    started = time.perf_counter()
    obvious.add(paths, folder / "copies")
    theirs = options.cases / (time.perf_counter() - started)
    yield report(
        f"add, {options.cases:,} pictures of 400x300 (durable / not)",
        ours=ours,
        theirs=theirs,
        unit="images/s",
        more_is_better=True,
    )

    # Other lesions than those in the casebook: a copy of a case would be looked at longer.
    dermtwin.draw(folder / "queries", lesions_per_class=options.queries // 2, seed=1)
    drawn = read_dataset(folder / "queries").rows[: options.queries]
    pictures = [row.image.read_bytes() for row in drawn]
    with Casebook.open(folder / "cases") as casebook:
        consultation = Consultation(casebook)
        consultation.ask(pictures[0], name="warm", k=10)
        obvious.find(pictures[0], k=10)
        pairs = [
            (
                seconds(lambda data=data: consultation.ask(data, name="query", k=10)),
                seconds(lambda data=data: obvious.find(data, k=10)),
            )
            for data in pictures
        ]
    for label, share in (("median", 50), ("95th percentile", 95)):
        ours, theirs = np.percentile(np.array(pairs) * 1000, share, axis=0)
        yield report(
            f"one query, JPEG bytes to hits, {options.cases:,} cases, {label}",
            ours=ours,
            theirs=theirs,
            unit="ms",
            more_is_better=False,
        )


class Obvious:
    """Pillow, PyTorch eager, NumPy."""

    def __init__(self) -> None:
        settings = read_settings(SETTINGS)
        torch.manual_seed(0)
        self.network = TwinNetwork(settings.network, size=settings.input.size).eval()
        self.size = settings.input.size
        self.codes = np.empty((0, settings.network.outputs), np.float32)

    def pixels(self, source: Path | io.BytesIO) -> torch.Tensor:
        """A picture as the network reads it."""
        picture = Image.open(source).convert("RGB").resize((self.size, self.size))
        values = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float()
        return (values / 255 - 0.5) / 0.5

    def add(self, paths: Sequence[Path], out: Path) -> None:
        """Encode in batches, copy the files, save the codes."""
        out.mkdir()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(paths), 64):
                batch = [self.pixels(path) for path in paths[start : start + 64]]
                parts.append(self.network(torch.stack(batch)).numpy())
        for path in paths:
            shutil.copy(path, out)
        self.codes = np.concatenate(parts)
        np.save(out / "codes.npy", self.codes)

    def find(self, data: bytes, *, k: int) -> np.ndarray:
        """Encode one picture and scan."""
        with torch.inference_mode():
            code = self.network(self.pixels(io.BytesIO(data))[None]).numpy()
        return np.argsort(np.linalg.norm(self.codes - code, axis=1))[:k]


def make_encoder(folder: Path) -> Path:
    """The paper's network, trained for one epoch on a few drawn lesions."""
    dermtwin.draw(folder / "few", lesions_per_class=12)
    out = folder / "encoder.onnx"
    dermtwin.train(SETTINGS, folder / "few", out=out, overrides=["optimiser.epochs=1"])
    return out


def make_pictures(folder: Path, *, count: int) -> None:
    """`count` files of distinct bytes: drawn lesions, each many times with another comment."""
    dermtwin.draw(folder / "drawn", lesions_per_class=100)
    drawn = [row.image.read_bytes() for row in read_dataset(folder / "drawn")]
    shutil.rmtree(folder / "drawn")
    lines = ["isic_id,lesion_id,diagnosis_1,sex,age_approx"]
    for number in range(count):
        name = f"BENCH_{number:07d}"
        data = marked(drawn[number % len(drawn)], name)
        (folder / f"{name}.jpg").write_bytes(data)
        lines.append(f"{name},L{number},{('Benign', 'Malignant')[number % 2]},female,{number % 85}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def marked(jpeg: bytes, comment: str) -> bytes:
    """The same picture in other bytes: a comment segment after the JPEG's start."""
    body = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


if __name__ == "__main__":
    main()
