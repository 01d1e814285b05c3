"""What the tests of casebook and consultation start from; their conftests take it over."""

from pathlib import Path

import pytest
from small_casebooks import make_cases, make_encoder, write_dataset

from dermtwin.encoders import Encoder


@pytest.fixture(scope="session")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoders") / "small.onnx"
    make_encoder(path)
    return path


@pytest.fixture(scope="session")
def encoder(encoder_file: Path) -> Encoder:
    return Encoder.open(encoder_file)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty cases, never to be changed."""
    return write_dataset(tmp_path_factory.mktemp("dataset"), make_cases(40))
