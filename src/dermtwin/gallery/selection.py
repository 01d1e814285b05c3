"""Which rows a question is about: those under its filter, without the query's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dermtwin.gallery.filters import Condition, Filter, Known, OneOf
from dermtwin.gallery.nearest import Rows
from dermtwin.gallery.table import NAMES, Block, Numbers, View

T = TypeVar("T", bound=np.generic)
Mask = NDArray[np.bool_]

# Below this share of survivors their codes are gathered; above, everything is scanned and the
# others are blocked, which reads more but copies nothing.
_GATHER_BELOW = 0.3
_FEW = 6  # comparisons of a whole column that are faster than looking each value up


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


@dataclass(frozen=True, kw_only=True)
class Part:
    """Those rows of one block that a question is about.

    Attributes:
        block: the block.
        first: the number of its first row.
        passing: [rows of the block], which of them take part; None: all.
        count: how many take part.
    """

    block: Block
    first: int
    passing: Mask | None
    count: int

    @cached_property
    def gathered(self) -> Rows | None:
        """The rows to gather for a scan, ascending; None: they are so many that all are read."""
        if self.passing is None or self.count >= _GATHER_BELOW * len(self.block):
            return None
        return np.flatnonzero(self.passing)

    def taken(self, column: NDArray[T]) -> NDArray[T]:
        """What is read of a column of the block."""
        return column if self.gathered is None else column.take(self.gathered, axis=0)

    def own(self, own: Exclusion) -> Rows:
        """The rows that take part and are the query's own, ascending."""
        if not own:
            return np.empty(0, np.intp)
        found = [self.block.name(each).rows_of(names) for each, names in own.by_field().items()]
        if not any(map(len, found)):
            return np.empty(0, np.intp)
        rows = np.unique(np.concatenate(found))
        return rows if self.passing is None else rows[self.passing[rows]]


def parts(view: View, wanted: Filter | None) -> Iterator[Part]:
    """The rows under a filter; None: all."""
    conditions = [
        (condition, None if condition.field in NAMES else _truth(condition, view))
        for condition in (wanted.conditions if wanted else ())
    ]
    for block, first in zip(view.blocks, view.starts(), strict=False):
        passing: Mask | None = None
        for condition, truth in conditions:
            mine = _passing(block, condition, truth)
            passing = mine if passing is None else passing & mine
        count = len(block) if passing is None else int(np.count_nonzero(passing))
        if count:
            yield Part(block=block, first=first, passing=passing, count=count)


def _truth(condition: Condition, view: View) -> Mask:
    """Whether a label's number meets a condition; the first place speaks for the unknown."""
    # A copy: labels that come in meanwhile belong to later views.
    values = (None, *view.label(condition.field).values)
    return np.array([condition.matches(value) for value in values])


def _passing(block: Block, condition: Condition, truth: Mask | None) -> Mask:
    if truth is not None:
        return _looked_up(block.number(condition.field), truth)
    names = block.name(condition.field)
    if isinstance(condition, Known):
        known = names.known()
        return known if condition.known else ~known
    passing = np.zeros(len(block), np.bool_)
    if isinstance(condition, OneOf):
        passing[names.rows_of([str(value) for value in condition.values])] = True
    return passing


def _looked_up(numbers: Numbers, truth: Mask) -> Mask:
    """`truth[numbers]`, the fastest way: numbers of one byte are compared at once."""
    chosen, others = np.flatnonzero(truth), np.flatnonzero(~truth)
    fewer = min(chosen, others, key=len)
    if len(fewer) <= _FEW:
        masks = [numbers == number for number in fewer.tolist()]
        mask: Mask = reduce(np.logical_or, masks) if masks else np.zeros(len(numbers), np.bool_)
        return mask if fewer is chosen else ~mask
    if numbers.dtype == np.uint8:
        table = np.resize(truth, 256).tobytes()
        return np.frombuffer(numbers.tobytes().translate(table), np.bool_)
    looked_up: Mask = truth[numbers]
    return looked_up
