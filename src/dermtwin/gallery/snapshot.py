"""A gallery at one moment: who is eligible, who is nearest, how values are spread."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.gallery.filters import Condition, Filter, OneOf, Value
from dermtwin.gallery.nearest import Ranked, Rows, Scan, rank, slack_of
from dermtwin.gallery.table import UNKNOWN, Labels, View
from dermtwin.vocabulary import Hit

Mask = NDArray[np.bool_]

# Below this share of survivors their codes are gathered; above, everything is scanned and the
# others are blocked, which reads more but copies nothing.
_GATHER_BELOW = 0.3
_PRODUCTS = 2**22  # float32 held at once while many queries are asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """What a query must never get back: its own images, lesions and patients, as far as known."""

    isic_ids: frozenset[str] = frozenset()
    lesion_ids: frozenset[str] = frozenset()
    patient_ids: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.isic_ids or self.lesion_ids or self.patient_ids)

    def __or__(self, other: "Exclusion") -> "Exclusion":
        return Exclusion(
            isic_ids=self.isic_ids | other.isic_ids,
            lesion_ids=self.lesion_ids | other.lesion_ids,
            patient_ids=self.patient_ids | other.patient_ids,
        )

    def by_field(self) -> Mapping[str, frozenset[str]]:
        """The field's name with its values, for fields that have any."""
        fields = {
            "isic_id": self.isic_ids,
            "lesion_id": self.lesion_ids,
            "patient_id": self.patient_ids,
        }
        return {name: values for name, values in fields.items() if values}


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
        self._longest = float(view.halves.max(initial=0))

    def __len__(self) -> int:
        return len(self._view)

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
        chosen = _Chosen.of(self._view, filter)
        scans = chosen.scans(codes, exclude=exclude, longest=self._longest)
        return tuple(self._answer(chosen, scan, k=k, every_image=every_image) for scan in scans)

    def tally(
        self,
        name: str,
        *,
        filter: Filter | None = None,  # noqa: A002 - as in `search`
        exclude: Exclusion | None = None,
    ) -> dict[Value | None, int]:
        """Count the eligible cases by the values of one field; None counts the unknown."""
        chosen = _Chosen.of(self._view, filter)
        blocked = chosen.blocked_for(exclude or Exclusion())
        numbers, labels = self._view.column(name)
        numbers = chosen.taken(numbers)
        if blocked is not None:
            numbers = numbers[~blocked]
        counts = np.bincount(numbers + 1, minlength=len(labels.values) + 1)
        values = (None, *labels.values)
        return {values[place]: int(counts[place]) for place in np.flatnonzero(counts)}

    def _answer(self, chosen: "_Chosen", scan: Scan, *, k: int, every_image: bool) -> Found:
        eligible = scan.taking_part
        wanted = k if every_image else 2 * k + 16
        while True:
            ranked = rank(scan, wanted=wanted)
            hits = self._hits(chosen, ranked, k=k, every_image=every_image)
            if len(hits) == k or ranked.is_all:
                return Found(hits, eligible)
            wanted *= 4

    def _hits(
        self, chosen: "_Chosen", ranked: Ranked, *, k: int, every_image: bool
    ) -> tuple[Hit, ...]:
        rows, distances = chosen.rows_of(ranked.rows), ranked.distances
        rows = self._ties_by_name(rows, distances)
        if not every_image:
            first = self._first_of_lesion(rows)
            rows, distances = rows[first], distances[first]
        names, lesions = self._texts("isic_id", rows[:k]), self._texts("lesion_id", rows[:k])
        return tuple(
            Hit(place, str(name), lesion, float(distance))
            for place, (name, lesion, distance) in enumerate(
                zip(names, lesions, distances, strict=False), start=1
            )
        )

    def _ties_by_name(self, rows: Rows, distances: NDArray[np.float32]) -> Rows:
        if (distances[1:] != distances[:-1]).all():
            return rows
        names = np.array(list(self._texts("isic_id", rows)), dtype=np.str_)
        return rows[np.lexsort((names, distances))]

    def _first_of_lesion(self, rows: Rows) -> NDArray[np.intp]:
        numbers, _ = self._view.column("lesion_id")
        lesions = numbers[rows].astype(np.int64)
        lesions = np.where(lesions == UNKNOWN, UNKNOWN - rows, lesions)
        return np.sort(np.unique(lesions, return_index=True)[1])

    def _texts(self, name: str, rows: Rows) -> Iterator[str | None]:
        numbers, labels = self._view.column(name)
        for number in numbers[rows]:
            yield None if number == UNKNOWN else str(labels.values[number])

    def _check(self, codes: NDArray[np.float32], *, k: int, exclude: Sequence[Exclusion]) -> None:
        dimension = self._view.codes.shape[1]
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


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The rows that a search reads: all, or those under a filter that leaves few.

    Attributes:
        rows: their places in the view; None: all of it.
        barred: among them, those that the filter does not let through; None: it lets all.
    """

    view: View
    rows: Rows | None
    barred: Mask | None
    codes: NDArray[np.float32]
    halves: NDArray[np.float32]

    @classmethod
    def of(cls, view: View, wanted: Filter | None) -> "_Chosen":
        passing = _passing(view, wanted)
        if passing is None:
            return cls(view, None, None, view.codes, view.halves)
        if passing.sum() < _GATHER_BELOW * len(view):
            rows = np.flatnonzero(passing)
            return cls(view, rows, None, view.codes[rows], view.halves[rows])
        return cls(view, None, ~passing, view.codes, view.halves)

    def taken(self, column: NDArray[np.int32]) -> NDArray[np.int32]:
        return column if self.rows is None else column[self.rows]

    def rows_of(self, places: Rows) -> Rows:
        return places if self.rows is None else self.rows[places]

    def scans(
        self, queries: NDArray[np.float32], *, exclude: Sequence[Exclusion], longest: float
    ) -> Iterator[Scan]:
        slacks = [slack_of(query, longest=longest) for query in queries]
        for query, approximate, own, slack in zip(
            queries, self._approximations(queries), exclude, slacks, strict=True
        ):
            blocked = self.blocked_for(own)
            if blocked is not None:
                approximate[blocked] = np.inf
            yield Scan(
                query=query,
                codes=self.codes,
                approximate=approximate,
                slack=slack,
                blocked=blocked,
            )

    def _approximations(self, queries: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """For each query |x|²/2 - x·q of every chosen code; see `nearest.Scan`."""
        step = max(1, _PRODUCTS // max(1, len(self.codes)))
        for start in range(0, len(queries), step):
            with np.errstate(over="ignore", invalid="ignore"):
                values = self.halves - queries[start : start + step] @ self.codes.T
            yield from values

    def blocked_for(self, own: Exclusion) -> Mask | None:
        blocked = self.barred
        for name, values in own.by_field().items():
            numbers, labels = self.view.column(name)
            theirs = [number for value in values if (number := labels.number(value)) is not None]
            if theirs:
                mine = np.isin(self.taken(numbers), np.array(theirs, dtype=np.int32))
                blocked = mine if blocked is None else blocked | mine
        return blocked


def _passing(view: View, wanted: Filter | None) -> Mask | None:
    """Which rows meet every condition; None: there is no condition."""
    passing: Mask | None = None
    for condition in wanted.conditions if wanted else ():
        numbers, labels = view.column(condition.field)
        # A truth table over the field's distinct values; its last place speaks for the unknown.
        mine = _truth(condition, labels)[numbers]
        passing = mine if passing is None else passing & mine
    return passing


def _truth(condition: Condition, labels: Labels) -> Mask:
    if isinstance(condition, OneOf):
        truth = np.zeros(len(labels.values) + 1, dtype=np.bool_)
        for value in condition.values:
            number = labels.number(value)
            # A label beyond the table came in with a change that this view does not hold.
            if number is not None and number < len(truth) - 1:
                truth[number] = True
        return truth
    return np.array([condition.matches(value) for value in (*labels.values, None)])
