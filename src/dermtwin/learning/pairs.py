"""Which pairs an epoch is trained on: half similar, half dissimilar, from seed and epoch alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import DatasetError

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of images, in the order to train on.

    Attributes:
        first, second: indices of images, int64 [pairs].
        dissimilar: the paper's Y, float32 [pairs]: 0 similar (one class), 1 dissimilar.
    """

    first: Indices
    second: Indices
    dissimilar: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def images(self) -> Indices:
        """All first images, then all second ones."""
        return np.concatenate([self.first, self.second])

    def batches(self, size: int) -> Iterator["Pairs"]:
        """The pairs in their order, `size` at a time; the last batch may be smaller."""
        for begin in range(0, len(self), size):
            rows = slice(begin, begin + size)
            yield Pairs(self.first[rows], self.second[rows], self.dissimilar[rows])


class PairSampler:
    """Draws an epoch's pairs, each by the numbers (seed, epoch), so that no state needs keeping.

    A quarter of the pairs is benign twice, a quarter malignant twice, a half one of each. Every
    image of a class is used once before any is used again. The two images of a pair never show one
    lesion: two photographs of one lesion would be similar for free.
    """

    def __init__(self, malignant: Sequence[bool], lesions: Sequence[str], *, seed: int) -> None:
        """Group the images.

        Args:
            malignant: each image's class.
            lesions: each image's lesion.
            seed: of every draw.

        Raises:
            DatasetError: a class without two lesions.
        """
        self._seed = seed
        self._lesions = np.unique(np.asarray(lesions, dtype=np.str_), return_inverse=True)[1]
        classes = np.asarray(malignant, dtype=bool)
        self._members = [np.flatnonzero(classes == wanted) for wanted in (False, True)]
        self._refuse_unpairable()

    def draw(self, count: int, *, epoch: int) -> Pairs:
        """Draw `count` pairs, rounded up to a multiple of four, for an epoch."""
        rng = np.random.default_rng([self._seed, epoch])
        quarter = -(-count // 4)
        benign, malignant = self._members
        kinds = ((benign, benign), (malignant, malignant), (benign, malignant), (malignant, benign))
        drawn = [self._draw_kind(anchors, others, quarter, rng) for anchors, others in kinds]
        labels = np.repeat(np.array([0, 0, 1, 1], np.float32), quarter)
        order = rng.permutation(4 * quarter)
        first = np.concatenate([pair[0] for pair in drawn])
        second = np.concatenate([pair[1] for pair in drawn])
        return Pairs(first[order], second[order], labels[order])

    def _draw_kind(
        self, anchors: Indices, others: Indices, count: int, rng: np.random.Generator
    ) -> tuple[Indices, Indices]:
        rounds = (rng.permutation(anchors) for _ in range(-(-count // len(anchors))))
        first = np.fromiter(islice(chain.from_iterable(rounds), count), np.int64, count)
        return first, self._partners(first, others, rng)

    def _partners(self, first: Indices, others: Indices, rng: np.random.Generator) -> Indices:
        """For each image one of `others` that shows another lesion, all equally likely."""
        # With the others sorted by lesion, those of the anchor's own lesion lie in one run; count
        # on from its end, round the corner, by less than what lies outside it.
        others = others[np.argsort(self._lesions[others], kind="stable")]
        sorted_lesions = self._lesions[others]
        own = self._lesions[first]
        begin = np.searchsorted(sorted_lesions, own, side="left")
        end = np.searchsorted(sorted_lesions, own, side="right")
        steps = rng.integers(0, len(others) - (end - begin))
        partners: Indices = others[(end + steps) % len(others)]
        return partners

    def _refuse_unpairable(self) -> None:
        counts = [len(set(self._lesions[members])) for members in self._members]
        for name, other, count in zip(
            ("benign", "malignant"), ("malignant", "benign"), counts, strict=True
        ):
            if count == 0:
                raise DatasetError(
                    f"all training images are {other}; pairs need {name} ones too: add some."
                )
            if count == 1:
                raise DatasetError(
                    f"the training images show only one {name} lesion; pairs need two of each "
                    "class at least: add images of others."
                )
