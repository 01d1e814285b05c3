"""Speed of an encoder beside the same network in PyTorch, eager: rows of `make bench`.

All sides see the same pictures in turn, prepared in the same way, each on one thread. The physical
count is the graph's multiply-adds over what a float32 matrix product reaches on one thread here.
"""

import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image

import dermtwin
from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder, normalised
from dermtwin.learning.metric.network import ExportedMetricNetwork, first_network
from dermtwin.learning.metric.training_settings import BackboneSettings, HeadSettings
from dermtwin.running import in_order, usable_cores

SIZE = (600, 450)
ROUNDS = 5
Report = Callable[..., dict]
Encode = Callable[[bytes], object]

LOAD_OURS = """
import sys, time
from dermtwin.encoders import Encoder
started = time.perf_counter()
Encoder.open(sys.argv[1])
print(time.perf_counter() - started)
"""
LOAD_EAGER = """
import sys, time
import dermtwin.learning.metric.network, torch
started = time.perf_counter()
torch.load(sys.argv[1], weights_only=False)
print(time.perf_counter() - started)
"""


def measure_encoders(
    folder: Path, *, encoder: str, pictures: int, report: Report
) -> Iterable[dict]:
    """Latency, throughput, load time and share of the peak, of an encoder and its int8 version."""
    dermtwin.draw(folder / "lesions", lesions_per_class=max(10, pictures // 2))
    jpegs = [jpeg(row.image) for row in read_dataset(folder / "lesions").rows[:pictures]]
    files = {"float32": folder / "float32.onnx", "int8": folder / "int8.onnx"}
    files["float32"].write_bytes(Encoder.open(encoder).data)
    dermtwin.quantise_encoder(
        files["float32"], calibration=folder / "lesions", out=files["int8"], images=len(jpegs)
    )
    ours = {name: Encoder.open(path) for name, path in files.items()}
    eager = Eager(ours["float32"])
    torch.save(eager.network, folder / "eager.pt")
    sides: dict[str, Encode] = {name: encode_with(each) for name, each in ours.items()}
    sides["eager"] = eager.encode

    times = in_turn(sides, jpegs)
    for name in ours:
        for label, share in (("median", 50), ("95th percentile", 95)):
            yield report(
                f"JPEG of 600x450 to code, {name}, {label} (peer: eager)",
                ours=float(np.percentile(times[name], share)) * 1e3,
                theirs=float(np.percentile(times["eager"], share)) * 1e3,
                unit="ms",
                more_is_better=False,
            )
    rates = {name: throughput(encode, jpegs) for name, encode in sides.items()}
    for name in ours:
        yield report(
            f"JPEGs to codes on {usable_cores()} threads, {name}",
            ours=rates[name],
            theirs=rates["eager"],
            unit="images/s",
            more_is_better=True,
        )
    for name, path in files.items():
        yield report(
            f"load, {name}, {path.stat().st_size / 1e6:.1f} MB",
            ours=load_seconds(LOAD_OURS, path),
            theirs=load_seconds(LOAD_EAGER, folder / "eager.pt"),
            unit="s",
            more_is_better=False,
        )
    yield from arithmetic(ours, eager, jpegs, report=report)


def arithmetic(
    ours: Mapping[str, Encoder], eager: "Eager", jpegs: Sequence[bytes], *, report: Report
) -> Iterable[dict]:
    """The network alone: multiply-adds a second, in parts of the measured float32 peak."""
    views = [ours["float32"].look(each, name="drawn").view for each in jpegs]
    sides = {
        name: lambda view, encoder=each: encoder.encode_views(view[None])
        for name, each in ours.items()
    }
    times = in_turn(sides | {"eager": eager.run}, views)
    count, peak = multiply_adds(ours["float32"].data), peak_multiply_adds()
    shares = {name: 100 * count / statistics.median(each) / peak for name, each in times.items()}
    for name in ours:
        yield report(
            f"network, {name}: {count / 1e6:.0f} M multiply-adds, of {peak / 1e9:.3g} G/s peak",
            ours=shares[name],
            theirs=shares["eager"],
            unit="% of peak",
            more_is_better=True,
        )


class Eager:
    """The encoder's network in PyTorch with ImageNet's weights: other codes, the same work."""

    def __init__(self, encoder: Encoder) -> None:
        torch.set_num_threads(1)
        settings = encoder.card.training["settings"]
        network = first_network(
            BackboneSettings(**settings["backbone"]), HeadSettings(**settings["head"]), seed=0
        )
        self.network = ExportedMetricNetwork(network).eval()
        self.encoder = encoder

    def encode(self, data: bytes) -> object:
        """One picture, decoded and resized as the encoder does it."""
        return self.run(self.encoder.look(data, name="drawn").view)

    def run(self, view: np.ndarray) -> object:
        """The network alone."""
        with torch.inference_mode():
            return self.network(torch.from_numpy(normalised(view[None], self.encoder.card.input)))


def encode_with(encoder: Encoder) -> Encode:
    """As `find` and `add` encode."""
    return lambda data: encoder.encode(data, name="drawn")


def jpeg(path: Path) -> bytes:
    """A drawn lesion as a JPEG of 600x450."""
    written = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize(SIZE).save(written, "JPEG", quality=90)
    return written.getvalue()


def in_turn(sides: Mapping[str, Callable], items: Sequence) -> dict[str, list[float]]:
    """Wall times of each side on each item, side by side."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for warm in (True, *[False] * ROUNDS):
        for item in items[:3] if warm else items:
            for name, work in sides.items():
                started = time.perf_counter()
                work(item)
                if not warm:
                    times[name].append(time.perf_counter() - started)
    return times


def throughput(encode: Encode, jpegs: Sequence[bytes]) -> float:
    """Pictures a second, spread over threads as `add` spreads them; the best of a few rounds."""
    work = [*jpegs, *jpegs]
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _done in in_order(encode, work):
            pass
        seconds.append(time.perf_counter() - started)
    return len(work) / min(seconds)


def load_seconds(program: str, path: Path) -> float:
    """Median time to open a file in a fresh interpreter, imports not counted."""
    command = [sys.executable, "-c", program, str(path)]
    told = [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for _ in range(ROUNDS)
    ]
    return statistics.median(map(float, told))


def multiply_adds(data: bytes) -> int:
    """Of one picture, in a graph's convolutions and matrix products."""
    model = onnx.load_from_string(data)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {each.name: list(each.dims) for each in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        sides = value.type.tensor_type.shape.dim
        # The number of pictures is 1, by whatever name.
        shapes[value.name] = [side.dim_value or 1 for side in sides]
    return sum(
        prod(shapes[node.output[0]]) * inner(node, shapes)
        for node in graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
    )


def inner(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """Multiply-adds for one number of a product's output."""
    weight = shapes[node.input[1]]
    if node.op_type == "Conv":
        return prod(weight[1:])
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    return weight[-1] if turned else weight[-2]


def peak_multiply_adds(side: int = 1024) -> float:
    """A second, in a float32 product of two square matrices on one thread; the best of many."""
    one, other = torch.ones(side, side), torch.ones(side, side)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        torch.mm(one, other)
        seconds.append(time.perf_counter() - started)
    return side**3 / min(seconds)
