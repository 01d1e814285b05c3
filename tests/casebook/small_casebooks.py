"""Small datasets, a small encoder, and the oracle's view of a casebook."""

import csv
import io
import json
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from PIL import Image

from dermtwin.casebook import Casebook, reading
from dermtwin.casebook.records import current_encoder
from dermtwin.encoders import Card, Encoder, InputSpec, OutputSpec, write_encoder
from dermtwin.gallery import Entries
from dermtwin.preparation import Recipe
from dermtwin.vocabulary import FIELDS, Case

SIZE = 16
BIT_GROUPS = 8
PROCESS = Path(__file__).with_name("casebook_process.py")


def small_model(*, seed: int = 0, width: int = 5, has_bits: bool = False) -> bytes:
    """A network whose code is a random product of the halved picture's pixels."""
    onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
    helper, kinds = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(3 * 64, width)).astype(np.float32) / 10
    signs = rng.normal(size=(3 * 64, BIT_GROUPS)).astype(np.float32).repeat(64 // BIT_GROUPS, 1)
    signs -= signs.mean(0)  # a picture's mean tells nothing
    bits_node = helper.make_node("MatMul", ["flat", "signs"], ["bits"])
    bits_info = helper.make_tensor_value_info("bits", kinds.FLOAT, ["N", 64])
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["image"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]
            ),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["code"]),
            *([bits_node] if has_bits else []),
        ],
        "small",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("code", kinds.FLOAT, ["N", width]),
            *([bits_info] if has_bits else []),
        ],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            *([onnx.numpy_helper.from_array(signs, "signs")] if has_bits else []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def make_encoder(
    path: Path,
    *,
    name: str = "small",
    seed: int = 0,
    preparation: Recipe | None = None,
    has_bits: bool = False,
) -> Encoder:
    card = Card(
        name=name,
        made_by="the tests",
        made_at="2026-01-01T00:00:00Z",
        input=InputSpec(size=SIZE, resize="centre-square" if preparation is None else "pad"),
        preparation=preparation,
        outputs={"code": OutputSpec((5,))} | ({"bits": OutputSpec((64,))} if has_bits else {}),
        licence="none",
    )
    return write_encoder(path, model=small_model(seed=seed, has_bits=has_bits), card=card)


def make_cases(count: int, *, seed: int = 0, start: int = 0) -> list[Case]:
    """Cases of lesions with up to three images; some lesions, patients and fields unknown."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(start, start + count):
        lesion = (number // 3) if number % 10 else None
        cases.append(
            Case(
                isic_id=f"ISIC_{number:07d}",
                lesion_id=None if lesion is None else f"IL_{lesion:07d}",
                patient_id=None if lesion is None or number % 7 == 0 else f"IP_{lesion // 2:07d}",
                diagnosis_1=[None, "Benign", "Malignant", "Indeterminate"][rng.integers(4)],
                sex=[None, "female", "male"][rng.integers(3)],
                age_approx=[None, *range(30, 80, 5)][rng.integers(11)],
            )
        )
    return cases


def picture(seed: int, *, size: tuple[int, int] = (48, 36)) -> bytes:
    """A JPEG of random patches, enough of them that no two pictures look like copies."""
    patches = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize(size, Image.Resampling.NEAREST).save(file, "JPEG", quality=95)
    return file.getvalue()


def picture_of(case: Case) -> bytes:
    return picture(int(case.isic_id[-7:]))


def of_generation(case: Case, generation: int) -> Case:
    """The same case with other values, which belong together."""
    further = {"generation": str(generation)}
    return replace(case, age_approx=5 * (generation % 17), extra=further)


def generation_of(case: Case) -> int:
    """How often a case was altered; its values must be of one generation."""
    generation = int(case.extra["generation"])
    assert case == of_generation(case, generation)
    return generation


def write_dataset(folder: Path, cases: Iterable[Case], *, pictures: bool = True) -> Path:
    """A dataset as the ISIC Archive writes it."""
    cases = list(cases)
    folder.mkdir(parents=True, exist_ok=True)
    further = sorted({name for case in cases for name in case.extra})
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [*FIELDS, *further])
        table.writeheader()
        for case in cases:
            table.writerow(dict(case.known_fields()) | dict(case.extra))
    for case in cases if pictures else ():
        (folder / f"{case.isic_id}.jpg").write_bytes(picture_of(case))
    return folder


def change(book, *statements: str) -> None:
    """Alter the record past all doors."""
    connection = sqlite3.connect(book / "casebook.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# Root reads and writes wherever it likes; without these rights it meets permissions as all do.
_RIGHTS = "-dac_override,-dac_read_search"
_AS_EVERYBODY = () if os.geteuid() else ("setpriv", "--bounding-set", _RIGHTS)


class Process:
    """A second process that does verbs on request; see `casebook_process`."""

    def __init__(self, *arguments: object, as_everybody: bool = False) -> None:
        before = _AS_EVERYBODY if as_everybody else ()
        self._process = subprocess.Popen(
            [*before, sys.executable, PROCESS, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, verb: str, *arguments: object, **options: object) -> dict:
        """Let it do one verb; its answer when that is done."""
        self.begin(verb, *arguments, **options)
        return self.answer()

    def begin(self, verb: str, *arguments: object, **options: object) -> None:
        words = json.dumps([verb, [*map(str, arguments)], options], default=str)
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def answer(self) -> dict:
        """The answer to a verb that was begun; what it told meanwhile is passed over."""
        while (line := self.line()).startswith("in "):
            pass
        return json.loads(line)

    def kill(self) -> list[str]:
        """`kill -9`; the lines that it had printed before."""
        self._process.kill()
        told, _ = self._process.communicate()
        return told.splitlines()

    def end(self) -> tuple[int, list[str], str]:
        told, complaints = self._process.communicate()
        return self._process.returncode, told.splitlines(), complaints


def acknowledged(lines: Iterable[str]) -> set[str]:
    """The cases that a process said were in, from its whole lines."""
    return {line.split()[1] for line in lines if line.startswith("in ") and line.endswith(" .")}


def all_entries(casebook: Casebook) -> Entries:
    """What a gallery is filled with, in one."""
    with casebook.reading() as connection:
        encoder = current_encoder(connection)
        if encoder is None:
            return Entries.empty(5)
        parts = [*reading.all_entries(connection, encoder=encoder, dimension=5)]
    parts = parts or [Entries.empty(5)]
    bits = [part.bits for part in parts if part.bits is not None]
    return Entries(
        keys=np.concatenate([part.keys for part in parts]),
        codes=np.concatenate([part.codes for part in parts]),
        columns={name: [each for part in parts for each in part.columns[name]] for name in FIELDS},
        bits=np.concatenate(bits) if len(bits) == len(parts) else None,
    )


def contents(casebook: Path) -> dict[str, Case]:
    """Every case of a casebook, each with its image and code looked at."""
    with Casebook.open(casebook) as opened:
        entries = all_entries(opened)
        names = [str(name) for name in entries.columns["isic_id"]]
        records = opened.records(names)
        assert len(records) == len(names) == opened.counts()["cases"]
        for name in names:
            opened.image(name)  # refuses what is missing or altered
        return {name: records[name].case for name in names}


def state(casebook: Path) -> dict[str, tuple[int, int]]:
    """Time and size of every file but the log, which comes and goes with its readers."""
    return {
        str(path.relative_to(casebook)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(casebook.rglob("*"))
        if path.is_file() and not path.name.startswith("casebook.sqlite-")
    }


def nearest_by_hand(
    cases: Iterable[Case], encoder: Encoder, data: bytes, *, k: int, every_image: bool
) -> list[tuple[str, float]]:
    """Names and distances of the nearest cases: every case looked at, in plain Python."""
    hits = hits_by_hand(cases, encoder, data, k=k, every_image=every_image)
    return [(name, far) for name, _, far in hits]


def hits_by_hand(
    cases: Iterable[Case],
    encoder: Encoder,
    data: bytes,
    *,
    k: int,
    every_image: bool,
    by_bits: bool = False,
    views: int = 1,
) -> list[tuple[str, int, float]]:
    """Names, bits that differ (0 where codes alone decide) and distances of the nearest cases."""
    queries = encoder.encode(data, name="query", views=views).by_output
    measured = []
    for case in cases:
        own = encoder.encode(picture_of(case), name=case.isic_id).by_output
        nearest = []
        for view, query in enumerate(queries["code"]):
            total = 0.0
            for one, other in zip(own["code"][0].tolist(), query.tolist(), strict=True):
                total += (one - other) ** 2
            differing = 0
            if by_bits:
                pairs = zip(own["bits"][0].tolist(), queries["bits"][view].tolist(), strict=True)
                differing = sum((one > 0) != (other > 0) for one, other in pairs)
            nearest.append((differing, float(np.float32(math.sqrt(total)))))
        measured.append((*min(nearest), case.isic_id, case.lesion_id))
    seen: set[str] = set()
    hits = []
    for differing, far, name, lesion in sorted(measured, key=lambda each: each[:3]):
        if every_image or lesion is None or lesion not in seen:
            seen.add(lesion or name)
            hits.append((name, differing, far))
    return hits[:k]
