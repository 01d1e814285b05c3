"""From a trained network to an encoder file, compared with the network before it is written."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermtwin.encoders import Card, Codes, Encoder, InputSpec, OutputSpec, write_encoder
from dermtwin.encoders.encoder import INPUT_NAME
from dermtwin.encoders.graph import with_card
from dermtwin.errors import DermtwinError, EncoderError, SettingsError
from dermtwin.learning.distances import nearest_of_another_lesion, percentiles
from dermtwin.learning.examples import Examples, Material
from dermtwin.learning.network import ExportedNetwork, TwinNetwork
from dermtwin.learning.quality import measured_quality
from dermtwin.preparation import Recipe
from dermtwin.running import Track, in_order, untracked

TOLERANCE = 1e-4
"""How far a number of the file may lie from the network's own."""

_OUTPUTS = ("code", "map")


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


def export_encoder(
    network: TwinNetwork,
    material: Material,
    *,
    out: Path,
    details: CardDetails,
    track: Track = untracked,
) -> Encoder:
    """Write a trained network as an encoder file.

    Args:
        network: trained; put into evaluation mode and, at last, onto the processor.
        material: the file is compared with the network on each training image; its quality is
            measured on the validation images.
        out: the file.
        details: for the card.
        track: looks on while the comparison runs.

    Raises:
        DermtwinError: the last convolution gives one value for everything.
        EncoderError: file and network differ by more than `TOLERANCE`.
    """
    network.eval()
    examples = material.training
    pooled = examples.through(network.pooled)
    mean, deviation = _mean_and_deviation(pooled)
    expected = {
        "code": examples.through(network).numpy(),
        "map": ((pooled - mean) / deviation).sigmoid().numpy(),
    }
    exported = ExportedNetwork(network.cpu(), mean=mean, deviation=deviation).eval()
    # Two images: with one, the exporter would take the number of images for a constant.
    example = torch.zeros(2, 3, examples.spec.size, examples.spec.size)
    model = onnx_bytes(exported, example, outputs=_OUTPUTS, any_number=True)
    card = _card(details, examples.spec, {name: expected[name].shape[1:] for name in _OUTPUTS})
    encoder = Encoder(with_card(model, card.to_json()), name=str(out))
    codes = _encode_all(encoder, examples, track=track)
    differences = _differences(codes, expected)
    _refuse_difference(differences, where=out)
    card = replace(
        card,
        training={**card.training, "export_differences": differences},
        distances={name: percentiles(_nearest(codes, name, examples)) for name in _OUTPUTS},
        quality=_quality(encoder, material.validation, track=track),
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


def _card(details: CardDetails, spec: InputSpec, shapes: Mapping[str, tuple[int, ...]]) -> Card:
    return Card(
        name=details.name,
        made_by=f"dermtwin {version('dermtwin')}",
        made_at=_now().isoformat(timespec="seconds"),
        input=spec,
        preparation=details.preparation,
        outputs={name: OutputSpec(shape) for name, shape in shapes.items()},
        training=details.training,
        licence=details.licence,
    )


def _now() -> datetime:
    """The time, or the one that a reproducible build asks for (reproducible-builds.org)."""
    asked = os.environ.get("SOURCE_DATE_EPOCH")
    if asked is None:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(asked), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(
            f"SOURCE_DATE_EPOCH must be seconds since 1970, got {asked!r}; correct or unset it."
        ) from error


def _encode_all(encoder: Encoder, examples: Examples, *, track: Track) -> Codes:
    views = examples.images.views
    singles = in_order(lambda view: encoder.encode_views(view[None]).by_output, views)
    watched = list(track(singles, label="encoding", total=len(views)))
    return Codes({name: np.concatenate([each[name] for each in watched]) for name in _OUTPUTS})


def _differences(codes: Codes, expected: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """How far each output lies from the network's own at most, over all images and numbers."""
    return {
        name: float(np.abs(codes.by_output[name] - values).max())
        for name, values in expected.items()
    }


def _refuse_difference(differences: Mapping[str, float], *, where: Path) -> None:
    for name, worst in differences.items():
        if not worst <= TOLERANCE:
            raise EncoderError(
                f"{where} is not written: its output {name!r} differs from the network's by "
                f"{worst:.2g}, more than {TOLERANCE:g}; lower loss.margin and train again."
            )


def _nearest(codes: Codes, output: str, examples: Examples) -> NDArray[np.float64]:
    return nearest_of_another_lesion(codes.vectors(output), examples.images.lesions)


def _quality(encoder: Encoder, unseen: Examples | None, *, track: Track) -> dict[str, Any]:
    if unseen is None:
        return {}
    return measured_quality(_encode_all(encoder, unseen, track=track), unseen.images)
