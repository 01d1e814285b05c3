"""Cases page by page, and the photographs of a lesion."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.records import FIELD_COLUMNS, RECORDS, Record, record_of_row
from dermtwin.casebook.schema import CASES, LESIONS
from dermtwin.errors import SettingsError
from dermtwin.gallery import Filter
from dermtwin.gallery.filters import Condition, Known, OneOf
from dermtwin.vocabulary import FIELDS

_COLUMNS = dict(zip(FIELDS, FIELD_COLUMNS, strict=True))


class Order(StrEnum):
    """What comes first: names as the database sorts them, or the case that was added last."""

    NAME = "name"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page begins or ends; neither: it is the first one.

    Attributes:
        order: of all pages.
        after: the `next` of the page before; "": none.
        before: the `previous` of the page after; "": none.
    """

    order: Order = Order.NAME
    after: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some cases in their order.

    Attributes:
        records: these cases.
        previous: the `Place.before` of the page before this; None: this is the first.
        next: the `Place.after` of the page after this; None: this is the last.
    """

    records: tuple[Record, ...]
    previous: str | None
    next: str | None


def page(casebook: Casebook, *, filter: Filter, place: Place, limit: int) -> Page:  # noqa: A002
    """The cases under a filter next to a place, found by an index: page 1,000 is as fast as 1.

    Raises:
        SettingsError: the place is none.
    """
    conditions = [_meets(each) for each in filter.conditions]
    # One more than is shown tells whether any follow.
    wanted = _beside(RECORDS.where(*conditions), place).limit(limit + 1)
    with casebook.reading() as connection:
        found = [record_of_row(row) for row in connection.execute(wanted)]
    records, has_more, goes_back = found[:limit], len(found) > limit, bool(place.before)
    if not records:
        return Page(records=(), previous=None, next=None)
    if goes_back:
        records.reverse()
    has_previous = has_more if goes_back else bool(place.after)
    return Page(
        records=tuple(records),
        previous=_mark(records[0], place.order) if has_previous else None,
        next=_mark(records[-1], place.order) if goes_back or has_more else None,
    )


def of_lesion(casebook: Casebook, lesion_id: str) -> list[Record]:
    """The cases of a lesion, by name."""
    wanted = RECORDS.where(LESIONS.c.lesion_id == lesion_id).order_by(CASES.c.isic_id)
    with casebook.reading() as connection:
        return [record_of_row(row) for row in connection.execute(wanted)]


def images_of_lesions(casebook: Casebook, lesion_ids: Collection[str]) -> Mapping[str, int]:
    """How many cases each of these lesions has."""
    counted = (
        select(LESIONS.c.lesion_id, func.count())
        .select_from(CASES.join(LESIONS))
        .where(LESIONS.c.lesion_id.in_(lesion_ids))
        .group_by(LESIONS.c.lesion_id)
    )
    with casebook.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(counted)}


def _beside(wanted: Select[Any], place: Place) -> Select[Any]:
    """The cases from a place on, or, to go back, from it towards the first."""
    if place.after and place.before:
        raise SettingsError("a page lies after a case or before one; give only one of them.")
    by_name = place.order is Order.NAME
    column: ColumnElement[str] | ColumnElement[int] = CASES.c.isic_id if by_name else CASES.c.key
    climbs = by_name is not bool(place.before)
    if edge := place.after or place.before:
        value = edge if by_name else _number(edge)
        wanted = wanted.where(column > value if climbs else column < value)
    return wanted.order_by(column.asc() if climbs else column.desc())


def _number(edge: str) -> int:
    if not (edge.isascii() and edge.isdigit() and len(edge) <= _DIGITS):
        raise SettingsError(
            "the newest cases are paged by the numbers that answers call next and previous; "
            "start with the first page."
        )
    return int(edge)


_DIGITS = 18  # as many as fit in 64 bits


def _mark(record: Record, order: Order) -> str:
    return record.case.isic_id if order is Order.NAME else str(record.key)


def _meets(condition: Condition) -> ColumnElement[bool]:
    column = _COLUMNS[condition.field]
    if isinstance(condition, OneOf):
        return column.in_(condition.values)
    if isinstance(condition, Known):
        return column.is_not(None) if condition.known else column.is_(None)
    low = condition.low if condition.low is not None else 0
    within: ColumnElement[bool] = column >= low
    return within if condition.high is None else within & (column <= condition.high)
