"""From a trained network to an encoder file, compared with the network before it is written."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermtwin.encoders import (
    Card,
    Codes,
    Encoder,
    InputSpec,
    OutputSpec,
    time_of_making,
    write_encoder,
)
from dermtwin.encoders.encoder import INPUT_NAME
from dermtwin.encoders.graph import with_card
from dermtwin.errors import DermtwinError, EncoderError
from dermtwin.learning.distances import nearest_of_another_lesion, percentiles
from dermtwin.learning.examples import Examples
from dermtwin.learning.images import TrainingImages
from dermtwin.learning.network import ExportedNetwork, TwinNetwork
from dermtwin.learning.quality import EncodedImages, encode_images, measured_quality
from dermtwin.preparation import Recipe
from dermtwin.running import Track, untracked

TOLERANCE = 1e-4
"""How far a number of the file may lie from the network's own, against the output's largest number.

Numbers of unit length are below 1, but those of regions and bits grow with training, and single
precision's rounding with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDetails:
    """What a card says that the network does not know.

    Attributes:
        name: what people call the encoder.
        preparation: of its pictures; None: none.
        training: settings in full, seed, and the data's fingerprint and size.
        licence: of the weights, and what the data's licence adds.
    """

    name: str
    preparation: Recipe | None
    training: Mapping[str, Any]
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exportable:
    """A trained network, ready to be written.

    Attributes:
        network: in evaluation mode, on the processor; normalised images to the outputs in order.
        outputs: their names, each with its metric.
        expected: by output, what the network itself gives for each training image.
    """

    network: torch.nn.Module
    outputs: Mapping[str, str]
    expected: Mapping[str, NDArray[np.float32]]


def paper_exportable(network: TwinNetwork, examples: Examples) -> Exportable:
    """The paper's two codes of a trained twin.

    Args:
        network: put into evaluation mode and, at last, onto the processor.
        examples: the training images.

    Raises:
        DermtwinError: the last convolution gives one value for everything.
    """
    network.eval()
    pooled = examples.through(network.pooled)
    mean, deviation = _mean_and_deviation(pooled)
    expected = {
        "code": examples.through(network).numpy(),
        "map": ((pooled - mean) / deviation).sigmoid().numpy(),
    }
    exported = ExportedNetwork(network.cpu(), mean=mean, deviation=deviation).eval()
    return Exportable(
        network=exported, outputs=dict.fromkeys(expected, "euclidean"), expected=expected
    )


def export_encoder(  # noqa: PLR0913 - all that goes into the file
    exportable: Exportable,
    spec: InputSpec,
    images: TrainingImages,
    *,
    validation: TrainingImages | None,
    out: Path,
    details: CardDetails,
    track: Track = untracked,
) -> Encoder:
    """Write a trained network as an encoder file.

    Args:
        exportable: the network.
        spec: of its input.
        images: the training images at the input's size; the file is compared with the network on
            each.
        validation: images to measure its quality on.
        out: the file.
        details: for the card.
        track: looks on while the comparison runs.

    Raises:
        EncoderError: file and network differ by more than `TOLERANCE`.
    """
    expected = exportable.expected
    # Two images: with one, the exporter would take the number of images for a constant.
    example = torch.zeros(2, 3, spec.size, spec.size)
    names = list(exportable.outputs)
    model = onnx_bytes(exportable.network, example, outputs=names, any_number=True)
    outputs = {
        name: OutputSpec(expected[name].shape[1:], metric)
        for name, metric in exportable.outputs.items()
    }
    card = _card(details, spec, outputs)
    encoder = Encoder(with_card(model, card.to_json()), name=str(out))
    encoded = encode_images(encoder, images, track=track)
    codes = encoded.codes
    differences = _differences(codes, expected)
    _refuse_difference(differences, where=out)
    card = replace(
        card,
        training={**card.training, "export_differences": differences},
        distances={
            name: percentiles(nearest_of_another_lesion(codes.vectors(name), images.lesions))
            for name in card.compared_by("euclidean")
        },
        quality=_quality(encoder, validation, learnt_from=encoded, track=track),
    )
    return write_encoder(out, model=model, card=card)


def _mean_and_deviation(pooled: Tensor) -> tuple[float, float]:
    values = pooled.double()
    mean, deviation = values.mean().item(), values.std(correction=0).item()
    if not deviation > 0:
        raise DermtwinError(
            "the last convolution gives one value for every image and place, so there is no image "
            "code; lower optimiser.learning_rate or loss.margin and train with --restart."
        )
    return mean, deviation


def onnx_bytes(
    network: torch.nn.Module, example: Tensor, *, outputs: Sequence[str], any_number: bool
) -> bytes:
    """A network as an ONNX graph, the same bytes wherever it is made.

    Args:
        network: in evaluation mode.
        example: images as it takes them; two or more where any number of them shall do.
        outputs: their names.
        any_number: whether the graph takes any number of images, or as many as the example has.
    """
    with _silenced():
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT_NAME],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("N")},) if any_number else None,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: Any = program.model_proto
    # The exporter notes for each node which line of which file it came from; that is of no use to
    # those who get the file, and would make its bytes depend on where dermtwin is installed.
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    return bytes(model.SerializeToString())


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep the exporter's remarks on its own insides from the user; errors still come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _card(details: CardDetails, spec: InputSpec, outputs: Mapping[str, OutputSpec]) -> Card:
    return Card(
        name=details.name,
        made_by=f"dermtwin {version('dermtwin')}",
        made_at=time_of_making(),
        input=spec,
        preparation=details.preparation,
        outputs=outputs,
        training=details.training,
        licence=details.licence,
    )


def _differences(codes: Codes, expected: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """How far each output lies from the network's own at most, over all images and numbers.

    In parts of the output's largest number, or of 1 where that is smaller.
    """
    return {
        name: float(np.abs(codes.by_output[name] - values).max() / max(1, np.abs(values).max()))
        for name, values in expected.items()
    }


def _refuse_difference(differences: Mapping[str, float], *, where: Path) -> None:
    for name, worst in differences.items():
        if not worst <= TOLERANCE:
            raise EncoderError(
                f"{where} is not written: its output {name!r} differs from the network's by "
                f"{worst:.2g} of its largest number, more than {TOLERANCE:g}; train again with "
                "lower rates."
            )


def _quality(
    encoder: Encoder,
    validation: TrainingImages | None,
    *,
    learnt_from: EncodedImages,
    track: Track,
) -> dict[str, Any]:
    if validation is None:
        return {}
    queries = encode_images(encoder, validation, track=track)
    return measured_quality(encoder.card, queries, gallery=learnt_from)
