"""A small encoder whose regions add up to its code, as the encoder that ships has them."""

from pathlib import Path

import numpy as np
import pytest

from dermtwin.encoders import Card, Encoder, InputSpec, OutputSpec, write_encoder

SIDE, PLACES, WIDTH = 16, 4, 6


def make_region_encoder(path: Path, *, seed: int = 0) -> Encoder:
    """Each place's code is a random product of its pixels; length 1 after the sum."""
    onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
    helper, kinds = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(seed)
    step = SIDE // PLACES
    kernels = rng.normal(size=(WIDTH, 3, step, step)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernels"], ["planes"], strides=[step, step]),
        helper.make_node("Transpose", ["planes"], ["regions"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceSum", ["regions", "axes"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["code"], axis=1, p=2),
    ]
    shape = [PLACES, PLACES, WIDTH]
    graph = helper.make_graph(
        nodes,
        "regions",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("code", kinds.FLOAT, ["N", WIDTH]),
            helper.make_tensor_value_info("regions", kinds.FLOAT, ["N", *shape]),
        ],
        [
            onnx.numpy_helper.from_array(kernels, "kernels"),
            onnx.numpy_helper.from_array(np.array([1, 2]), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    card = Card(
        name="regional",
        made_by="the tests",
        made_at="2026-01-01T00:00:00Z",
        input=InputSpec(size=SIDE),
        preparation=None,
        outputs={"code": OutputSpec((WIDTH,)), "regions": OutputSpec(tuple(shape), "dot")},
        distances={"code": {"50": 0.4, "99": 1.2}},
        licence="none",
    )
    return write_encoder(path, model=bytes(model.SerializeToString()), card=card)
