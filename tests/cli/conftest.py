"""One small world for the whole-way tests: drawn lesions, split, an encoder, a casebook."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "configs" / "paper.toml"


def dermtwin(*arguments: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run the program as a person would; its exit code is for the caller to look at."""
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()"]
    words = [*command, *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, check=False, text=True, **options)


@dataclass(frozen=True)
class World:
    folder: Path

    def run(self, *arguments: object, **options) -> subprocess.CompletedProcess:
        return dermtwin(*arguments, cwd=self.folder, **options)

    def do(self, *arguments: object, **options) -> subprocess.CompletedProcess:
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done


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
