"""Values held against the archive's own schema; what it refuses is told and kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dermtwin.datasets.table import Row
from dermtwin.datasets.translation import OLDEST, years_of
from dermtwin.vocabulary import Case

_EXAMPLES = 3
# Names are free text in the schema, and checking them would spoil the cache.
_UNCHECKED = frozenset({"isic_id", "lesion_id", "patient_id", "rcm_case_id", "unstructured", "age"})


@dataclass(frozen=True, slots=True)
class _Refusal:
    column: str
    value: str
    reason: str


def check_values(rows: Iterable[Row], *, table: Path) -> tuple[str, ...]:
    """Describe the values that the archive's schema refuses: a sentence a column with examples."""
    known: dict[tuple[tuple[str, str], ...], tuple[_Refusal, ...]] = {}
    found: dict[str, list[tuple[int, _Refusal]]] = {}
    for row in rows:
        values = tuple(_checked_values(row.case))
        if values not in known:
            known[values] = _refusals(dict(values))
        for refusal in known[values]:
            found.setdefault(refusal.column, []).append((row.line, refusal))
    return tuple(_describe(column, found[column], table=table) for column in sorted(found))


def _checked_values(case: Case) -> Iterable[tuple[str, str]]:
    checked = _schema_columns()
    for name, value in case.known_fields():
        if name in checked:
            yield name, str(value)
    for name, value in case.extra.items():
        if name in checked:
            yield name, value


@cache
def _schema_columns() -> frozenset[str]:
    # Pydantic takes a tenth of a second to import: only those who read a table pay it.
    from isic_metadata.metadata import MetadataRow  # noqa: PLC0415

    levels = {f"{name}_{level}" for name in ("diagnosis", "anatom_site") for level in range(1, 6)}
    return (frozenset(MetadataRow.model_fields) | levels | {"age_approx"}) - _UNCHECKED


def _refusals(values: Mapping[str, str]) -> tuple[_Refusal, ...]:
    from isic_metadata.metadata import MetadataRow, convert_errors  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    # The archive publishes `age_approx` where its schema for contributors says `age`.
    row = {("age" if name == "age_approx" else name): value for name, value in values.items()}
    found: list[_Refusal] = []
    try:
        MetadataRow(**row)
    except ValidationError as error:
        found += [
            _refusal(values, ".".join(map(str, each["loc"])), each["msg"])
            for each in convert_errors(error)
        ]
    age = values.get("age_approx", "")
    # The schema makes 85 of every higher age.
    if years_of(age) > OLDEST and all(each.column != "age_approx" for each in found):
        found.append(_Refusal("age_approx", age, f"nobody is older than {OLDEST}"))
    return tuple(found)


def _refusal(values: Mapping[str, str], place: str, reason: str) -> _Refusal:
    column = "age_approx" if place == "age" else place
    levels = [value for name, value in values.items() if name.startswith(f"{column}_")]
    value = values.get(column) or ":".join(levels)
    return _Refusal(column or "row", value, reason.strip().rstrip("."))


def _describe(column: str, found: list[tuple[int, _Refusal]], *, table: Path) -> str:
    examples = [
        f"line {line}: {refusal.value!r} ({refusal.reason})" for line, refusal in found[:_EXAMPLES]
    ]
    more = f"; … and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
    return (
        f"{table}: {len(found)} values of {column} are refused by the archive's schema and kept "
        f"as text: {'; '.join(examples)}{more}"
    )
