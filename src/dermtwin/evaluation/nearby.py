"""openTSNE's approximate search for near codes, with somebody looking on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from openTSNE.dependencies.annoy import AnnoyIndex
from openTSNE.nearest_neighbors import Annoy

from dermtwin.evaluation.ranking import Floats
from dermtwin.running import Track

_TREES = 50  # openTSNE's own; FIt-SNE's too


class WatchedAnnoy(Annoy):  # type: ignore[misc]  # openTSNE has no types
    """`openTSNE.nearest_neighbors.Annoy`, which finds the very same neighbours in silence."""

    def __init__(self, codes: Floats, *, k: int, seed: int, track: Track) -> None:
        """An index of float64 [N, D] for the `k` nearest; see `build`."""
        super().__init__(codes, k, random_state=seed)
        self._track = track

    def build(self) -> tuple[NDArray[np.int64], Floats]:
        """Fill the index and ask it for each code's neighbours, which takes nearly all the time.

        Returns:
            Their rows, int64 [N, k], and distances, float64 [N, k].
        """
        count = len(self.data)
        self.index = self._filled()
        rows = np.empty((count, self.k), np.int64)
        distances = np.empty((count, self.k))
        for row in self._track(range(count), label="near codes", total=count):
            near, far = self.index.get_nns_by_item(row, self.k + 1, include_distances=True)
            rows[row], distances[row] = near[1:], far[1:]  # the first is the code itself
        return rows, distances

    def _filled(self) -> Any:  # noqa: ANN401 - openTSNE has no types
        index = AnnoyIndex(self.data.shape[1], self.metric)
        drawn = np.random.RandomState(self.random_state).randint(np.iinfo(np.int32).max)
        index.set_seed(drawn)
        for row, code in enumerate(self.data):
            index.add_item(row, code)
        index.build(_TREES, n_jobs=1)
        return index
