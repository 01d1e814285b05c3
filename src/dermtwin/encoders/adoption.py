"""Adopting a foreign network: any ONNX file that turns a picture into a vector.

Its graph keeps every node and weight. The picture's input is named `image`, the chosen output
`code`, the other outputs are no longer offered, and both declare their shapes; so it becomes what
`Encoder` opens. The `onnx` package is not needed.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (field numbers are frozen there).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

from dermtwin.encoders import graph
from dermtwin.encoders.encoder import INPUT_NAME, Encoder, open_session
from dermtwin.encoders.pixels import InputSpec, normalised
from dermtwin.errors import EncoderError
from dermtwin.images import Rgb

CODE = "code"
TOLERANCE = 1e-5
"""How far a number of the adopted code may lie from the original's, in parts of the largest."""

_FLOAT = 1  # TensorProto.DataType

Part: TypeAlias = Any  # of a model: protobuf's message classes are made at run time

# What names a value or says its shape: message -> field -> (number, type, repeated).
_NAMES_AND_SHAPES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Dimension": {"dim_value": (1, "INT64", False), "dim_param": (2, "STRING", False)},
    "Shape": {"dim": (1, "Dimension", True)},
    "TensorType": {"elem_type": (1, "INT32", False), "shape": (2, "Shape", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "Value": {"name": (1, "STRING", False), "type": (2, "Type", False)},
    "Tensor": {"name": (8, "STRING", False)},
    "Node": {
        "input": (1, "STRING", True),
        "output": (2, "STRING", True),
        "op_type": (4, "STRING", False),
    },
    "Graph": {
        "input": (11, "Value", True),
        "output": (12, "Value", True),
        "value_info": (13, "Value", True),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A foreign network that an encoder's card can be put into.

    Attributes:
        model: the ONNX file, `image` [N or 1, 3, size, size] in, `code` [N or 1, width] out.
        output: what the code was called.
        width: numbers in the code.
        views: pictures to compare with the original on, uint8 [2, size, size, 3].
        expected: the original's codes of them, of unit length if asked for, float32 [2, width].
    """

    model: bytes
    output: str
    width: int
    views: Rgb
    expected: NDArray[np.float32]


def adopted(
    model: bytes,
    spec: InputSpec,
    *,
    where: str,
    output: str | None = None,
    unit_length: bool = False,
) -> Adopted:
    """Turn a foreign network into one that `Encoder` opens once it has a card.

    Args:
        model: an ONNX file with one input, float32 [N or 1, 3, H, W], H and W open or `spec.size`.
        spec: how its pictures are made.
        where: the file, for errors.
        output: which of its outputs is the code; None: the only one of [N, D].
        unit_length: scale each code to length 1, so that Euclidean distances order as cosines do.

    Raises:
        EncoderError: no whole ONNX file, another file's weights, an input or output that does not
            fit, or a network that fails on a picture of this size.
    """
    outline = graph.parse(model, where=where)
    if any(entry.key == graph.CARD_KEY for entry in outline.metadata_props):
        raise EncoderError(f"{where} is a dermtwin encoder already; use it as it is.")
    session = open_session(model, name=where)
    source = _picture_input(session.get_inputs(), size=spec.size, where=where)
    views = _trial_views(spec.size)
    runs = [_run(session, source.name, normalised(each[None], spec), where=where) for each in views]
    chosen = _chosen(runs[0], output, where=where)
    codes = np.concatenate([run[chosen] for run in runs])
    if not np.isfinite(codes).all():
        raise EncoderError(
            f"{where}: output {chosen!r} is not a number; check --mean, --std and the export."
        )
    count, width = 1 if source.shape[0] == 1 else None, codes.shape[1]
    shapes = {source.name: (count, 3, spec.size, spec.size), chosen: (count, width)}
    editable = _editable(model, outline=outline)
    _declare(editable.graph, shapes, output=chosen)
    _name(editable.graph, source.name, chosen, unit_length=unit_length)
    return Adopted(
        model=bytes(editable.SerializeToString()),
        output=chosen,
        width=width,
        views=views,
        expected=_unit_length(codes) if unit_length else codes,
    )


def refuse_difference(encoder: Encoder, made: Adopted, *, where: str) -> None:
    """Raise EncoderError unless the encoder gives the codes that the original network gave."""
    # Twice: what is random begins alike in both sessions.
    codes = encoder.encode_views(np.concatenate([made.views, made.views])).vectors()
    worst = np.abs(codes - np.concatenate([made.expected, made.expected])).max()
    if not worst <= TOLERANCE * max(1.0, float(np.abs(made.expected).max())):
        raise EncoderError(
            f"{where} gives one picture codes that differ by {worst:.2g} from run to run; export "
            "it for inference, without dropout or anything else that is random."
        )


def _picture_input(inputs: Sequence[Any], *, size: int, where: str) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    if len(inputs) != 1:
        told = ", ".join(f"{each.name!r} {_told(each.shape)}" for each in inputs)
        raise EncoderError(
            f"{where} has {len(inputs)} inputs ({told}), an encoder has one, the picture; export "
            "its image part alone."
        )
    source = inputs[0]
    shape = list(source.shape)
    wanted = (1, 3, None, None)
    fits = len(shape) == 4 and all(
        # Where a size is left open, the runtime gives its name or None.
        need is None or has == need or not isinstance(has, int)
        for has, need in zip(shape, wanted, strict=True)
    )
    if source.type != "tensor(float)" or not fits:
        raise EncoderError(
            f"{where} takes {source.name!r} as {source.type} {_told(shape)}, an encoder takes "
            "tensor(float) [N, 3, height, width]; export it so."
        )
    if any(isinstance(side, int) and side != size for side in shape[2:]):
        raise EncoderError(
            f"{where} takes pictures of {shape[3]}x{shape[2]} pixels, not of {size}x{size}; give "
            "its own size as --input-size, or export it for this one."
        )
    return source


def _trial_views(size: int) -> Rgb:
    """Two pictures of even noise, always the same."""
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


def _run(
    session: Any,  # noqa: ANN401 - ONNX Runtime has no types
    source: str,
    pixels: NDArray[np.float32],
    *,
    where: str,
) -> dict[str, NDArray[Any]]:
    names = [each.name for each in session.get_outputs()]
    try:
        values = session.run(names, {source: pixels})
    except Exception as error:  # ONNX Runtime has a dozen kinds for a graph that fails
        side = pixels.shape[-1]
        raise EncoderError(
            f"{where} fails on a picture of {side}x{side} pixels, check --input-size: "
            f"{str(error).splitlines()[0]}"
        ) from error
    # What is no array (a list, a table) cannot be a code.
    named = zip(names, values, strict=True)
    return {name: value for name, value in named if isinstance(value, np.ndarray)}


def _chosen(values: Mapping[str, NDArray[Any]], output: str | None, *, where: str) -> str:
    """The output that is the code, checked."""
    offered = ", ".join(f"{name!r} {_told(value.shape)}" for name, value in values.items())
    codes = [name for name, value in values.items() if _is_row(value)]
    if output is None and not codes:
        raise EncoderError(
            f"{where} has no output of [N, D], it gives {offered}; export its pooled features."
        )
    if output is None and len(codes) > 1:
        raise EncoderError(
            f"{where} has several outputs of [N, D] among {offered}; choose one with --output."
        )
    chosen = codes[0] if output is None else output
    if chosen not in values:
        raise EncoderError(f"{where} has no output {chosen!r}; it has {offered}.")
    if chosen not in codes:
        instead = " or ".join(map(repr, codes)) or "nothing here: export its pooled features"
        raise EncoderError(
            f"{where}: output {chosen!r} is {_told(values[chosen].shape)}, a code is [N, D]; "
            f"choose {instead}."
        )
    if values[chosen].dtype != np.float32:
        kind = values[chosen].dtype
        raise EncoderError(
            f"{where}: output {chosen!r} is {kind}, a code is float32; export it so."
        )
    return chosen


def _is_row(value: NDArray[Any]) -> bool:
    return value.ndim == 2 and value.shape[0] == 1 and value.shape[1] > 0


def _told(shape: Sequence[Any]) -> str:
    """A shape for people; the number of pictures is N."""
    first, *rest = shape or ("?",)
    return f"[{', '.join(['N' if first in (1, None) else str(first), *map(str, rest)])}]"


def _unit_length(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.square(codes).sum(axis=1, keepdims=True))
    scaled = codes.copy()
    np.divide(codes, lengths, out=scaled, where=lengths > 0)
    return scaled


def _editable(model: bytes, *, outline: Part) -> Part:
    """The model with its names and shapes in reach, besides what `graph.parse` reads."""
    file = descriptor_pb2.FileDescriptorProto()
    outline.DESCRIPTOR.file.CopyToProto(file)
    messages = {each.name: each for each in file.message_type}
    for message, members in _NAMES_AND_SHAPES.items():
        declared = messages.get(message) or file.message_type.add(name=message)
        for name, (number, kind, repeated) in members.items():
            field = declared.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in _NAMES_AND_SHAPES:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                field.type = field.Type.Value(f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Model"))
    return made.FromString(model)


def _declare(part: Part, shapes: Mapping[str, Sequence[int | None]], *, output: str) -> None:
    """Offer one output alone; say the shapes of input and output, None being any number."""
    del part.output[:]
    part.output.add(name=output)
    for value in (*part.input, *part.output):
        if value.name in shapes:
            value.ClearField("type")
            value.type.tensor_type.elem_type = _FLOAT
            for side in shapes[value.name]:
                size = {"dim_param": "N"} if side is None else {"dim_value": side}
                value.type.tensor_type.shape.dim.add(**size)


def _name(part: Part, source: str, chosen: str, *, unit_length: bool) -> None:
    """Call the input `image` and the output `code`."""
    if unit_length:
        longer, chosen = chosen, f"{chosen}/unit_length"
        # By default over the last axis, by the square root of the sum of squares; 0 stays 0.
        part.node.add(op_type="LpNormalization", input=[longer], output=[chosen])
        part.output[0].name = chosen
    _swap(part, source, INPUT_NAME)
    # The first swap may have renamed the output.
    _swap(part, {INPUT_NAME: source}.get(chosen, chosen), CODE)


def _swap(part: Part, one: str, other: str) -> None:
    """Exchange two names everywhere, so that neither can meet a value that has it already."""
    names = {one: other, other: one}
    tensors = (*part.initializer, *(each.values for each in part.sparse_initializer))
    for value in (*part.input, *part.output, *part.value_info, *tensors):
        if value.name in names:
            value.name = names[value.name]
    for node in part.node:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names.get(each, each) for each in node.output]
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for each in (*inner, *attribute.graphs):
                _swap(each, one, other)
