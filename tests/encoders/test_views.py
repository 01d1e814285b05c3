"""Test-time views: the eight of them, the codes of each, what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from dermtwin.datasets import draw_dataset
from dermtwin.encoders import Card, Encoder, InputSpec, OutputSpec, write_encoder
from dermtwin.encoders.views import symmetric_views
from dermtwin.errors import SettingsError

SIZE, NUMBERS, BITS, PLACES = 24, 6, 8, 3
OUTPUTS = {
    "bits": OutputSpec((BITS,), "hamming"),
    "code": OutputSpec((NUMBERS,)),
    "loose": OutputSpec((NUMBERS,)),
    "map": OutputSpec((PLACES, PLACES)),
    "regions": OutputSpec((PLACES, PLACES, 3), "dot"),
}


def sided_model() -> bytes:
    """A network to which every pixel's place matters: all outputs change when a picture turns.

    `code` is of length 1, `loose` the same numbers before; `regions` are mean colours of places.
    """
    onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
    helper, kinds, array = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array
    generator = np.random.default_rng(0)
    pixels = 3 * SIZE * SIZE
    weights = generator.normal(size=(pixels, NUMBERS)).astype(np.float32) / SIZE
    planes = generator.normal(size=(pixels, BITS)).astype(np.float32) / SIZE
    side = SIZE // PLACES
    nodes = [
        helper.make_node("Reshape", ["image", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["loose"]),
        helper.make_node("LpNormalization", ["loose"], ["code"], axis=1, p=2),
        helper.make_node("MatMul", ["flat", "planes"], ["bits"]),
        helper.make_node(
            "AveragePool", ["image"], ["places"], kernel_shape=[side, side], strides=[side, side]
        ),
        helper.make_node("Transpose", ["places"], ["regions"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["places"], ["map"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "sided",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info(name, kinds.FLOAT, ["N", *spec.shape])
            for name, spec in OUTPUTS.items()
        ],
        [
            array(weights, "weights"),
            array(planes, "planes"),
            array(np.array([0, pixels], np.int64), "row"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def sided(tmp_path_factory) -> Encoder:
    card = Card(
        name="sided",
        made_by="the tests",
        made_at="2026-01-01T00:00:00Z",
        input=InputSpec(size=SIZE),
        outputs=OUTPUTS,
        licence="none",
    )
    path = tmp_path_factory.mktemp("views") / "sided.onnx"
    return write_encoder(path, model=sided_model(), card=card)


@pytest.fixture(scope="module")
def lesion(tmp_path_factory) -> np.ndarray:
    """A drawn lesion, square and of the network's size, so that nothing is resampled."""
    folder = tmp_path_factory.mktemp("lesion")
    draw_dataset(folder, lesions=2, seed=4, size=(64, 64))
    path = min(folder.rglob("*.jpg"))
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((SIZE, SIZE)))


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def eight_by_hand(view) -> list[np.ndarray]:
    """Each pixel moved by the rule that defines its view: first as it is, then mirrored."""
    last = len(view) - 1
    sources = [
        lambda row, column: (row, column),
        lambda row, column: (column, last - row),
        lambda row, column: (last - row, last - column),
        lambda row, column: (last - column, row),
    ]
    found = []
    for is_mirrored in (False, True):
        for source in sources:
            moved = np.empty_like(view)
            for row in range(last + 1):
                for column in range(last + 1):
                    y, x = source(row, column)
                    moved[row, column] = view[y, last - x if is_mirrored else x]
            found.append(moved)
    return found


def test_the_views_are_the_eight_by_hand(lesion) -> None:
    views = symmetric_views(lesion, views=8)
    assert views.shape == (8, SIZE, SIZE, 3)
    assert views.dtype == np.uint8
    for view, expected in zip(views, eight_by_hand(lesion), strict=True):
        np.testing.assert_array_equal(view, expected)
    assert len({view.tobytes() for view in views}) == 8


@pytest.mark.parametrize("views", [1, 4, 8])
def test_codes_are_those_of_each_view_by_itself(sided, lesion, views) -> None:
    singles = [sided.encode_views(view[None]).by_output for view in eight_by_hand(lesion)[:views]]
    found = sided.encode(png(lesion), name="lesion", views=views).by_output
    for name, spec in OUTPUTS.items():
        assert found[name].shape == (views, *spec.shape)
        np.testing.assert_array_equal(found[name], np.concatenate([each[name] for each in singles]))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_turned_picture_has_the_same_views(sided, lesion, turns, is_mirrored) -> None:
    moved = np.rot90(lesion[:, ::-1] if is_mirrored else lesion, turns)
    ours, theirs = (
        sorted(map(tuple, sided.encode(png(each), name="lesion", views=8).vectors().tolist()))
        for each in (lesion, moved)
    )
    assert ours == theirs
    if turns or is_mirrored:
        alone = [sided.encode(png(each), name="lesion").vectors() for each in (lesion, moved)]
        assert np.abs(alone[0] - alone[1]).max() > 1e-2


@pytest.mark.parametrize("views", [0, 2, 7, 9, -8])
def test_other_numbers_of_views_are_refused(sided, lesion, views) -> None:
    with pytest.raises(SettingsError, match=rf"^a picture cannot be asked in {views} views; .* 8"):
        sided.encode(png(lesion), name="lesion", views=views)
