"""One query's ranked result, as a checked object.

Equal distances have no order. A ranking therefore knows its groups of tied items, and every measure
is its expectation over all orders of the items within each group, all orders being equally likely
(McSherry & Najork, "Computing information retrieval performance measures efficiently in the
presence of tied scores", ECIR 2008).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dermtwin.errors import SettingsError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranking:
    """Every image that may come back for one query, nearest first.

    Attributes:
        query_class: the query's class.
        distances: float64 [n], ascending.
        classes: int64 [n], the class of each item.
        items: int64 [n], the row of each item in its gallery, none twice. Where distances are equal
            the order says nothing.
        by_view: where the query was asked in several views, the ranking of each; this one goes by
            the view that an item is nearest to.
    """

    query_class: int
    distances: Floats
    classes: Ints
    items: Ints
    by_view: tuple["Ranking", ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.distances), len(self.classes), len(self.items)}
        if len(lengths) != 1:
            raise SettingsError(f"a ranking's distances, classes, items have lengths {lengths}.")
        if not np.isfinite(self.distances).all() or (np.diff(self.distances) < 0).any():
            raise SettingsError("a ranking's distances must be numbers in ascending order.")
        # Counted, not sorted: this check runs for each query at each level.
        if np.bincount(self.items).max(initial=0) > 1:
            raise SettingsError("a ranking holds an item twice; each comes back once.")

    def __len__(self) -> int:
        return len(self.distances)

    @property
    def relevant(self) -> Flags:
        """Whether each item is of the query's class: bool [n]."""
        return np.equal(self.classes, self.query_class)

    @property
    def group_ends(self) -> Ints:
        """The last rank (from 1) of each group of equal distances: int64 [groups]."""
        last = np.append(np.diff(self.distances) != 0, True)[: len(self)]
        return np.flatnonzero(last) + 1


def rank(
    distances: ArrayLike,
    *,
    classes: ArrayLike,
    query_class: int,
    eligible: Flags | None = None,
) -> Ranking:
    """Rank a gallery for one query.

    Args:
        distances: float [N], from the query to each image of the gallery; or [views, N] from each
            of its views, of which the nearest counts.
        classes: int [N].
        query_class: the query's class.
        eligible: bool [N], which images may come back; None: all.

    Raises:
        SettingsError: the arrays do not fit together or hold something that is no number.
    """
    distances = np.asarray(distances, dtype=np.float64)
    classes = np.asarray(classes, dtype=np.int64)
    if distances.ndim not in (1, 2) or distances.shape[-1:] != classes.shape:
        raise SettingsError(
            f"distances {distances.shape} and classes {classes.shape} must be rows of one length."
        )
    if distances.ndim == 1 or len(distances) == 1:
        return _rank(distances.ravel(), classes, query_class=query_class, eligible=eligible)
    by_view = tuple(
        _rank(each, classes, query_class=query_class, eligible=eligible) for each in distances
    )
    nearest = _rank(distances.min(axis=0), classes, query_class=query_class, eligible=eligible)
    return replace(nearest, by_view=by_view)


def _rank(distances: Floats, classes: Ints, *, query_class: int, eligible: Flags | None) -> Ranking:
    items = np.arange(len(distances)) if eligible is None else np.flatnonzero(eligible)
    # Stable, so that the picture of a tie is the same everywhere; the measures do not look at it.
    order = items[np.argsort(distances[items], kind="stable")]
    return Ranking(
        query_class=query_class,
        distances=distances[order],
        classes=classes[order],
        items=order,
    )
