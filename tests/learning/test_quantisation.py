import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx")

import onnx

from dermtwin.encoders import Card, Encoder, InputSpec, OutputSpec, write_encoder
from dermtwin.errors import DermtwinError, EncoderError, SettingsError
from dermtwin.images import read_file
from dermtwin.learning import quantisation
from dermtwin.verbs.quantise_encoder import quantise_encoder

SIZE = 32
CHANNELS = (3, 8, 16, 24, 24)
COUNT = 12


def small_network(*, quantisable: bool = True) -> bytes:
    """Four convolutions with limits, a mean and a linear head; or a head alone."""
    rng = np.random.default_rng(0)
    helper, kinds, nodes, weights, value = onnx.helper, onnx.TensorProto, [], [], "image"
    for layer in range(len(CHANNELS) - 1) if quantisable else ():
        shape = (CHANNELS[layer + 1], CHANNELS[layer], 3, 3)
        # The channels' ranges differ, as a trained network's do.
        scales = rng.uniform(0.5, 4, (shape[0], 1, 1, 1)) / math.sqrt(math.prod(shape[1:]))
        weights.append((f"w{layer}", rng.normal(size=shape) * scales))
        weights.append((f"b{layer}", rng.normal(size=shape[0]) / 10))
        inputs = [value, f"w{layer}", f"b{layer}"]
        pads = {"pads": [1, 1, 1, 1], "strides": [2, 2] if layer < 2 else [1, 1]}
        # No names: a foreign network's nodes may have none.
        nodes.append(helper.make_node("Conv", inputs, [f"c{layer}"], **pads))
        nodes.append(helper.make_node("Clip", [f"c{layer}", "low", "high"], [f"a{layer}"]))
        value = f"a{layer}"
    weights += [("low", np.float32(0)), ("high", np.float32(6))]
    weights.append(("head", rng.normal(size=(CHANNELS[-1] if quantisable else 3, 5))))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["code"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("code", kinds.FLOAT, ["N", 5])],
        [
            onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)
            for name, values in weights
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def write_small(path: Path, **options) -> Encoder:
    card = Card(
        name="small",
        made_by="the tests",
        made_at="2026-01-01T00:00:00Z",
        input=InputSpec(size=SIZE, resize="stretch", std=(0.2, 0.25, 0.3)),
        outputs={"code": OutputSpec((5,))},
        training={"seed": 7},
        quality={"figures": {}},
        distances={"code": {"50": 1.0}},
        licence="of the tests",
    )
    return write_encoder(path, model=small_network(**options), card=card)


@pytest.fixture
def quantised(make_blobs, tmp_path: Path) -> Callable[..., quantisation.Quantised]:
    write_small(tmp_path / "small.onnx")
    folder = make_blobs().table.parent

    def make(**options) -> quantisation.Quantised:
        given = {"out": tmp_path / "int8.onnx", "images": COUNT} | options
        return quantise_encoder(tmp_path / "small.onnx", calibration=folder, **given)

    return make


def initialisers(encoder: Encoder) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(encoder.data).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def test_the_card_says_where_it_came_from(quantised, tmp_path: Path) -> None:
    made = quantised()
    before, after = Encoder.open(tmp_path / "small.onnx"), Encoder.open(tmp_path / "int8.onnx")
    assert after.id == made.encoder.id != before.id
    assert after.card.name == "small int8"
    assert (after.card.input, after.card.outputs) == (before.card.input, before.card.outputs)
    assert after.card.licence == "of the tests"
    assert after.card.quality == {}
    training = after.card.training
    assert training["seed"] == 7
    assert training["quantised_from"] == before.id
    assert training["calibration"]["images"] == 16
    assert training["calibration"]["calibrated_on"] == COUNT
    assert training["calibration"]["drawn"]
    assert training["quantised_cosines"] == made.cosines


def test_its_codes_are_near_the_float_codes(quantised, make_blobs, tmp_path: Path) -> None:
    made = quantised()
    assert 0.999 < made.cosines["code"] < 1
    before = Encoder.open(tmp_path / "small.onnx")
    for row in make_blobs(name="unseen", seed=5):
        data = read_file(row.image)
        one, other = (each.encode(data, name="x").vectors()[0] for each in (before, made.encoder))
        assert np.linalg.norm(one - other) < 0.05 * np.linalg.norm(one)


def test_distances_are_those_of_its_own_codes(quantised, make_blobs) -> None:
    made = quantised()
    # Drawn again by the same seed: the same pictures.
    rows = list(make_blobs(name="again"))
    codes = [made.encoder.encode(read_file(row.image), name="x").vectors()[0] for row in rows]
    nearest = [
        min(
            math.dist(codes[i], codes[j])
            for j in range(len(rows))
            if rows[i].case.lesion_id != rows[j].case.lesion_id
        )
        for i in range(len(rows))
    ]
    for percent, value in made.encoder.card.distances["code"].items():
        assert value == pytest.approx(np.percentile(nearest, int(percent)), abs=1e-5)


