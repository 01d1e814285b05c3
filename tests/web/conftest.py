"""What the web's tests start from: a casebook of drawn lesions by the shipped encoder."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra 'web'")

sys.path.insert(0, str(Path(__file__).parents[1] / "casebook"))

from served import Clinic

import dermtwin
from dermtwin.datasets import read_dataset


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """A few drawn lesions, never to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "lesions"
    dermtwin.draw(folder, lesions_per_class=7, seed=3)
    return folder


@pytest.fixture(scope="session")
def drawn_book(tmp_path_factory, drawn) -> Path:
    """A casebook of them, never to be changed."""
    book = tmp_path_factory.mktemp("web") / "book"
    dermtwin.add(drawn, casebook=book)
    return book


@pytest.fixture(scope="session")
def staffed_book(tmp_path_factory, drawn_book) -> Path:
    """The same with one user a role, never to be changed."""
    book = shutil.copytree(drawn_book, tmp_path_factory.mktemp("staffed") / "book")
    clinic = Clinic(book)
    clinic.add_users()
    clinic.app.state.service.close()
    return book


@pytest.fixture(scope="session")
def photograph(tmp_path_factory) -> Path:
    """A picture of a lesion that the casebook does not hold."""
    folder = tmp_path_factory.mktemp("photograph")
    dermtwin.draw(folder / "lesions", lesions_per_class=1, seed=77)
    (row, *_) = read_dataset(folder / "lesions").rows
    return row.image.rename(folder / "photograph.jpg")


@pytest.fixture
def book(drawn_book, tmp_path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(drawn_book, tmp_path / "book")


@pytest.fixture
def foldered(drawn, tmp_path) -> Path:
    """A casebook of a folder with a folder for each class; a name there has a slash."""
    pictures = sorted(drawn.rglob("*.jpg"))[::7]
    for name in ("benign/IMG_0", "benign/IMG_0/image", "malignant/50% é?", "malignant/a%2Fb"):
        place = tmp_path / "folders" / f"{name}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures.pop(), place)
    dermtwin.add(tmp_path / "folders", casebook=tmp_path / "foldered")
    return tmp_path / "foldered"


@pytest.fixture
def clinic(book) -> Iterator[Clinic]:
    """A casebook without users, served."""
    clinic = Clinic(book)
    yield clinic
    clinic.app.state.service.close()


@pytest.fixture
def staffed(staffed_book, tmp_path) -> Iterator[Clinic]:
    """The same with one user a role."""
    clinic = Clinic(shutil.copytree(staffed_book, tmp_path / "staffed"))
    yield clinic
    clinic.app.state.service.close()


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess]:
    """The program, as a person runs it; its exit code is as expected."""

    def run(*words: object, code: int = 0, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", "from dermtwin.cli import main; main()"]
        done = subprocess.run(
            [*command, *map(str, words)], capture_output=True, check=False, text=True, **options
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run
