import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermtwin.datasets import Dataset, draw_dataset


@pytest.fixture
def put_image() -> Callable[..., Path]:
    """Write a small picture, its folders with it; different seeds are different pictures."""

    def put(path: Path, *, seed: int = 0, side: int = 24) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(path)
        return path

    return put


@pytest.fixture(scope="session")
def few_drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Forty drawn lesions in small pictures."""
    folder = tmp_path_factory.mktemp("few") / "drawn"
    return draw_dataset(folder, lesions=40, seed=3, size=(120, 90))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder of real images named by the environment, for tests that skip without."""
    named = os.environ.get("DERMTWIN_DATA")
    if not named:
        pytest.skip("DERMTWIN_DATA names no folder of real images")
    return Path(named)
