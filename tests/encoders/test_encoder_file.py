import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_encoder import SIZE, SPEC, tiny_card, tiny_model

from dermtwin.encoders import Encoder, OutputSpec, look_at, normalised, write_encoder
from dermtwin.encoders.card import card_from_json
from dermtwin.encoders.graph import CARD_KEY, with_card
from dermtwin.errors import EncoderError, ImageError


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(count: int) -> list[bytes]:
    noise = np.random.default_rng(1).integers(0, 256, (count, 50, 70, 3), dtype=np.uint8)
    return [png(image) for image in noise]


def test_codes_are_what_the_graph_says(make_encoder) -> None:
    encoder = make_encoder()
    weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    for data in pictures(4):
        pixels = normalised(look_at(data, SPEC, name="x").view[None], SPEC)
        expected = pixels.mean(axis=(2, 3)) @ weights
        np.testing.assert_allclose(
            encoder.encode(data, name="x").vectors(), expected, rtol=1e-4, atol=1e-6
        )


def test_a_code_does_not_depend_on_its_batch(make_encoder) -> None:
    encoder = make_encoder()
    data = pictures(7)
    views = np.stack([look_at(each, SPEC, name="x").view for each in data])
    singles = np.concatenate([encoder.encode(each, name="x").vectors() for each in data])
    np.testing.assert_array_equal(encoder.encode_views(views).vectors(), singles)
    assert encoder.encode_views(views[:0]).vectors().shape == (0, 5)


def test_the_file_keeps_card_and_graph(make_encoder, tmp_path, model) -> None:
    written = make_encoder(distances={"code": {"50": 1.5}}, preparation=None)
    read = Encoder.open(tmp_path / "tiny.onnx")
    assert read.card == written.card == tiny_card(distances={"code": {"50": 1.5}})
    assert read.id == hashlib.sha256((tmp_path / "tiny.onnx").read_bytes()).hexdigest()
    assert read.data.startswith(model)

    import onnx

    parsed = onnx.load_from_string(read.data)
    onnx.checker.check_model(parsed)
    assert [entry.key for entry in parsed.metadata_props] == [CARD_KEY]


def test_bits_are_signs_in_hexadecimal(make_encoder) -> None:
    from dermtwin.encoders import Codes

    values = np.array([[1, -1, 0, 2, -3, -1, -1, 0.5] * 4], np.float32)
    assert Codes({"bits": values}).bits() == ["91919191"]
    assert make_encoder().encode(pictures(1)[0], name="x").bits() is None


def test_an_output_it_has_not_is_named(make_encoder) -> None:
    make_encoder().check_output("code")
    with pytest.raises(EncoderError, match="no output 'map'; it has code"):
        make_encoder().check_output("map")


def test_a_bad_picture_is_an_image_error(make_encoder) -> None:
    with pytest.raises(ImageError, match="album/3"):
        make_encoder().encode(b"text", name="album/3")


def carded(**changes: object) -> bytes:
    return with_card(tiny_model(), tiny_card(**changes).to_json())


def edited_card(**changes: object) -> bytes:
    return with_card(tiny_model(), json.dumps(json.loads(tiny_card().to_json()) | changes))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "not an ONNX file"),
        (lambda: b"plain text", "not an ONNX file"),
        (lambda: png(np.zeros((9, 9, 3), np.uint8)), "not an ONNX file"),
        (lambda: carded()[:150], "not an ONNX file|cut short"),
        (tiny_model, "no card"),
        (lambda: with_card(carded(), tiny_card().to_json()), "2 cards"),
        (lambda: with_card(tiny_model(), "{"), "not one of dermtwin's"),
        (lambda: with_card(tiny_model(), "[1]"), "not one of dermtwin's"),
        (lambda: edited_card(format=2), "format 2"),
        (lambda: edited_card(mood="fine"), "unknown fields: mood"),
        (lambda: edited_card(input={"size": -3, "mean": [0] * 3, "std": [1] * 3}), "wrong value"),
        (
            lambda: with_card(tiny_model(external=True), tiny_card().to_json()),
            "keeps its weights in another file",
        ),
        (lambda: carded(input=replace(SPEC, size=64)), "the card says 'image'"),
        (lambda: carded(outputs={"map": OutputSpec((25, 25))}), "does not give map"),
        (lambda: carded(outputs={}), "does not give any output"),
    ],
)
def test_files_that_are_refused(make, words, tmp_path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(make())
    with pytest.raises(EncoderError, match=words) as caught:
        Encoder.open(path)
    assert str(path) in str(caught.value)


def test_missing_file_says_so(tmp_path) -> None:
    with pytest.raises(EncoderError, match="no such file"):
        Encoder.open(tmp_path / "none.onnx")


def test_external_data_is_found_wherever_it_hides(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    hidden = kinds(name="w", data_type=kinds.FLOAT, dims=[1], data_location=kinds.EXTERNAL)
    hidden.external_data.add(key="location", value="secrets.bin")
    value = helper.make_tensor_value_info("y", kinds.FLOAT, [1])
    condition = helper.make_tensor_value_info("image", kinds.BOOL, [])
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [value], [hidden]
    )
    constant = helper.make_node("Constant", [], ["y"], value=hidden)
    branch = helper.make_node("If", ["image"], ["y"], then_branch=inner, else_branch=inner)
    for node in (constant, branch):
        graph = helper.make_graph([node], "outer", [condition], [value])
        path = tmp_path / "hidden.onnx"
        path.write_bytes(with_card(helper.make_model(graph).SerializeToString(), "{}"))
        with pytest.raises(EncoderError, match="another file"):
            Encoder.open(path)


def test_a_graph_that_disagrees_with_its_card_leaves_no_file(tmp_path) -> None:
    path = tmp_path / "new.onnx"
    card = tiny_card(outputs={"bits": OutputSpec((64,))})
    with pytest.raises(EncoderError):
        write_encoder(path, model=tiny_model(), card=card)
    assert list(tmp_path.iterdir()) == []


def test_an_output_of_the_wrong_shape_is_refused_when_met(make_encoder) -> None:
    encoder = make_encoder(outputs={"code": OutputSpec((7,))})
    with pytest.raises(EncoderError, match=r"the card says\s+float32\[1, 7\]"):
        encoder.encode(pictures(1)[0], name="x")


def test_card_text_is_the_same_for_equal_cards() -> None:
    card = tiny_card()
    assert card.to_json() == card_from_json(card.to_json(), where="x").to_json()
    assert card.input.size == SIZE
