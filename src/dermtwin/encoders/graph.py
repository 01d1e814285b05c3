"""ONNX files, as far as the card and safety need them, without the `onnx` package.

A model file may point to other files ("external data"), which the runtime would then read,
wherever they lie. So the graph is walked before the runtime sees it. Only the handful of fields
that the walk needs are declared here; protobuf carries all others through untouched.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (field numbers are frozen there).
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from dermtwin.errors import EncoderError

CARD_KEY = "dermtwin.card"

_Field = descriptor_pb2.FieldDescriptorProto
_EXTERNAL = 1  # TensorProto.DataLocation

# message -> field -> (number, type, repeated); a type in capitals is protobuf's own.
_SCHEMA: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Entry": {"key": (1, "STRING", False), "value": (2, "STRING", False)},
    "Tensor": {"external_data": (13, "Entry", True), "data_location": (14, "INT32", False)},
    "SparseTensor": {"values": (1, "Tensor", False), "indices": (2, "Tensor", False)},
    "Attribute": {
        "t": (5, "Tensor", False),
        "g": (6, "Graph", False),
        "tensors": (10, "Tensor", True),
        "graphs": (11, "Graph", True),
        "sparse_tensor": (22, "SparseTensor", False),
        "sparse_tensors": (23, "SparseTensor", True),
    },
    "Node": {"attribute": (5, "Attribute", True)},
    "Graph": {
        "node": (1, "Node", True),
        "initializer": (5, "Tensor", True),
        "sparse_initializer": (15, "SparseTensor", True),
    },
    "Function": {"node": (7, "Node", True), "attribute_proto": (11, "Attribute", True)},
    "Training": {"initialization": (1, "Graph", False), "algorithm": (2, "Graph", False)},
    "Model": {
        "ir_version": (1, "INT64", False),
        "graph": (7, "Graph", False),
        "metadata_props": (14, "Entry", True),
        "training_info": (20, "Training", True),
        "functions": (25, "Function", True),
    },
}


def _model_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(
        name="dermtwin/onnx.proto", package="dermtwin", syntax="proto2"
    )
    for message, members in _SCHEMA.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind, repeated) in members.items():
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            member = declared.field.add(name=name, number=number, label=label)
            if kind in _SCHEMA:
                member.type, member.type_name = _Field.TYPE_MESSAGE, f".dermtwin.{kind}"
            else:
                member.type = _Field.Type.Value(f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made: type[Message] = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("dermtwin.Model")
    )
    return made


_Model = _model_class()


def parse(data: bytes, *, where: str) -> Any:
    """Read a model's outline.

    Raises:
        EncoderError: the bytes are no ONNX model, are cut short, or point to other files.
    """
    model: Any = _Model()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise EncoderError(f"{where} is not an ONNX file, or is cut short.") from error
    if not model.ir_version or not model.graph.node:
        raise EncoderError(f"{where} is not an ONNX file: it holds no graph.")
    if any(tensor.data_location == _EXTERNAL or tensor.external_data for tensor in _tensors(model)):
        raise EncoderError(
            f"{where} keeps its weights in another file, which dermtwin does not open; "
            "export it as one file."
        )
    return model


def card_text(data: bytes, *, where: str) -> str:
    """The card's JSON from a model's metadata.

    Raises:
        EncoderError: see `parse`; or there is no card.
    """
    cards = [
        entry.value for entry in parse(data, where=where).metadata_props if entry.key == CARD_KEY
    ]
    if len(cards) != 1:
        found = "no card" if not cards else f"{len(cards)} cards"
        raise EncoderError(f"{where} is an ONNX file with {found}; it is not a dermtwin encoder.")
    return str(cards[0])


def with_card(data: bytes, card: str) -> bytes:
    """A model's bytes with the card added to its metadata.

    Protobuf merges concatenated messages, so that the graph's own bytes stay as they are.
    """
    addition: Any = _Model()
    addition.metadata_props.add(key=CARD_KEY, value=card)
    return data + bytes(addition.SerializeToString())


def _tensors(model: Any) -> Iterator[Any]:
    yield from _graph_tensors(model.graph)
    for training in model.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)
    for function in model.functions:
        yield from _node_tensors(function.node)
        yield from _attribute_tensors(function.attribute_proto)


def _graph_tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from _sparse_tensors(graph.sparse_initializer)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes: Any) -> Iterator[Any]:
    for attribute in attributes:
        yield attribute.t
        yield from attribute.tensors
        yield from _sparse_tensors([attribute.sparse_tensor, *attribute.sparse_tensors])
        yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def _sparse_tensors(sparse: Any) -> Iterator[Any]:
    for each in sparse:
        yield each.values
        yield each.indices
