"""Foreign networks, from several exporters: adopted they give the very codes they gave before."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_encoder import SIZE, SPEC, tiny_card, tiny_model

import dermtwin
from dermtwin.encoders import Encoder, OutputSpec, adopted, normalised
from dermtwin.encoders.graph import with_card
from dermtwin.errors import DermtwinError, EncoderError, SettingsError

onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
helper, kinds, numpy_helper = onnx.helper, onnx.TensorProto, onnx.numpy_helper
onnxscript = pytest.importorskip("onnxscript")
# Its compiler looks for these among the module's own names.
op, FLOAT = onnxscript.opset17, onnxscript.FLOAT

OPEN = ["batch_size", "num_channels", "height", "width"]
WEIGHTS = np.random.default_rng(4).normal(size=(3, 6)).astype(np.float32)
VIEWS = np.random.default_rng(5).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def built(
    nodes: Sequence[Any],
    *,
    image: Sequence[str | int] = ("N", 3, SIZE, SIZE),
    outputs: Sequence[str] = ("features",),
    source: str = "x",
    kind: int = kinds.FLOAT,
    out_kind: int = kinds.FLOAT,
    more_inputs: Sequence[Any] = (),
    ir_version: int = 9,
) -> bytes:
    """A graph by hand; its weights are `w` [3, 6] and `shape`, (0, 3)."""
    tensors = [
        numpy_helper.from_array(WEIGHTS, "w"),
        numpy_helper.from_array(np.array([0, 3], np.int64), "shape"),
    ]
    graph = helper.make_graph(
        list(nodes),
        "foreign",
        [helper.make_tensor_value_info(source, kind, list(image)), *more_inputs],
        [helper.make_tensor_value_info(name, out_kind, None) for name in outputs],
        tensors,
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=ir_version)
    return bytes(model.SerializeToString())


def pooling(*, source: str = "x", inner: str = "pooled", out: str = "features") -> list[Any]:
    return [
        helper.make_node("GlobalAveragePool", [source], [inner]),
        helper.make_node("Reshape", [inner, "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], [out]),
    ]


def tokens(*, source: str = "x") -> list[Any]:
    """[N, 3, H, W] to [N, 3, H]: as many rows a picture as it has channels."""
    return [helper.make_node("ReduceMean", [source], ["last_hidden_state"], axes=[3], keepdims=0)]


def by_hand(image: Sequence[str | int] = ("N", 3, SIZE, SIZE)) -> bytes:
    return built(pooling(), image=image)


def vision_transformer() -> bytes:
    """Named and left open as Hugging Face's exporter leaves it: tokens and a pooled output."""
    nodes = pooling(source="pixel_values", out="pooler_output") + tokens(source="pixel_values")
    outputs = ("last_hidden_state", "pooler_output")
    return built(nodes, image=OPEN, source="pixel_values", outputs=outputs)


def old_format() -> bytes:
    """IR version 3: weights are listed among the graph's inputs."""
    listed = [
        helper.make_tensor_value_info("w", kinds.FLOAT, [3, 6]),
        helper.make_tensor_value_info("shape", kinds.INT64, [2]),
    ]
    return built(pooling(), more_inputs=listed, ir_version=3)


def with_branches() -> bytes:
    """A branch reads `image` and `code` of the graph around it, which are other things there."""
    value = helper.make_tensor_value_info("picked", kinds.FLOAT, None)
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(kind, ["image", "code"], ["picked"])], name, [], [value]
        )
        for name, kind in (("then", "Add"), ("else", "Sub"))
    }
    nodes = [
        *pooling(out="image"),
        helper.make_node("Identity", ["w"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["code"], axes=[0], keepdims=1),
        helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0),
        helper.make_node("Less", ["brightest", "brightest"], ["never"]),
        helper.make_node("If", ["never"], ["features"], **branches),
    ]
    return built(nodes)


def by_onnxscript() -> bytes:
    kernel = np.random.default_rng(6).normal(size=(4, 3, 3, 3)).astype(np.float32)
    weights = numpy_helper.from_array(kernel, "kernel")

    @onnxscript.script(default_opset=op)
    def network(x: FLOAT["batch", 3, SIZE, SIZE]) -> FLOAT["batch", 4]:  # noqa: F821 - a size's name
        seen = op.Relu(op.Conv(x, op.Constant(value=weights), strides=[2, 2]))
        return op.Flatten(op.GlobalAveragePool(seen))

    return bytes(network.to_model_proto(ir_version=9).SerializeToString())


