"""What the consultation's tests start from: the casebook's small datasets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "casebook"))

import pytest
from small_casebooks import make_cases, make_encoder, picture, write_dataset
from small_fixtures import dataset, encoder, encoder_file

from dermtwin.encoders import Encoder
from dermtwin.verbs.add import add

__all__ = ["dataset", "encoder", "encoder_file"]


@pytest.fixture(scope="module")
def with_bits(tmp_path_factory) -> Encoder:
    """Its bits come in equal groups, so that many cases are equally near."""
    return make_encoder(tmp_path_factory.mktemp("encoders") / "bits.onnx", has_bits=True)


@pytest.fixture(scope="module")
def bits_held(tmp_path_factory, with_bits) -> Path:
    """Sixty cases by that encoder in `book`, and a picture that none of them has; never changed."""
    folder = tmp_path_factory.mktemp("bits-held")
    path = folder / "encoder.onnx"
    path.write_bytes(with_bits.data)
    add(write_dataset(folder / "data", make_cases(60)), casebook=folder / "book", encoder=path)
    (folder / "query.jpg").write_bytes(picture(123_456))
    return folder
