"""`dermtwin encoder adopt` and `show`, and an adopted network on its whole way."""

import csv
import json
import os

import numpy as np
import pytest
from program import World, dermtwin

INPUT = ("--input-size", 48, "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")
LICENCE = ("--licence", "CC BY-NC 4.0, of a hospital")


def network() -> bytes:
    """Mean colours of four by four fields, by hand; named as Hugging Face names them."""
    onnx = pytest.importorskip("onnx", reason="building a graph needs the extra 'train'")
    helper, kinds = onnx.helper, onnx.TensorProto
    source = helper.make_tensor_value_info("pixel_values", kinds.FLOAT, ["b", "c", "h", "w"])
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["pixel_values"], ["map"], kernel_shape=[12, 12], strides=[12, 12]
            ),
            helper.make_node("Flatten", ["map"], ["pooled"]),
        ],
        "foreign",
        [source],
        [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in ("map", "pooled")],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


@pytest.fixture
def folder(tmp_path) -> World:
    (tmp_path / "foreign.onnx").write_bytes(network())
    return World(tmp_path)


def adopt(folder: World, *more: object) -> None:
    folder.do(*("encoder", "adopt", "foreign.onnx", "--out", "mine.onnx", *INPUT, *LICENCE, *more))


@pytest.mark.parametrize("verb", ["adopt", "quantise", "show"])
def test_each_has_help_with_an_example(verb, tmp_path) -> None:
    wide = os.environ | {"COLUMNS": "200"}
    done = dermtwin("encoder", verb, "--help", cwd=tmp_path, env=wide)
    assert done.returncode == 0
    assert f"Example: dermtwin encoder {verb} " in done.stdout


def test_the_package_offers_them() -> None:
    import dermtwin as package

    for name in ("adopt_encoder", "quantise_encoder", "show_encoder"):
        assert name in dir(package)
        assert getattr(package, name).__name__ == name


