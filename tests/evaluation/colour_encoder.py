"""An encoder built by hand, with the paper's two outputs."""

from pathlib import Path

import numpy as np
import pytest

from dermtwin.encoders import Card, Encoder, InputSpec, OutputSpec, write_encoder

SIZE = 50


def colour_model(*, collapsed: bool = False, bits: int = 0) -> bytes:
    """`code`: five mixtures of the mean colour; `map`: the brightness in 25 × 25 squares.

    With `bits` also so many signs of further mixtures.
    """
    onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
    helper, kinds, array = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array
    weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    scale = np.float32(0 if collapsed else 1)
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["seen"]),
        helper.make_node("GlobalAveragePool", ["seen"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["code"]),
        helper.make_node("AveragePool", ["seen"], ["squares"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Sigmoid", ["squares"], ["bounded"]),
        helper.make_node("ReduceMean", ["bounded"], ["map"], axes=[1], keepdims=0),
    ]
    outputs, more = [], []
    if bits:
        planes = np.random.default_rng(1).normal(size=(5, bits)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", ["code", "planes"], ["bits"]))
        outputs.append(helper.make_tensor_value_info("bits", kinds.FLOAT, ["N", bits]))
        more.append(array(planes, "planes"))
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("code", kinds.FLOAT, ["N", 5]),
            helper.make_tensor_value_info("map", kinds.FLOAT, ["N", 25, 25]),
            *outputs,
        ],
        [
            array(weights, "weights"),
            array(np.array(scale), "scale"),
            array(np.array([0, 3], np.int64), "row"),
            *more,
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


def write_colour_encoder(path: Path, *, collapsed: bool = False, bits: int = 0) -> Encoder:
    outputs = {"code": OutputSpec((5,)), "map": OutputSpec((25, 25))}
    if bits:
        outputs["bits"] = OutputSpec((bits,), "hamming")
    card = Card(
        name="colour",
        made_by="the tests",
        made_at="2026-01-01T00:00:00Z",
        input=InputSpec(size=SIZE),
        outputs=outputs,
        training={"seed": 0},
        licence="none",
    )
    return write_encoder(path, model=colour_model(collapsed=collapsed, bits=bits), card=card)
