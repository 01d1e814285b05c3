"""Artefacts drawn over any picture."""

import numpy as np
import pytest

from dermtwin.datasets import lay_artefact
from dermtwin.vocabulary import Artefact

SKIN = np.full((96, 128, 3), (200, 160, 140), np.uint8)


@pytest.mark.parametrize("kind", list(Artefact))
def test_an_artefact_changes_what_it_covers_and_little_else(kind) -> None:
    picture, mask = lay_artefact(SKIN, kind, seed=3)
    assert (picture.shape, picture.dtype, mask.shape) == (SKIN.shape, np.uint8, (96, 128))
    assert (SKIN == (200, 160, 140)).all()
    changed = np.abs(picture.astype(int) - SKIN).max(axis=2)
    assert mask.any()
    assert changed[mask].mean() > 4 * changed[~mask].mean() + 1


def test_equal_seeds_draw_equally() -> None:
    first, again = (lay_artefact(SKIN, Artefact.HAIR, seed=1) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], lay_artefact(SKIN, Artefact.HAIR, seed=2)[0])