def test_an_adopted_network_adds_finds_and_is_measured(folder) -> None:
    adopt(folder, "--unit-length", "--name", "mine")
    folder.do("draw", "lesions", "--lesions-per-class", 8)
    folder.do("split", "lesions", "parts", "--train-per-class", 6, "--test-per-class", 2)
    folder.do("add", "parts/train", "--casebook", "cases", "--encoder", "mine.onnx")
    with (folder.folder / "parts/test/metadata.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    query = (folder.folder / "parts/test" / rows[0]["image"]).resolve()
    answer = json.loads(folder.do("find", query, "--casebook", "cases", "-k", 3, "--json").stdout)
    assert answer["eligible"] == 12
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
    folder.do(
        *("evaluate", "mine.onnx", "--queries", "parts/test"),
        *("--gallery", "parts/train", "--out", "report"),
    )
    assert (folder.folder / "report/report.html").exists()
    folder.do("check", "--casebook", "cases")


def test_the_nearest_case_is_the_nearest_by_the_codes(folder) -> None:
    adopt(folder, "--unit-length")
    folder.do("draw", "lesions", "--lesions-per-class", 5)
    folder.do("add", "lesions", "--casebook", "cases", "--encoder", "mine.onnx")
    lines = folder.do("encode", "lesions", "--encoder", "mine.onnx", "--json").stdout.splitlines()
    codes = {row["isic_id"]: np.array(row["code"]) for row in map(json.loads, lines)}
    for code in codes.values():
        assert np.linalg.norm(code) == pytest.approx(1, abs=1e-6)
    folder.do("draw", "others", "--lesions-per-class", 2, "--seed", 9)
    image = min((folder.folder / "others").rglob("*.jpg"))
    asked = json.loads(folder.do("encode", image, "--encoder", "mine.onnx", "--json").stdout)
    distances = {name: np.linalg.norm(code - asked["code"]) for name, code in codes.items()}
    found = folder.do("find", image, "--casebook", "cases", "-k", 1, "--json", "--every-image")
    (hit,) = json.loads(found.stdout)["hits"]
    assert hit["isic_id"] == min(distances, key=distances.__getitem__)
    assert hit["distance"] == pytest.approx(min(distances.values()), abs=1e-5)


def test_show_prints_the_card(folder) -> None:
    adopt(folder, "--crop", "square")
    shown = folder.do("encoder", "show", "mine.onnx").stdout
    for words in (
        "adopted from foreign.onnx",
        "48x48 pixels, pad, light as-is, mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25",
        "crop square, margin 0.2",
        "code [48], euclidean",
        "not measured",
        "CC BY-NC 4.0, of a hospital",
        "never states a diagnosis",
    ):
        assert words in shown
    facts = json.loads(folder.do("encoder", "show", "mine.onnx", "--json").stdout)
    assert list(facts) == ["file", "id", "size_bytes", "card"]
    assert facts["id"] in shown
    assert facts["size_bytes"] == (folder.folder / "mine.onnx").stat().st_size


def test_show_prints_figures_with_their_intervals(folder) -> None:
    from dermtwin.encoders import Card, InputSpec, OutputSpec, write_encoder

    model = network_named_as_an_encoders()
    figure = {"value": 0.81, "low": 0.79, "high": 0.83, "chance": 0.5, "queries": 1234}
    undefined = {"value": None, "low": None, "high": None, "chance": None, "queries": 1234}
    card = Card(
        name="measured",
        made_by="the tests",
        made_at="2026-01-01T00:00:00Z",
        input=InputSpec(size=48),
        outputs={"code": OutputSpec((48,))},
        training={"data": {"images": 1000, "drawn": True, "fingerprint": "abc"}},
        quality={
            "data": {"images": 1234, "lesions": 900, "malignant": 34, "benign": 1200}
            | {"fingerprint": "0123456789abcdef", "left_out": 2},
            "gallery": None,
            "figures": {
                "bits": {"gallery": {"diagnoses: mAP, macro": figure | {"value": 0.75}}},
                "code": {"gallery": {"precision@10": figure, "diagnoses: mAP, macro": undefined}},
            },
        },
        distances={"code": {"50": 0.25, "5": 0.125}},
        licence="none",
    )
    write_encoder(folder.folder / "measured.onnx", model=model, card=card)
    shown = folder.do("encoder", "show", "measured.onnx").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[lines.index("gallery, 1,234 queries") + 1 :][:2] == [
        "code 95 % interval bits chance",
        "precision@10 0.810 0.790 – 0.830 – 0.500",
    ]
    assert (
        "mAP, macro undefined – 0.750 0.500"
        in lines[lines.index("gallery, diagnoses, 1,234 queries") :]
    )
    assert "percentiles: 5 %: 0.125, 50 %: 0.25" in shown
    assert "learnt from 1,000 images (drawn, not real; fingerprint abc)" in lines
    told = "measured on 1,234 images of 900 lesions: 34 malignant, 1,200 benign"
    assert f"{told} (2 left out; fingerprint 0123456789ab)" in lines


def network_named_as_an_encoders() -> bytes:
    from dermtwin.encoders import InputSpec, adopted

    return adopted(network(), InputSpec(size=48), where="foreign.onnx").model


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (INPUT, 2, "--licence"),
        ((*INPUT, "--licence", ""), 1, "licence is empty"),
        ((*LICENCE, *INPUT, "--mean", "0.5,0.5"), 2, "not three numbers R,G,B"),
        ((*LICENCE, *INPUT, "--resize", "guess"), 2, "centre-square"),
        ((*LICENCE, *INPUT, "--crop", "round"), 2, "rectangle"),
        ((*LICENCE, *INPUT, "--output", "map"), 1, "'map' is [N, 3, 4, 4], a code is [N, D]"),
        ((*LICENCE, *INPUT, "--input-size", 4), 1, "outside 8"),
    ],
)
def test_bad_use_leaves_no_file(folder, arguments, code, words) -> None:
    done = folder.run("encoder", "adopt", "foreign.onnx", "--out", "mine.onnx", *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder.folder / "mine.onnx").exists()


def test_a_file_cut_in_half(folder) -> None:
    adopt(folder)
    for path, verb in (
        (folder.folder / "mine.onnx", ("show", "mine.onnx")),
        (
            folder.folder / "foreign.onnx",
            ("adopt", "foreign.onnx", "--out", "new.onnx", *INPUT, *LICENCE),
        ),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        done = folder.run("encoder", *verb)
        assert done.returncode == 1
        assert "not an ONNX file, or is cut short" in done.stderr
        assert "Traceback" not in done.stderr


def test_quantise_says_what_cannot_be(folder) -> None:
    adopt(folder)
    folder.do("draw", "lesions", "--lesions-per-class", 5)
    for out, words in (
        ("new.onnx", "no layer to quantise"),
        ("mine.onnx", "would replace the encoder itself"),
    ):
        done = folder.run(
            *("encoder", "quantise", "mine.onnx", "--calibration", "lesions"),
            *("--out", out, "--images", 10),
        )
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (folder.folder / "new.onnx").exists()
