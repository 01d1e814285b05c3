"""The search for near codes that somebody looks on."""

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("openTSNE", reason="a map is drawn by the extra 'evaluate'")

from openTSNE.nearest_neighbors import Annoy

from dermtwin.evaluation import layout
from dermtwin.evaluation.nearby import WatchedAnnoy

CODES = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)


class Onlooker:
    def __init__(self) -> None:
        self.seen: dict[str, tuple[int, int | None]] = {}

    def __call__(self, items, *, label, total=None) -> Iterator:
        for done, item in enumerate(items, start=1):
            yield item
            self.seen[label] = (done, total)


def test_it_finds_what_open_tsne_finds() -> None:
    data = CODES.astype(np.float64)
    rows, distances = Annoy(data, 30, random_state=5).build()
    watched = WatchedAnnoy(data, k=30, seed=5, track=(onlooker := Onlooker()))
    found = watched.build()
    np.testing.assert_array_equal(found[0], rows)
    np.testing.assert_array_equal(found[1], distances)
    assert onlooker.seen == {"near codes": (400, 400)}


def test_a_map_that_is_continued_tells_of_its_search(monkeypatch) -> None:
    monkeypatch.setattr(layout, "_MANY", 300)
    drawn = CODES[:, :2].astype(np.float64)
    layout.continued(drawn, CODES, seed=1, track=(onlooker := Onlooker()))
    assert onlooker.seen == {"near codes": (400, 400)}