def by_spox() -> bytes:
    spox = pytest.importorskip("spox")
    import spox.opset.ai.onnx.v17 as ops

    x = spox.argument(spox.Tensor(np.float32, (None, 3, None, None)))
    flat = ops.reshape(ops.global_average_pool(x), ops.constant(value_ints=[0, 3]))
    code = ops.matmul(flat, ops.constant(value=WEIGHTS))
    return bytes(spox.build({"photo": x}, {"embedding": code}).SerializeToString())


def by_torch(*, any_number: bool) -> bytes:
    torch = pytest.importorskip("torch")
    from dermtwin.learning.export import onnx_bytes

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(20, 7),
    )
    example = torch.zeros(2 if any_number else 1, 3, SIZE, SIZE)
    return onnx_bytes(network.eval(), example, outputs=["logits"], any_number=any_number)


NETWORKS = {
    "by hand": by_hand,
    "one picture at a time": lambda: by_hand(image=(1, 3, SIZE, SIZE)),
    "vision transformer": vision_transformer,
    "old format": old_format,
    "with branches": with_branches,
    "onnxscript": by_onnxscript,
    "spox": by_spox,
    "torch, any number": lambda: by_torch(any_number=True),
    "torch, one picture": lambda: by_torch(any_number=False),
}


def original_codes(model: bytes, output: str) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    runs = [session.run([output], {source.name: normalised(each[None], SPEC)}) for each in VIEWS]
    return np.concatenate([run[0] for run in runs])


def adopt(path: Path, model: bytes, **changes: Any) -> Encoder:
    path.write_bytes(model)
    given = {"input_size": SIZE, "mean": SPEC.mean, "std": SPEC.std, "licence": "CC BY 4.0"}
    return dermtwin.adopt_encoder(path, out=path.with_suffix(".adopted"), **given | changes)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("unit_length", [False, True])
def test_an_adopted_network_gives_the_codes_it_gave(make, unit_length, tmp_path) -> None:
    model = make()
    encoder = adopt(tmp_path / "foreign.onnx", model, unit_length=unit_length)
    assert Encoder.open(tmp_path / "foreign.adopted").id == encoder.id
    expected = original_codes(model, encoder.card.training["adopted_output"])
    if unit_length:
        expected = np.stack(
            [row / np.sqrt(sum(float(each) ** 2 for each in row)) for row in expected]
        )
    codes = encoder.encode_views(VIEWS).vectors()
    np.testing.assert_allclose(codes, expected, atol=1e-5)
    assert np.ptp(codes, axis=0).max() > 1e-4  # pictures differ, so the test can fail

    parsed = onnx.load_from_string(encoder.data)
    onnx.checker.check_model(parsed, full_check=True)
    assert [value.name for value in parsed.graph.output] == ["code"]


def test_the_card_says_where_it_comes_from(tmp_path) -> None:
    model = vision_transformer()
    card = adopt(tmp_path / "dino.onnx", model, name="DINOv2").card
    assert card.name == "DINOv2"
    assert card.made_by == f"dermtwin {dermtwin.__version__}, adopted from dino.onnx"
    assert card.training["adopted_sha256"] == hashlib.sha256(model).hexdigest()
    assert card.training["adopted_output"] == "pooler_output"
    assert card.outputs["code"].shape == (6,)
    assert (card.quality, card.distances, card.licence) == ({}, {}, "CC BY 4.0")
    assert (card.input, card.preparation) == (SPEC, None)
    assert adopt(tmp_path / "dino.onnx", model).card.name == "dino"


def test_crops_are_padded_and_reach_the_card(tmp_path) -> None:
    card = adopt(tmp_path / "a.onnx", by_hand(), crop="rectangle").card
    assert card.preparation.shape == "rectangle"
    assert card.input.resize == "pad"
    with pytest.raises(SettingsError, match="centre-square would cut what crop square keeps"):
        adopt(tmp_path / "a.onnx", by_hand(), crop="square", resize="centre-square")


names = st.permutations(["image", "code", "x", "y", "features", "pooled"])


