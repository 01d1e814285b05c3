"""95 % intervals by a bootstrap over lesions.

Photographs of one lesion are no independent evidence, so lesions are resampled, not images. Only
the queries are resampled: the gallery stays as it is, since a duplicated gallery image would come
back as its own twin. An interval therefore says how a figure would move with other queries; it says
nothing of another gallery or another training run.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.ranking import Floats, Ints
from dermtwin.evaluation.subjects import Names

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Resamples:
    """Lesions drawn with replacement, again and again.

    Attributes:
        counts: float64 [resamples, lesions], how often each lesion was drawn.
        lesion_of: int64 [Q], the column of each query's lesion.
    """

    counts: Floats
    lesion_of: Ints

    def weights(self) -> Iterator[Floats]:
        """For each resample, how often each query counts: float64 [Q]."""
        for row in self.counts:
            yield row[self.lesion_of]

    def sums(self, values: Floats) -> Floats:
        """Sum over queries for each resample: float64 [Q, …] to float64 [resamples, …]."""
        by_lesion = np.zeros((self.counts.shape[1], *values.shape[1:]))
        np.add.at(by_lesion, self.lesion_of, values)
        return self.counts @ by_lesion

    def means(self, values: Floats) -> Floats:
        """Mean over the queries where it is defined: float64 [Q, …] to float64 [resamples, …]."""
        defined = ~np.isnan(values)
        return ratio(self.sums(np.where(defined, values, 0)), self.sums(defined.astype(np.float64)))

    def each(self, statistic: Callable[[Floats], float]) -> Floats:
        """A statistic of the queries' weights, for each resample: float64 [resamples]."""
        return np.array([statistic(weights) for weights in self.weights()])

    def blocks(self, size: int) -> Iterator[Floats]:
        """The weights of `size` resamples at a time: float64 [size, Q]."""
        for start in range(0, len(self.counts), size):
            yield self.counts[start : start + size, self.lesion_of]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Statistic:
    """A number and what it comes to when lesions are drawn anew.

    Two statistics of the same resamples can be subtracted, draw by draw: a paired difference.

    Attributes:
        value: on the queries as they are.
        resampled: float64 [resamples].
    """

    value: float
    resampled: Floats

    def __sub__(self, other: "Statistic") -> "Statistic":
        return Statistic(value=self.value - other.value, resampled=self.resampled - other.resampled)

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval."""
        low, high = interval(self.resampled)
        return float(low), float(high)


def mean_of(values: Floats, *, resamples: Resamples) -> Statistic:
    """The mean over the queries that define a measure: float64 [Q], NaN where not defined."""
    return Statistic(value=mean(values), resampled=resamples.means(values))


def macro_of(
    values: Floats, *, classes: Ints, among: Collection[int], resamples: Resamples
) -> Statistic:
    """The mean of the classes' means, each class counting the same however many queries it has.

    Args:
        values: float64 [Q], NaN where not defined.
        classes: int64 [Q].
        among: the classes to average over; without a query of one of them it is not defined, in
            the data or in a resample.
        resamples: of these queries' lesions.
    """
    by_class = np.where(classes[:, None] == np.array(sorted(among)), values[:, None], np.nan)
    return Statistic(
        value=macro_mean(values, classes=classes, among=among),
        resampled=resamples.means(by_class).sum(axis=1) / max(len(among), 1),
    )


def macro_mean(values: Floats, *, classes: Ints, among: Collection[int]) -> float:
    """The value of `macro_of` alone."""
    means = [mean(values[classes == each]) for each in sorted(among)]
    return float(np.mean(means)) if means else float("nan")


def mean(values: Floats) -> float:
    """The mean of what is defined; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def resample(clusters: Names, *, seed: int, resamples: int = RESAMPLES) -> Resamples:
    """Draw lesions with replacement, as many as there are.

    Args:
        clusters: str [Q], each query's lesion.
        seed: of the drawing.
        resamples: how often.
    """
    names, lesion_of = np.unique(clusters, return_inverse=True)
    generator = np.random.default_rng(seed)
    shares = np.full(len(names), 1 / len(names))
    counts = generator.multinomial(len(names), shares, size=resamples)
    return Resamples(counts=counts.astype(np.float64), lesion_of=lesion_of)


def interval(values: Floats) -> Floats:
    """The middle 95 % of resampled values: float64 [resamples, …] to float64 [2, …].

    Resamples in which the figure is not defined (for example without one of the classes) are left
    out; where none is left, NaN.
    """
    tail = (1 - COVERAGE) / 2
    flat = values.reshape(len(values), -1)
    bounds = np.full((2, flat.shape[1]), np.nan)
    known = ~np.isnan(flat).all(axis=0)
    bounds[:, known] = np.nanquantile(flat[:, known], [tail, 1 - tail], axis=0)
    return bounds.reshape((2, *values.shape[1:]))


def ratio(above: Floats, below: Floats) -> Floats:
    """Element by element above/below; NaN where below is 0."""
    above, below = np.broadcast_arrays(above, below)
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below != 0)
    return result
