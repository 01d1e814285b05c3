"""What the tests of casebook and consultation start from; their conftests take it over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_casebooks import make_cases, make_encoder, write_dataset
from small_postgres import Server

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; one for each process of the tests, and for its whole run."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres, tmp_path) -> Iterator[str]:
    """A place for a casebook in a fresh PostgreSQL database; its files go to `tmp_path/book`."""
    database = postgres.new_database()
    yield postgres.url(database, images=tmp_path / "book")
    postgres.drop(database)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path) -> str:
    """A place for a new casebook, once of each kind; its files go to `tmp_path/book`."""
    if request.param == "sqlite":
        return str(tmp_path / "book")
    return str(request.getfixturevalue("postgres_url"))