@settings(max_examples=60)
@given(names)
def test_names_that_are_taken_already_do_not_meet(order) -> None:
    source, inner, out, second, *_ = order
    nodes = [
        *pooling(source=source, inner=inner, out=out),
        helper.make_node("Neg", [out], [second]),
    ]
    model = built(nodes, source=source, outputs=(out, second))
    for chosen in (out, second):
        made = adopted(model, SPEC, where="foreign.onnx", output=chosen)
        encoder = Encoder(with_six(made.model), name="x")
        codes = encoder.encode_views(VIEWS).vectors()
        np.testing.assert_allclose(codes, original_codes(model, chosen), atol=1e-5)


def test_a_code_of_zeros_stays_zero_at_unit_length(tmp_path) -> None:
    nodes = [*pooling(out="y"), helper.make_node("Sub", ["y", "y"], ["features"])]
    encoder = adopt(tmp_path / "zero.onnx", built(nodes), unit_length=True)
    assert (encoder.encode_views(VIEWS).vectors() == 0).all()


def casting(kind: int) -> bytes:
    nodes = [*pooling(out="y"), helper.make_node("Cast", ["y"], ["features"], to=kind)]
    return built(nodes, out_kind=kind)


def half_precision() -> bytes:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=kinds.FLOAT), *pooling(source="y")]
    return built(nodes, kind=kinds.FLOAT16)


def two_codes() -> bytes:
    nodes = [*pooling(out="logits"), helper.make_node("Neg", ["logits"], ["embedding"])]
    return built(nodes, outputs=("logits", "embedding"))


def noisy() -> bytes:
    noise = helper.make_node("RandomNormalLike", ["y"], ["noise"])
    return built([*pooling(out="y"), noise, helper.make_node("Add", ["y", "noise"], ["features"])])


def infinite() -> bytes:
    nodes = [
        *pooling(out="y"),
        helper.make_node("Sub", ["y", "y"], ["zero"]),
        helper.make_node("Div", ["y", "zero"], ["features"]),
    ]
    return built(nodes)


def two_inputs() -> bytes:
    text = helper.make_tensor_value_info("input_ids", kinds.INT64, ["N", 77])
    return built(pooling(), more_inputs=[text])


def only_at_24_pixels() -> bytes:
    """Height and width left open, though the network works at 24 alone."""
    table = numpy_helper.from_array(np.zeros((1, 3, 24, 24), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["positions"], value=table),
        helper.make_node("Add", ["x", "positions"], ["placed"]),
        *pooling(source="placed"),
    ]
    return built(nodes, image=OPEN)


def feature_map() -> bytes:
    return built([helper.make_node("Relu", ["x"], ["features"])])


def transposed() -> bytes:
    return built(
        [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2]), *pooling(source="y")],
        image=("N", SIZE, SIZE, 3),
    )


def carded() -> bytes:
    return with_card(tiny_model(), tiny_card().to_json())


