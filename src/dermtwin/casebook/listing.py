"""Cases by name, page by page, and the photographs of a lesion."""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, func, select

from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.records import FIELD_COLUMNS, RECORDS, Record, record_of_row
from dermtwin.casebook.schema import CASES, LESIONS
from dermtwin.gallery import Filter
from dermtwin.gallery.filters import Condition, Known, OneOf
from dermtwin.vocabulary import FIELDS

_COLUMNS = dict(zip(FIELDS, FIELD_COLUMNS, strict=True))


def page(casebook: Casebook, *, filter: Filter, after: str, limit: int) -> list[Record]:  # noqa: A002
    """The first cases under a filter whose names come after one, in the order of their names."""
    conditions = [_meets(each) for each in filter.conditions]
    wanted = RECORDS.where(CASES.c.isic_id > after, *conditions)
    with casebook.reading() as connection:
        return [
            record_of_row(row)
            for row in connection.execute(wanted.order_by(CASES.c.isic_id).limit(limit))
        ]


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


def _meets(condition: Condition) -> ColumnElement[bool]:
    column = _COLUMNS[condition.field]
    if isinstance(condition, OneOf):
        return column.in_(condition.values)
    if isinstance(condition, Known):
        return column.is_not(None) if condition.known else column.is_(None)
    low = condition.low if condition.low is not None else 0
    within: ColumnElement[bool] = column >= low
    return within if condition.high is None else within & (column <= condition.high)
