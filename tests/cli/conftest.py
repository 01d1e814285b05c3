"""One small world for the whole-way tests: drawn lesions, split, an encoder, a casebook."""

import subprocess
from pathlib import Path

import pytest
from program import CONFIG, World


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """The world that every test starts from, made once."""
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    folder = tmp_path_factory.mktemp("world")
    world = World(folder)
    world.do("draw", "lesions", "--lesions-per-class", 24)
    world.do("split", "lesions", "parts", "--train-per-class", 20, "--test-per-class", 8)
    world.do(
        *("train", CONFIG, "parts/train", "--out", "paper.onnx", "--set", "optimiser.epochs=2")
    )
    world.do("add", "parts/train", "--casebook", "cases", "--encoder", "paper.onnx")
    return folder


@pytest.fixture
def world(made, tmp_path) -> World:
    """A copy that a test may spoil."""
    subprocess.run(["cp", "-a", f"{made}/.", tmp_path], check=True)
    return World(tmp_path)