@pytest.mark.parametrize(
    ("make", "changes", "words"),
    [
        (lambda: b"text", {}, "not an ONNX file"),
        (lambda: by_hand()[:-99], {}, "cut short"),
        (lambda: tiny_model(external=True), {}, "keeps its weights in another file"),
        (carded, {}, "is a dermtwin encoder already"),
        (
            two_codes,
            {},
            r"several outputs of \[N, D\] among 'logits' \[N, 6\], 'embedding' \[N, 6\]",
        ),
        (two_codes, {"output": "embeding"}, "no output 'embeding'; it has 'logits'"),
        (
            vision_transformer,
            {"output": "last_hidden_state"},
            r"'last_hidden_state' is \[N, 3, 32\], a code is \[N, D\]; choose 'pooler_output'",
        ),
        (feature_map, {}, r"no output of \[N, D\], it gives 'features' \[N, 3, 32, 32\]"),
        (feature_map, {"output": "features"}, "export its pooled features"),
        (lambda: by_hand(image=("N", 3, 24, 48)), {}, "pictures of 48x24 pixels, not of 32x32"),
        (by_hand, {"input_size": 64}, "pictures of 32x32 pixels, not of 64x64"),
        (only_at_24_pixels, {}, "fails on a picture of 32x32 pixels, check --input-size"),
        (lambda: by_hand(image=(2, 3, SIZE, SIZE)), {}, r"\[2, 3, 32, 32\], an encoder takes"),
        (lambda: by_hand(image=("N", 1, SIZE, SIZE)), {}, r"\[N, 1, 32, 32\], an encoder takes"),
        (transposed, {}, r"\[N, 32, 32, 3\], an encoder takes"),
        (half_precision, {}, r"'x' as tensor\(float16\)"),
        (lambda: casting(kinds.FLOAT16), {}, "'features' is float16, a code is float32"),
        (lambda: casting(kinds.INT64), {}, "'features' is int64, a code is float32"),
        (two_inputs, {}, "2 inputs .*'input_ids'.* export its image part alone"),
        (noisy, {}, "differ by .* from run to run"),
        (infinite, {}, "'features' is not a number"),
        (by_hand, {"licence": " "}, "the licence is empty"),
        (by_hand, {"name": ""}, "the name is empty"),
        (by_hand, {"input_size": 4}, "outside 8"),
        (by_hand, {"std": (1.0, 1.0, 0.0)}, "std above 0"),
        (by_hand, {"mean": (float("nan"), 0.0, 0.0)}, "must be numbers"),
        (by_hand, {"out": "foreign.onnx"}, "would replace the network itself"),
    ],
)
def test_networks_that_are_refused_in_one_sentence(
    make, changes, words, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("foreign.onnx")
    path.write_bytes(make())
    given = {"input_size": SIZE, "mean": SPEC.mean, "std": SPEC.std, "licence": "none"}
    with pytest.raises(DermtwinError, match=words) as caught:
        dermtwin.adopt_encoder(path, **{"out": "new.onnx"} | given | changes)
    assert "\n" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["foreign.onnx"]


def test_no_such_file(tmp_path) -> None:
    with pytest.raises(EncoderError, match="no such file"):
        dermtwin.adopt_encoder(
            tmp_path / "none.onnx",
            out=tmp_path / "new.onnx",
            input_size=SIZE,
            mean=SPEC.mean,
            std=SPEC.std,
            licence="none",
        )


def test_a_file_cut_anywhere_is_refused() -> None:
    model = vision_transformer()
    for length in range(len(model)):
        with pytest.raises(EncoderError):
            adopted(model[:length], SPEC, where="cut.onnx")


def half_precision_encoder() -> bytes:
    cast = helper.make_node("Cast", ["image"], ["y"], to=kinds.FLOAT)
    nodes = [cast, *pooling(source="y", out="code")]
    return built(nodes, kind=kinds.FLOAT16, source="image", outputs=["code"])


def ready(image: Sequence[str | int]) -> bytes:
    nodes = pooling(source="image", out="code")
    return built(nodes, image=image, source="image", outputs=["code"])


def with_six(model: bytes) -> bytes:
    return with_card(model, tiny_card(outputs={"code": OutputSpec((6,))}).to_json())


@pytest.mark.parametrize("number", ["N", None, 1])
def test_an_encoder_runs_pictures_one_by_one(number) -> None:
    encoder = Encoder(with_six(ready([number, 3, SIZE, SIZE])), name="x")
    assert encoder.encode_views(VIEWS).vectors().shape == (3, 6)


@pytest.mark.parametrize(
    "make",
    [lambda: ready([2, 3, SIZE, SIZE]), lambda: ready(OPEN), half_precision_encoder, two_inputs],
    ids=["two pictures", "any size", "half precision", "two inputs"],
)
def test_an_encoder_with_another_input_is_refused(make) -> None:
    with pytest.raises(EncoderError, match=r"the card says 'image' float32 \[N or 1, 3"):
        Encoder(with_six(make()), name="x")


def test_show_encoder_describes_the_file(tmp_path) -> None:
    encoder = adopt(tmp_path / "a.onnx", by_hand())
    shown = dermtwin.show_encoder(tmp_path / "a.adopted")
    assert (shown.id, shown.card) == (encoder.id, encoder.card)
    assert shown.size_bytes == (tmp_path / "a.adopted").stat().st_size
    assert shown.to_json()["card"]["licence"] == "CC BY 4.0"


def test_a_picture_takes_the_same_way_as_to_any_encoder(tmp_path) -> None:
    encoder = adopt(tmp_path / "a.onnx", by_hand())
    buffer = io.BytesIO()
    Image.fromarray(VIEWS[0]).save(buffer, "PNG")
    code = encoder.encode(buffer.getvalue(), name="x").vectors()
    np.testing.assert_allclose(code, original_codes(by_hand(), "features")[:1], atol=1e-5)
