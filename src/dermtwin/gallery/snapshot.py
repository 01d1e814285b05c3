"""A gallery at one moment: who is eligible, who is nearest, how values are spread."""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.gallery.filters import Filter, Value
from dermtwin.gallery.measures import Euclidean, Hamming, Measure, Ranked
from dermtwin.gallery.nearest import Pool
from dermtwin.gallery.popcount import loop_for
from dermtwin.gallery.selection import Exclusion, Part, parts
from dermtwin.gallery.table import NAMES, View
from dermtwin.running import in_order, with_help
from dermtwin.vocabulary import Hit

__all__ = ["Exclusion", "Found", "Snapshot"]

_TOGETHER = 16  # queries that go through the blocks together


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one query.

    Attributes:
        hits: nearest first; equal distances by isic_id.
        eligible: how many cases (images, not lesions) met the filter and were not excluded: those
            that the hits were chosen from.
    """

    hits: tuple[Hit, ...]
    eligible: int


class Snapshot:
    """A gallery's rows as of one change; never changes, so threads may share it.

    Attributes:
        version: number of the last change that is in it.
    """

    def __init__(self, view: View, *, version: int) -> None:
        self.version = version
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    @cached_property
    def _whole(self) -> list[Part]:
        """All blocks, made once: ten million cases have so many that it takes a tenth of a scan."""
        return list(parts(self._view, None))

    def _eligible(self, wanted: Filter | None) -> list[Part]:
        return self._whole if wanted is None else list(parts(self._view, wanted))

    def search(
        self,
        codes: NDArray[np.float32],
        *,
        k: int,
        filter: Filter | None = None,  # noqa: A002 - the word that all of dermtwin uses
        exclude: Sequence[Exclusion] | None = None,
        every_image: bool = False,
    ) -> tuple[Found, ...]:
        """Find the nearest cases of each query, exactly.

        Args:
            codes: float32 [Q, D], the queries.
            k: hits wanted, at least 1; fewer come back when fewer are eligible.
            filter: which cases may come back; None: all.
            exclude: for each query, what must not come back.
            every_image: let a lesion come back with each of its images; else only with its
                nearest. An image without a lesion counts as a lesion of its own.

        Returns:
            One answer a query.

        Raises:
            SettingsError: codes of another length, not finite, or k below 1.
        """
        exclude = [Exclusion()] * len(codes) if exclude is None else exclude
        self._check(codes, k=k, exclude=exclude)
        return self._answers(
            lambda part: Euclidean(self._view, codes[part]),
            exclude=exclude,
            eligible=self._eligible(filter),
            k=k,
            every_image=every_image,
        )

    def search_bits(  # noqa: PLR0913 - all that may be said of a search
        self,
        bits: NDArray[np.uint64],
        *,
        codes: NDArray[np.float32],
        k: int,
        filter: Filter | None = None,  # noqa: A002 - as in `search`
        exclude: Sequence[Exclusion] | None = None,
        every_image: bool = False,
    ) -> tuple[Found, ...]:
        """Find the nearest cases of each query by the Hamming distance of their bits, exactly.

        Equal ones are ordered by the Euclidean distance of their codes, which is the hits'
        `distance`, then by `isic_id`.

        Args:
            bits: uint64 [Q], the queries' bits, the first one highest.
            codes: float32 [Q, D], the queries' codes.
            k: as in `search`.
            filter: as in `search`.
            exclude: as in `search`.
            every_image: as in `search`.

        Raises:
            SettingsError: cases without bits, bits or codes of another shape, not finite, or k
                below 1.
        """
        exclude = [Exclusion()] * len(bits) if exclude is None else exclude
        self._check_bits(bits, codes=codes)
        self._check(codes, k=k, exclude=exclude)
        loop = loop_for(len(self)) if filter is None else None
        return self._answers(
            lambda part: Hamming(self._view, bits[part], codes=codes[part], loop=loop),
            exclude=exclude,
            eligible=self._eligible(filter),
            k=k,
            every_image=every_image,
        )

    def tally(
        self,
        name: str,
        *,
        filter: Filter | None = None,  # noqa: A002 - as in `search`
        exclude: Exclusion | None = None,
    ) -> dict[Value | None, int]:
        """Count the eligible cases by the values of one field; None counts the unknown."""
        counts: Counter[Value | None] = Counter()
        for part in self._eligible(filter):
            every = np.ones(len(part.block), np.bool_)
            taking = every if part.passing is None else part.passing.copy()
            taking[part.own(exclude or Exclusion())] = False
            rows = np.flatnonzero(taking)
            if name in NAMES:
                names = part.block.name(name)
                counts.update(names.at(row) for row in rows.tolist())
            else:
                numbers = np.bincount(part.block.number(name)[rows])
                values = (None, *self._view.label(name).values)
                counts.update({values[each]: int(numbers[each]) for each in numbers.nonzero()[0]})
        return dict(counts)

    def _answers(
        self,
        measure_of: Callable[[slice], Measure],
        *,
        exclude: Sequence[Exclusion],
        eligible: Sequence[Part],
        k: int,
        every_image: bool,
    ) -> tuple[Found, ...]:
        """The answers of queries: a few here, their blocks on all cores; many on all cores."""
        count = len(exclude)
        slices = [slice(start, start + _TOGETHER) for start in range(0, count, _TOGETHER)]
        alone = len(slices) == 1
        asked = _Asked(self._view, eligible, k=k, every_image=every_image, alone=alone)

        def answer(part: slice) -> list[Found]:
            return asked.answers(measure_of(part), exclude=exclude[part])

        answers = map(answer, slices) if len(slices) < 2 else in_order(answer, slices)
        return tuple(found for part in answers for found in part)

    def _check(self, codes: NDArray[np.float32], *, k: int, exclude: Sequence[Exclusion]) -> None:
        dimension = self._view.dimension
        if codes.ndim != 2 or codes.shape[1] != dimension or codes.dtype != np.float32:
            raise SettingsError(
                f"the query is {codes.dtype}{list(codes.shape)}; this gallery holds codes "
                f"float32[N, {dimension}]."
            )
        if not np.isfinite(codes).all():
            raise SettingsError("the query's code holds a value that is not a finite number.")
        if k < 1:
            raise SettingsError(f"k={k} asks for no case; ask for at least 1.")
        if len(exclude) != len(codes):
            raise SettingsError(f"{len(exclude)} exclusions for {len(codes)} queries.")

    def _check_bits(self, bits: NDArray[np.uint64], *, codes: NDArray[np.float32]) -> None:
        if bits.ndim != 1 or bits.dtype != np.uint64 or len(bits) != len(codes):
            raise SettingsError(
                f"the query's bits are {bits.dtype}{list(bits.shape)}; expected "
                f"uint64[{len(codes)}]."
            )
        if any(block.bits is None for block in self._view.blocks):
            raise SettingsError(
                "some cases here have no bits; search by their codes, or use an encoder with the "
                "output `bits`."
            )


class _Asked:
    """What is asked of every query of a search."""

    def __init__(
        self, view: View, eligible: Sequence[Part], *, k: int, every_image: bool, alone: bool
    ) -> None:
        self._view = view
        self._parts = eligible
        self._alone = alone
        self._k = k
        self._every_image = every_image
        self._starts = view.starts()

    def answers(self, measure: Measure, *, exclude: Sequence[Exclusion]) -> list[Found]:
        """An answer for each query of a measure."""
        # More than k are looked at, as several may be of one lesion; four times as many each time
        # that they do not suffice.
        wanted = self._k if self._every_image else 2 * self._k + 16
        found: dict[int, Found] = {}
        left = list(range(len(exclude)))
        while left:
            now = measure if len(left) == len(exclude) else measure.only(left)
            scanned = self._scanned(now, wanted=wanted, exclude=[exclude[each] for each in left])
            for place, ranked in zip(left, scanned, strict=True):
                hits = self._hits(ranked, is_by_bits=isinstance(measure, Hamming))
                if len(hits) == self._k or ranked.is_all:
                    found[place] = Found(hits, ranked.eligible)
            left = [each for each in left if each not in found]
            wanted *= 4
        return [found[place] for place in range(len(exclude))]

    def _scanned(
        self, measure: Measure, *, wanted: int, exclude: Sequence[Exclusion]
    ) -> list[Ranked]:
        """For each query its nearest rows."""
        left = deque(self._parts)

        def scan() -> list[Pool]:
            pools = measure.pools(wanted)
            for part in measure.scan(_drained(left), wanted=wanted, exclude=exclude):
                pools[part.place].offer(
                    part.values, first=part.first, rows=part.rows, eligible=part.taking
                )
            return pools

        # Of several slices of queries each has its own thread already.
        pools, *others = with_help(scan, pieces=measure.pieces(self._parts) if self._alone else 1)
        for theirs in others:
            for pool, other in zip(pools, theirs, strict=True):
                pool.join(other)
        return [measure.ranked(place, pool) for place, pool in enumerate(pools)]

    def _hits(self, ranked: Ranked, *, is_by_bits: bool) -> tuple[Hit, ...]:
        hits: list[Hit] = []
        seen: set[str] = set()
        for row, (hamming, distance) in self._ties_by_name(ranked):
            lesion = self._name("lesion_id", row)
            if lesion is not None and not self._every_image:
                if lesion in seen:
                    continue
                seen.add(lesion)
            name, bits = str(self._name("isic_id", row)), hamming if is_by_bits else None
            hits.append(Hit(len(hits) + 1, name, lesion, distance, bits))
            if len(hits) == self._k:
                break
        return tuple(hits)

    def _ties_by_name(self, ranked: Ranked) -> Sequence[tuple[int, tuple[int, float]]]:
        rows = ranked.rows.tolist()
        near = list(zip(ranked.hamming.tolist(), ranked.distances.tolist(), strict=True))
        if len(set(near)) < len(near):
            names = [str(self._name("isic_id", row)) for row in rows]
            order = sorted(range(len(rows)), key=lambda each: (near[each], names[each]))
            return [(rows[each], near[each]) for each in order]
        return list(zip(rows, near, strict=True))

    def _name(self, field: str, row: int) -> str | None:
        place = bisect_right(self._starts, row) - 1
        return self._view.blocks[place].name(field).at(row - self._starts[place])


def _drained(left: deque[Part]) -> Iterator[Part]:
    """Take from the left until nothing is left; several threads may."""
    with suppress(IndexError):
        while True:
            yield left.popleft()