def test_weights_are_rounded_by_channel_first_layers_and_head_not(quantised) -> None:
    made = quantised()
    stored = initialisers(made.encoder)
    original = {
        each.name: onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(small_network()).graph.initializer
    }
    # Five products, the first of which is a fifth.
    for name in ("w0", "head"):
        assert np.array_equal(stored[name], original[name])
    for layer in (1, 2, 3):
        rounded, scales = stored[f"w{layer}_quantized"], stored[f"w{layer}_scale"]
        assert rounded.dtype == np.int8
        assert len(scales) == CHANNELS[layer + 1]
        for channel, scale in enumerate(scales):
            restored = rounded[channel] * scale
            assert np.abs(restored - original[f"w{layer}"][channel]).max() <= 0.501 * scale


def test_the_same_images_make_the_same_file(quantised, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    made = [quantised(out=tmp_path / name).encoder.data for name in ("a.onnx", "b.onnx")]
    assert made[0] == made[1]


def test_quantised_twice(quantised, tmp_path: Path) -> None:
    quantised()
    with pytest.raises(EncoderError, match=r"small int8 \(.*\) is quantised already"):
        quantise_encoder(
            tmp_path / "int8.onnx", calibration=tmp_path / "none", out=tmp_path / "b.onnx"
        )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (17, "has 16 benign and malignant images, 17 were asked for"),
        (9, "9 images are too few to calibrate on; ask for 10 or more"),
        (-1, "-1 images are too few"),
    ],
)
def test_too_few_images(quantised, tmp_path: Path, images: int, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        quantised(images=images)
    assert not (tmp_path / "int8.onnx").exists()


def test_a_single_lesion_has_no_distances(quantised, tmp_path: Path) -> None:
    table = tmp_path / "blobs" / "metadata.csv"
    lines = table.read_text().splitlines()
    one = [line.replace(line.split(",")[1], "same") for line in lines[1:]]
    table.write_text("\n".join([lines[0], *one]))
    with pytest.raises(SettingsError, match="shows a single lesion"):
        quantised()


def test_out_is_the_encoder_itself(quantised, tmp_path: Path) -> None:
    before = (tmp_path / "small.onnx").read_bytes()
    with pytest.raises(SettingsError, match="would replace the encoder itself"):
        quantised(out=tmp_path / "blobs" / ".." / "small.onnx")
    assert (tmp_path / "small.onnx").read_bytes() == before


def test_a_network_that_is_all_head(quantised, tmp_path: Path) -> None:
    write_small(tmp_path / "small.onnx", quantisable=False)
    with pytest.raises(EncoderError, match="no layer to quantise before its last"):
        quantised()


def test_what_the_tools_refuse_is_one_sentence(quantised, monkeypatch) -> None:
    def refuse(*_arguments, **_options) -> None:
        raise ValueError("node Foo is odd.\nand more")

    monkeypatch.setattr(quantisation, "quantize_static", refuse)
    with pytest.raises(EncoderError, match=r"cannot be quantised \(node Foo is odd\); use it as"):
        quantised()


def test_codes_too_far_off_leave_no_file(quantised, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(quantisation, "LEAST_COSINE", 1.5)
    with pytest.raises(DermtwinError, match=r"'code' would come out too far off \(median cosine"):
        quantised()
    assert not (tmp_path / "int8.onnx").exists()


def test_missing_packages_name_the_extra() -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import dermtwin\n"
        "from dermtwin.errors import MissingExtraError\n"
        "try:\n"
        "    dermtwin.quantise_encoder('a.onnx', calibration='b', out='c.onnx')\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "quantising needs more packages; run: pip install 'dermtwin[train]'" in done.stdout


# Whole numbers, as their squares neither vanish nor overflow.
NUMBERS = st.integers(-1000, 1000).map(float)
ROWS = st.lists(st.tuples(*[NUMBERS] * 3), min_size=1, max_size=4)


@given(ROWS, ROWS)
def test_cosines_are_those_of_a_loop(ones, others) -> None:
    pairs = list(zip(ones, others, strict=False))
    found = quantisation._cosines(
        *(np.array(side, np.float32) for side in zip(*pairs, strict=True))
    )
    for (one, other), cosine in zip(pairs, found, strict=True):
        lengths = math.hypot(*one) * math.hypot(*other)
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        assert cosine == pytest.approx(dot / lengths if lengths else float(one == other), abs=1e-9)
