"""The casebook's own secrets: kept in its record, made when they are first needed."""

from enum import StrEnum

from sqlalchemy import insert, select

from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.schema import KEYS


class KeyName(StrEnum):
    """What a secret is for."""

    PSEUDONYMS = "pseudonyms"
    SESSIONS = "sessions"


def kept_key(casebook: Casebook, name: KeyName) -> bytes | None:
    """The casebook's secret; None: it has none yet."""
    with casebook.reading() as connection:
        return connection.scalar(select(KEYS.c.value).where(KEYS.c.name == name))


def keep_key(casebook: Casebook, name: KeyName, value: bytes) -> bytes:
    """The casebook's secret, which is `value` from now on unless it has one already."""
    with casebook.writing() as connection:
        kept = connection.scalar(select(KEYS.c.value).where(KEYS.c.name == name))
        if kept is None:
            connection.execute(insert(KEYS).values(name=name, value=value))
    return value if kept is None else kept
