"""`dermtwin encoder check`: the card's figures, measured again."""

import json
import shutil
from dataclasses import replace
from subprocess import CompletedProcess

import pytest
from program import CONFIG, World, dermtwin

pytest.importorskip("torch", reason="training an encoder needs the extra 'train'")
onnx = pytest.importorskip("onnx")


def check(world: World, encoder: str, *arguments: object) -> CompletedProcess:
    return dermtwin("encoder", "check", encoder, *arguments, cwd=world.folder)


@pytest.fixture(scope="module")
def measured(made, tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("measured")
    shutil.copytree(made, folder, dirs_exist_ok=True, symlinks=True)
    world, settings = World(folder), ("--set", "optimiser.epochs=1", "--validation", "parts/test")
    world.do("train", CONFIG, "parts/train", "--out", "measured.onnx", *settings)
    return world


SIDES = ("--queries", "parts/test", "--gallery", "parts/train")


def test_the_figures_of_the_card_come_out_again(measured) -> None:
    done = check(measured, "measured.onnx", *SIDES, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["agrees"] is True
    assert len(found["figures"]) > 20
    for each in found["figures"].values():
        assert each["told"] == pytest.approx(each["found"], abs=1e-9)


def test_other_images_are_refused(measured) -> None:
    done = check(measured, "measured.onnx", "--queries", "parts/train", "--gallery", "parts/test")
    assert done.returncode == 1
    assert "parts/train holds other images" in " ".join(done.stderr.split())
    done = check(measured, "measured.onnx", "--queries", "parts/test")
    assert done.returncode == 1
    assert "measured with a gallery" in " ".join(done.stderr.split())


def _boast(figures: dict) -> None:
    figures["precision@10"]["value"] += 0.01


def _lack(figures: dict) -> None:
    del figures["precision@10"]


def _rename(figures: dict) -> None:
    figures["precision@11"] = figures.pop("precision@10")


@pytest.mark.parametrize(("change", "differing"), [(_boast, 1), (_lack, 1), (_rename, 2)])
def test_a_card_that_tells_other_figures_is_found_out(measured, change, differing) -> None:
    from dermtwin.encoders import Encoder, write_encoder

    encoder = Encoder.open(measured.folder / "measured.onnx")
    quality = json.loads(json.dumps(encoder.card.quality))
    change(quality["figures"]["code"]["gallery"])
    card = replace(encoder.card, quality=quality)
    model = onnx.load_from_string(encoder.data)
    del model.metadata_props[:]
    bare = bytes(model.SerializeToString())
    write_encoder(measured.folder / "other.onnx", model=bare, card=card)
    done = check(measured, "other.onnx", *SIDES)
    assert done.returncode == 1
    assert done.stdout.count("differs") == differing
    assert "Traceback" not in done.stderr


def test_without_figures_there_is_nothing_to_check(world) -> None:
    done = check(world, "paper.onnx", *SIDES)
    assert done.returncode == 1
    assert "has no figures to check" in " ".join(done.stderr.split())
