"""From a trained mask network to the file that `dermtwin.preparation` reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from dermtwin.errors import EncoderError
from dermtwin.files import write_bytes
from dermtwin.learning.export import onnx_bytes
from dermtwin.preparation.networks import MaskSession

TOLERANCE = 0.05
"""How far a chance of the file may lie from the network's own, its weights being rounded."""

_SMALL = 64


def export_masks(
    network: nn.Module,
    *,
    example: Tensor,
    numbers: Mapping[str, Sequence[float]],
    out: Path,
) -> float:
    """Write a mask network with half-precision weights, compared with the network itself.

    Args:
        network: trained.
        example: real views [N, 3, H, W], 0…1, to compare on.
        numbers: to go into the file beside the weights.
        out: the file.

    Returns:
        The largest difference of a chance.

    Raises:
        EncoderError: it is above `TOLERANCE`.
    """
    network = network.eval()
    data = _rounded(
        onnx_bytes(network, example[:1], outputs=["logits"], any_number=False), numbers=numbers
    )
    worst = _worst(network, MaskSession(data), example)
    if not worst <= TOLERANCE:
        raise EncoderError(
            f"{out} is not written: its chances differ from the network's by {worst:.2g}."
        )
    write_bytes(out, data)
    return worst


def _worst(network: nn.Module, session: MaskSession, example: Tensor) -> float:
    """The largest difference of a chance over some pictures."""
    worst = 0.0
    for picture in example:
        view = (picture * 255).round().byte()
        with torch.no_grad():
            own = network(view[None].float() / 255)[0].sigmoid()
        there = torch.from_numpy(session.logits(view.permute(1, 2, 0).numpy())).sigmoid()
        worst = max(worst, float((own - there).abs().max()))
    return worst


def _rounded(data: bytes, *, numbers: Mapping[str, Sequence[float]]) -> bytes:
    """Keep the weights in half precision, which halves the file; sums stay in single precision."""
    model: Any = onnx.load_from_string(data)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        # Scales and means of normalisations are few, and rounding them is felt everywhere.
        if values.dtype != np.float32 or values.ndim < 2 or values.size < _SMALL:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.helper.set_model_props(model, {"numbers": json.dumps(numbers)})
    return bytes(model.SerializeToString())
