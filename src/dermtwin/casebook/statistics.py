"""How many of what a casebook holds, counted by the database."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from dermtwin.casebook import mapping, records
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.schema import AUDIT, CASES, LESIONS, PATIENTS
from dermtwin.vocabulary import DIAGNOSIS_LEVELS

Counts = Mapping[str | None, int]
"""How many cases have each value, the commonest first; None: the value is unknown."""

_FIELDS = (
    *DIAGNOSIS_LEVELS,
    "diagnosis_confirm_type",
    "anatom_site_general",
    "sex",
    "fitzpatrick_skin_type",
    "image_type",
    "attribution",
)
_BAND = 10  # years


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a casebook holds.

    Attributes:
        cases: how many images with their records.
        lesions: how many lesions they show, as far as known.
        patients: of how many patients, as far as known.
        images: how many image files; cases may share one.
        bytes: of the files on the disk, by kind: `record`, `images`, `thumbnails`, `encoders`; the
            record in PostgreSQL by that database's own measure.
        encoder: by which encoder the codes are: `id` and `name`; None before the first `add`.
        placed: how many cases have a place on the map; see `dermtwin map`.
        version: the number of the last change.
        changed_at: when the audit log last knew of a change, ISO 8601; None: not known.
        fields: for each field, its values with their counts; `age_approx` in bands of ten years.
    """

    cases: int
    lesions: int
    patients: int
    images: int
    bytes: Mapping[str, int]
    encoder: Mapping[str, str] | None
    placed: int
    version: int
    changed_at: str | None
    fields: Mapping[str, Counts]

    def to_json(self) -> dict[str, Any]:
        """As one JSON object; what is unknown is counted under the empty name."""
        plain = asdict(self)
        plain["fields"] = {
            name: {value or "": count for value, count in counts.items()}
            for name, counts in self.fields.items()
        }
        return plain


_CHANGING = ("add", "forget", "reencode")


def statistics(casebook: Casebook) -> Statistics:
    """Count a casebook: one moment of its record, and the files as they lie."""
    with casebook.reading() as connection:
        encoder = records.current_encoder(connection)
        count = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (CASES, LESIONS, PATIENTS)
        }
        images = connection.scalar(select(func.count(CASES.c.image_key.distinct()))) or 0
        changed = select(func.max(AUDIT.c.at)).where(AUDIT.c.verb.in_(_CHANGING))
        return Statistics(
            cases=count["cases"],
            lesions=count["lesions"],
            patients=count["patients"],
            images=images,
            bytes=_bytes(casebook, connection),
            encoder=None if encoder is None else {"id": encoder.id, "name": encoder.name},
            placed=mapping.placed(connection),
            version=records.version(connection),
            changed_at=connection.scalar(changed),
            fields=dict(_fields(connection)),
        )


def _fields(connection: Connection) -> Iterator[tuple[str, Counts]]:
    for name in _FIELDS:
        column = CASES.c[name]
        rows = connection.execute(select(column, func.count()).group_by(column)).all()
        yield name, dict(sorted(map(tuple, rows), key=lambda row: (-row[1], row[0] or "")))
    ages = CASES.c.age_approx
    bands: dict[int | None, int] = {}
    for age, count in connection.execute(select(ages, func.count()).group_by(ages)):
        band = None if age is None else age // _BAND * _BAND
        bands[band] = bands.get(band, 0) + count
    ordered = sorted(bands.items(), key=lambda each: (each[0] is None, each[0]))
    yield (
        "age_approx",
        {None if low is None else f"{low}–{low + _BAND - 1}": count for low, count in ordered},
    )


def _bytes(casebook: Casebook, connection: Connection) -> dict[str, int]:
    sizes = {"record": _record_bytes(casebook, connection)}
    for relative in casebook.store.files():
        kind = relative.partition("/")[0]
        path = casebook.store.path(relative)
        # What is forgotten meanwhile takes no room.
        sizes[kind] = sizes.get(kind, 0) + (path.stat().st_size if path.is_file() else 0)
    return sizes


def _record_bytes(casebook: Casebook, connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return connection.scalar(select(func.pg_database_size(func.current_database()))) or 0
    record = casebook.store.database.file
    files = record.parent.glob(f"{record.name}*")
    return sum(path.stat().st_size for path in files if path.is_file())
