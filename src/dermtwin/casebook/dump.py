"""The record's rows as text that either database takes back: a line of JSON a row.

The first line names the columns; bytes stand in base64. Rows of a table come in the order of its
key, so that equal records give equal text.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Integer, LargeBinary, Table, func, insert, select

from dermtwin.casebook.records import chunks
from dermtwin.casebook.schema import (
    AUDIT,
    AUDIT_SUBJECTS,
    CASES,
    CHANGES,
    CODES,
    COPIES,
    ENCODERS,
    HOLDS,
    IMAGES,
    KEYS,
    LESIONS,
    MAP_POINTS,
    MAPS,
    PATIENTS,
    TOKENS,
    USERS,
)

# In an order in which every row finds what it refers to. What is left out belongs to one place:
# its identity, its journal of files, and the steps that made it.
TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        PATIENTS,
        LESIONS,
        IMAGES,
        CASES,
        ENCODERS,
        CODES,
        MAPS,
        MAP_POINTS,
        CHANGES,
        AUDIT,
        AUDIT_SUBJECTS,
        HOLDS,
        COPIES,
        KEYS,
        USERS,
        TOKENS,
    )
}

_AT_ONCE = 1000  # rows in memory


def lines(connection: Connection, table: Table) -> Iterator[bytes]:
    """A table's rows, as they are at the connection's moment."""
    yield _line([column.name for column in table.columns])
    packed = _binary_places(list(table.columns.keys()), table)
    wanted = select(table).order_by(*table.primary_key.columns)
    for rows in connection.execute(wanted.execution_options(yield_per=_AT_ONCE)).partitions():
        for row in rows:
            values = list(row)
            for place in packed:
                if values[place] is not None:
                    values[place] = base64.b64encode(values[place]).decode()
            yield _line(values)


def take(connection: Connection, table: Table, text: Iterable[bytes]) -> int:
    """Insert rows that `lines` gave; tells how many.

    A column that they do not have stays null: an older record had none.

    Raises:
        ValueError: the text is not of this table.
    """
    remaining = iter(text)
    names = json.loads(next(remaining, b"[]"))
    if not names or not set(names) <= set(table.columns.keys()):
        raise ValueError(table.name)
    packed = _binary_places(names, table)
    count = 0
    for part in chunks(remaining, size=_AT_ONCE):
        connection.execute(insert(table), [_row(names, line, packed) for line in part])
        count += len(part)
    return count


def continue_numbers(connection: Connection) -> None:
    """See to it that no key that these rows ever had is given again.

    Keys of forgotten cases still stand in the list of changes; galleries know cases by them.
    """
    for table in TABLES.values():
        (key, *others) = table.primary_key.columns
        if others or key.foreign_keys or not isinstance(key.type, Integer):
            continue
        last = connection.scalar(select(func.max(key))) or 0
        if table is CASES:
            last = max(last, connection.scalar(select(func.max(CHANGES.c.case_key))) or 0)
        if last:
            _continue_from(connection, table.name, key.name, last)


def _continue_from(connection: Connection, table: str, key: str, last: int) -> None:
    statements = [f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), {last})"]
    if connection.dialect.name == "sqlite":
        # SQLite's own table of the last numbers given; it has no unique names.
        statements = [
            f"DELETE FROM sqlite_sequence WHERE name = '{table}'",  # noqa: S608 - our own names
            f"INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {last})",  # noqa: S608
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)


def _binary_places(names: list[str], table: Table) -> list[int]:
    return [
        place for place, name in enumerate(names) if isinstance(table.c[name].type, LargeBinary)
    ]


def _row(names: list[str], line: bytes, packed: list[int]) -> dict[str, Any]:
    values = json.loads(line)
    for place in packed:
        if values[place] is not None:
            values[place] = base64.b64decode(values[place], validate=True)
    return dict(zip(names, values, strict=True))


def _line(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
