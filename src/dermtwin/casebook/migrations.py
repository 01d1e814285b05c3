"""How the record came to its present shape: named steps, each applied once, with its record.

A step that was ever released is never edited; a new shape is a new step at the end.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, inspect, select

from dermtwin.casebook.schema import MIGRATIONS
from dermtwin.errors import CasebookError

Step = Callable[[Connection], None]

# What a database calls a number that it gives itself, never twice, and plain bytes.
_WORDS = {
    "sqlite": {"key": "INTEGER PRIMARY KEY AUTOINCREMENT", "bytes": "BLOB"},
}

_RECORD = """
CREATE TABLE migrations (name TEXT NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL);
CREATE TABLE patients (key {key}, patient_id TEXT NOT NULL UNIQUE);
CREATE TABLE lesions (key {key}, lesion_id TEXT NOT NULL UNIQUE);
CREATE TABLE images (
    key {key},
    sha256 TEXT NOT NULL UNIQUE,
    format TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE TABLE cases (
    key {key},
    isic_id TEXT NOT NULL UNIQUE,
    image_key INTEGER NOT NULL REFERENCES images (key),
    lesion_key INTEGER REFERENCES lesions (key),
    patient_key INTEGER REFERENCES patients (key),
    diagnosis_1 TEXT,
    diagnosis_2 TEXT,
    diagnosis_3 TEXT,
    diagnosis_4 TEXT,
    diagnosis_5 TEXT,
    diagnosis_confirm_type TEXT,
    age_approx INTEGER,
    sex TEXT,
    anatom_site_general TEXT,
    fitzpatrick_skin_type TEXT,
    image_type TEXT,
    attribution TEXT,
    copyright_license TEXT,
    extra TEXT NOT NULL
);
CREATE INDEX cases_image ON cases (image_key);
CREATE INDEX cases_lesion ON cases (lesion_key);
CREATE INDEX cases_patient ON cases (patient_key);
CREATE TABLE encoders (
    key {key}, id TEXT NOT NULL UNIQUE, card TEXT NOT NULL, is_current BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX encoders_current ON encoders (is_current) WHERE is_current;
CREATE TABLE codes (
    case_key INTEGER NOT NULL REFERENCES cases (key),
    encoder_key INTEGER NOT NULL REFERENCES encoders (key),
    vector {bytes} NOT NULL,
    PRIMARY KEY (case_key, encoder_key)
);
CREATE INDEX codes_encoder ON codes (encoder_key);
CREATE TABLE changes (
    seq {key},
    case_key INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('added', 'altered', 'forgotten'))
);
CREATE TABLE unsettled (path TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (path, owner))
"""


def _make_record(connection: Connection) -> None:
    words = _WORDS[connection.dialect.name]
    for statement in _RECORD.format(**words).split(";"):
        connection.exec_driver_sql(statement)


STEPS: Mapping[str, Step] = {"0001-record": _make_record}


def applied(connection: Connection) -> frozenset[str]:
    """The names of the steps behind this record; none: it is empty. Only reads."""
    if not inspect(connection).has_table(MIGRATIONS.name):
        return frozenset()
    return frozenset(connection.scalars(select(MIGRATIONS.c.name)))


def pending(connection: Connection, *, where: str) -> list[str]:
    """The names of the steps that this record still lacks, in their order. Only reads.

    Raises:
        CasebookError: the record is newer than this program, or somebody else's.
    """
    behind = applied(connection)
    if unknown := sorted(behind - STEPS.keys()):
        raise CasebookError(
            f"{where} was made by a newer dermtwin (it has {', '.join(unknown)}); "
            "update dermtwin to use it."
        )
    if not behind and (tables := inspect(connection).get_table_names()):
        raise CasebookError(
            f"{where} is no casebook: its database holds other tables ({', '.join(tables[:3])}); "
            "name another folder."
        )
    return [name for name in STEPS if name not in behind]


def migrate(engine: Engine, *, where: str) -> Iterator[str]:
    """Apply the pending steps, each in one transaction with its record, and yield their names.

    Args:
        engine: one whose transactions write.
        where: the casebook, for errors.

    Raises:
        CasebookError: see `pending`.
    """
    while True:
        with engine.begin() as connection:
            steps = pending(connection, where=where)
            if not steps:
                return
            STEPS[steps[0]](connection)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute(MIGRATIONS.insert().values(name=steps[0], applied_at=now))
        yield steps[0]
