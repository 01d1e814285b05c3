"""A tiny encoder, built by hand: the code is the mean colour of four quarters' halves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dermtwin.encoders import Card, Encoder, InputSpec, OutputSpec, write_encoder

SIZE = 32
SPEC = InputSpec(size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def tiny_model(*, width: int = 5, external: bool = False) -> bytes:
    onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    tensor = onnx.numpy_helper.from_array(weights, "weights")
    if external:
        tensor.ClearField("raw_data")
        tensor.data_location = kinds.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    shape = onnx.numpy_helper.from_array(np.array([0, 3], np.int64), "shape")
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Reshape", ["pooled", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["code"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("code", kinds.FLOAT, ["N", width])],
        [tensor, shape],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


def tiny_card(**changes: object) -> Card:
    values = {
        "name": "tiny",
        "made_by": "the tests",
        "made_at": "2026-01-01T00:00:00Z",
        "input": SPEC,
        "outputs": {"code": OutputSpec((5,))},
        "training": {"seed": 0},
        "licence": "none",
    }
    return Card(**values | changes)


@pytest.fixture(scope="session")
def model() -> bytes:
    return tiny_model()


@pytest.fixture
def make_encoder(tmp_path: Path) -> Callable[..., Encoder]:
    def make(**changes: object) -> Encoder:
        return write_encoder(tmp_path / "tiny.onnx", model=tiny_model(), card=tiny_card(**changes))

    return make
