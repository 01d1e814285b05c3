"""An encoder's int8 version: the same graph with products of bytes, a third of the size.

Weights become int8 (seven bits, a scale for each channel) and what flows between layers uint8,
whose ranges are the least and the greatest value seen on calibration pictures. After Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018 (arXiv:1712.05877), by `onnxruntime.quantization`. The compared choices: docs/adopting.md.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from dermtwin.encoders import Card, Codes, Encoder, InputSpec, normalised, time_of_making
from dermtwin.encoders.encoder import INPUT_NAME
from dermtwin.encoders.graph import with_card
from dermtwin.errors import EncoderError, SettingsError
from dermtwin.files import write_bytes
from dermtwin.images import Rgb
from dermtwin.learning.distances import nearest_of_another_lesion, percentiles
from dermtwin.learning.images import TrainingImages
from dermtwin.learning.quality import encode_all
from dermtwin.running import Track, untracked

FEWEST = 10
"""Calibration pictures; with fewer, the ranges are those of single pictures."""

LEAST_COSINE = 0.95
"""Median between the codes of both encoders, below which no file is written."""

QUANTISED_FROM = "quantised_from"

FIRST_IN_FLOAT = 0.28
"""Share of the products, from the picture on, that stay in float.

There channels are few and their ranges differ most: of EfficientNet-Lite0 they are 14 of 49
convolutions, whose rounding makes two thirds of the codes' error or more (docs/adopting.md).
"""

Part: TypeAlias = Any  # of a model: protobuf's message classes are made at run time

_PRODUCTS = ("Conv", "Gemm", "MatMul")
# Additions and limits join products on their way; each of them in float would cost two conversions.
_OPERATIONS = [*_PRODUCTS, "Add", "AveragePool", "Clip", "GlobalAveragePool", "MaxPool", "Relu"]
_OF_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """What came out.

    Attributes:
        encoder: as it was written.
        size_before: the float encoder's bytes.
        cosines: by output, the median cosine between both encoders' codes of a calibration picture.
        images: calibration pictures.
    """

    encoder: Encoder
    size_before: int
    cosines: Mapping[str, float]
    images: int


def quantise(  # noqa: PLR0913 - what goes in, where it goes, and how
    encoder: Encoder,
    images: TrainingImages,
    *,
    count: int,
    seed: int,
    out: Path,
    where: str,
    track: Track = untracked,
) -> Quantised:
    """Write an encoder's int8 version.

    Its card has no quality, as none was measured, and the distances of all `images`.

    Args:
        encoder: in float32.
        images: as the encoder sees them; of two lesions or more.
        count: how many of them to calibrate on.
        seed: of their choice.
        out: the file.
        where: the images' folder, for errors.
        track: looks on while images are encoded.

    Raises:
        EncoderError: it is quantised already, cannot be, or its codes come out too different.
        SettingsError: too few images.
    """
    refuse_quantised(encoder)
    _refuse_few(images, count, where=where)
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    views = images.views[rows]
    model = quantised_model(encoder, views)
    card = _card(encoder, {**images.described(), "calibrated_on": count, "seed": seed})
    made = Encoder(with_card(model, card.to_json()), name=str(out))
    names = encoder.card.compared_by("euclidean")
    codes = encode_all(made, images.views, track=track)
    calibrated = Codes({name: codes.by_output[name][rows] for name in names})
    cosines = _median_cosines(encode_all(encoder, views, track=track), calibrated)
    _refuse_far(cosines, encoder)
    distances = {
        name: percentiles(nearest_of_another_lesion(codes.vectors(name), images.lesions))
        for name in names
    }
    card = replace(
        card, distances=distances, training={**card.training, "quantised_cosines": cosines}
    )
    final = Encoder(with_card(model, card.to_json()), name=str(out))
    write_bytes(out, final.data)
    return Quantised(encoder=final, size_before=len(encoder.data), cosines=cosines, images=count)


def refuse_quantised(encoder: Encoder) -> None:
    """Raise EncoderError if the encoder computes in integers already."""
    nodes = onnx.load_from_string(encoder.data).graph.node
    if any(node.op_type in _OF_QUANTISED for node in nodes):
        raise EncoderError(f"{encoder.label} is quantised already; use it as it is.")


def quantised_model(encoder: Encoder, views: Rgb) -> bytes:
    """An encoder's graph in int8, without a card.

    The first layers stay in float (`FIRST_IN_FLOAT`), and so do the heads: the last products before
    the outputs and all that follows them, whose error would be the code's own.

    Args:
        encoder: in float32.
        views: calibration pictures, uint8 [N, size, size, 3].

    Raises:
        EncoderError: the graph cannot be quantised.
    """
    with TemporaryDirectory() as folder, _silenced():
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        try:
            _prepared(encoder, before)
            quantize_static(
                before,
                after,
                _Pictures(views, encoder.card.input),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATIONS,
                nodes_to_exclude=_kept_in_float(onnx.load(before).graph),
                calibrate_method=CalibrationMethod.MinMax,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                # Without VNNI a processor adds two products in 16 bits: eight-bit weights would
                # overflow there, and codes would differ from machine to machine.
                reduce_range=True,
                extra_options={"MatMulConstBOnly": True},
            )
            model = onnx.load(after)
        except Exception as error:  # ONNX Runtime's tools raise whatever a graph leads them to
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise EncoderError(
                f"{encoder.label} cannot be quantised ({reason}); use it as it is."
            ) from error
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise EncoderError(
            f"{encoder.label} has no layer to quantise before its last; use it as it is."
        )
    # The tools' notes to themselves.
    del model.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


class _Pictures(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Calibration pictures, one by one as an encoder takes them."""

    def __init__(self, views: Rgb, spec: InputSpec) -> None:
        self._inputs = ({INPUT_NAME: normalised(view[None], spec)} for view in views)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next picture; None: no more."""
        return next(self._inputs, None)


def _prepared(encoder: Encoder, path: Path) -> None:
    """Write the graph as quantisation wants it: constants folded, shapes known, nodes named."""
    model = onnx.load_from_string(encoder.data)
    # The card goes: a file has one.
    del model.metadata_props[:]
    onnx.save(model, path)
    quant_pre_process(path, path, skip_symbolic_shape=True)
    prepared = onnx.load(path)
    for number, node in enumerate(prepared.graph.node):
        node.name = f"node_{number}"
    onnx.save(prepared, path)


def _kept_in_float(graph: Part) -> list[str]:
    """Names of the first layers and of the heads, with all that lies before and behind them."""
    products = [index for index, node in enumerate(graph.node) if node.op_type in _PRODUCTS]
    first = products[int(len(products) * FIRST_IN_FLOAT)] if products else 0
    # ONNX Runtime writes nodes in the order of their work.
    return [*(node.name for node in graph.node[:first]), *_heads(graph)]


def _heads(graph: Part) -> set[str]:
    """Names of the last products on the ways to the outputs, and of all nodes behind them."""
    makers = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            if node.op_type not in _PRODUCTS:
                waiting += node.input
    return found


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep the tools' remarks from the user; they go to the root logger."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _card(encoder: Encoder, calibration: Mapping[str, Any]) -> Card:
    card = encoder.card
    origin = {QUANTISED_FROM: encoder.id, "calibration": calibration}
    return replace(
        card,
        name=f"{card.name} int8",
        made_by=f"dermtwin {version('dermtwin')}, quantised",
        made_at=time_of_making(),
        training={**card.training, **origin},
        quality={},
        distances={},
    )


def _median_cosines(before: Codes, after: Codes) -> dict[str, float]:
    return {
        name: float(np.median(_cosines(before.vectors(name), after.vectors(name))))
        for name in after.by_output
    }


def _cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of rows [N, D]; a row of zeros has no direction, and is like another such alone."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: NDArray[np.float64] = (first == second).all(axis=1).astype(np.float64)
    np.divide((first * second).sum(axis=1), lengths, out=cosines, where=lengths > 0)
    return cosines


def _refuse_few(images: TrainingImages, count: int, *, where: str) -> None:
    if count < FEWEST:
        raise SettingsError(
            f"{count} images are too few to calibrate on; ask for {FEWEST} or more."
        )
    if len(images) < count:
        raise SettingsError(
            f"{where} has {len(images)} benign and malignant images, {count} were asked for; give "
            "a larger folder or ask for fewer."
        )
    if len(set(images.lesions)) < 2:
        raise SettingsError(f"{where} shows a single lesion; give a folder of several.")


def _refuse_far(cosines: Mapping[str, float], encoder: Encoder) -> None:
    for name, cosine in cosines.items():
        if not cosine >= LEAST_COSINE:
            raise EncoderError(
                f"{encoder.label} cannot be quantised: its output {name!r} would come out too far "
                f"off (median cosine {cosine:.3f}, at least {LEAST_COSINE:g}); use it as it is."
            )
