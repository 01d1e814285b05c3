"""Which photographs an epoch is trained on, batch by batch, from seed and epoch alone."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import DatasetError, SettingsError

Indices = NDArray[np.int64]


class BalancedSampler:
    """Batches in which rare diagnoses weigh more, and a lesion is seen once an epoch at most.

    Of a class with N_c lesions, N_rarest · (N_c / N_rarest)^power take part in an epoch, to the
    nearest whole number; which ones, and which photograph of each, is drawn anew every epoch. Each
    batch has of each class its share of the epoch, rounded down or up.
    """

    def __init__(  # noqa: PLR0913 - what a draw depends on
        self,
        diagnosis: Sequence[int],
        lesions: Sequence[str],
        *,
        names: Sequence[str],
        power: float,
        per_batch: int,
        seed: int,
    ) -> None:
        """Group the photographs by lesion, and the lesions by diagnosis.

        Args:
            diagnosis: each photograph's class, from 0.
            lesions: each photograph's lesion.
            names: of the classes, for messages.
            power: 1 takes all lesions, 0 as many of each class as the rarest has.
            per_batch: photographs in a batch.
            seed: of every draw.

        Raises:
            DatasetError: a class of a single lesion, or a lesion of two classes.
            SettingsError: a power outside 0 to 1, or batches larger than an epoch.
        """
        if not 0 <= power <= 1:
            raise SettingsError(f"the sampler's power must be from 0 to 1, got {power}.")
        self._seed = seed
        self._per_batch = per_batch
        self._photographs = _by_lesion_by_class(diagnosis, lesions, names)
        sizes = [len(of_class) for of_class in self._photographs]
        rarest = min(sizes)
        self._takes = np.array([round(rarest * (size / rarest) ** power) for size in sizes])
        total = int(self._takes.sum())
        if not 1 <= per_batch <= total:
            raise SettingsError(
                f"a batch must hold from 1 to {total} photographs, the lesions of an epoch, "
                f"got {per_batch}."
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return int(self._takes.sum()) // self._per_batch

    def epoch(self, number: int) -> list[Indices]:
        """Draw an epoch's batches, each of `per_batch` indices; a last short one is dropped."""
        rng = np.random.default_rng([self._seed, number])
        drawn = [
            _one_of_each(of_class, take, rng)
            for of_class, take in zip(self._photographs, self._takes, strict=True)
        ]
        counts = _spread(self._takes, self._per_batch, order=rng.permutation(len(self)))
        ends = counts.cumsum(axis=0)
        return [
            rng.permutation(
                np.concatenate(
                    [
                        each[end - count : end]
                        for each, count, end in zip(drawn, row, row_ends, strict=True)
                    ]
                )
            )
            for row, row_ends in zip(counts, ends, strict=True)
        ]


def _by_lesion_by_class(
    diagnosis: Sequence[int], lesions: Sequence[str], names: Sequence[str]
) -> list[list[Indices]]:
    """The photographs of each lesion of each class that occurs."""
    class_of: dict[str, int] = {}
    photographs: dict[str, list[int]] = {}
    for index, (found, lesion) in enumerate(zip(diagnosis, lesions, strict=True)):
        if class_of.setdefault(lesion, found) != found:
            raise DatasetError(
                f"lesion {lesion} is both {names[class_of[lesion]]} and {names[found]}; give all "
                "its photographs one diagnosis or leave them out."
            )
        photographs.setdefault(lesion, []).append(index)
    counts = Counter(class_of.values())
    _refuse_single(counts, names)
    grouped: dict[int, list[Indices]] = {found: [] for found in sorted(counts)}
    for lesion, found in class_of.items():
        grouped[found].append(np.array(photographs[lesion], np.int64))
    return list(grouped.values())


def _refuse_single(counts: Counter[int], names: Sequence[str]) -> None:
    if not counts:
        raise DatasetError("there are no photographs to train on; name a dataset that has some.")
    single = [names[found] for found, count in sorted(counts.items()) if count == 1]
    if single:
        raise DatasetError(
            f"{', '.join(single)}: a single lesion each, with nothing to compare it to; add "
            "lesions or leave the diagnosis out."
        )


def _one_of_each(of_class: list[Indices], take: int, rng: np.random.Generator) -> Indices:
    """A photograph of each of `take` lesions, in random order."""
    chosen = rng.permutation(len(of_class))[:take]
    return np.array([rng.choice(of_class[lesion]) for lesion in chosen], np.int64)


def _spread(takes: Indices, per_batch: int, *, order: Indices) -> Indices:
    """How many of each class go into each batch, int64 [batches, classes].

    A class's share of a batch is takes · per_batch / total. Each batch gets the whole part; the
    fractions, laid end to end on a line, are met by a comb of unit spacing, whose start differs
    by 1 / batches from batch to batch (systematic sampling). So each count is a share rounded down
    or up, each batch is full, and no class is asked for more than it has.

    Args:
        takes: of each class in the epoch, int64 [classes].
        per_batch: photographs in a batch.
        order: which batch gets which start: a permutation of the batches.
    """
    total, batches = int(takes.sum()), len(order)
    whole, parts = np.divmod(takes * per_batch, total)
    # In units of 1 / (total · batches), so that nothing is rounded.
    edges = batches * np.concatenate([[0], parts.cumsum()])
    teeth_below = -((total * order[:, None] - edges[None, :]) // (total * batches))
    counts: Indices = whole + np.diff(teeth_below, axis=1)
    return counts
