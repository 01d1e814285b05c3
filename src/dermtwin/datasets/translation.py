"""Other tables' words in the archive's: HAM10000, the ISIC challenges, the site hierarchy.

A column is only filled where the table does not have it itself.
"""

from collections.abc import Callable, Mapping
from math import nan
from types import MappingProxyType

from dermtwin.vocabulary import (
    CHALLENGE_DIAGNOSES,
    DIAGNOSIS_LEVELS,
    FIELDS,
    Case,
    vocabulary_of,
)

Values = Mapping[str, str]

ID_COLUMNS = ("isic_id", "image_id", "image_name", "image")
"""What the column that names a case is called, by preference."""

OLDEST = 150
"""Years that nobody has lived; a higher age is a slip of the table."""

_SITE_LEVELS = tuple(f"anatom_site_{level}" for level in range(1, 6))
_ONE_HOT = tuple(code.upper() for code in CHALLENGE_DIAGNOSES)
_UNKNOWN = "UNK"

_CONFIRM_TYPES = MappingProxyType(
    {
        "histo": "histopathology",
        "follow_up": "serial imaging showing no change",
        "consensus": "single image expert consensus",
        "confocal": "confocal microscopy with consensus dermoscopy",
    }
)
# HAM10000's `trunk` may be front, side or back: it stays unknown here and in its own column.
_LOCALIZATIONS = MappingProxyType(
    {
        "abdomen": "anterior torso",
        "acral": "palms/soles",
        "back": "posterior torso",
        "chest": "anterior torso",
        "ear": "head/neck",
        "face": "head/neck",
        "foot": "lower extremity",
        "genital": "oral/genital",
        "hand": "upper extremity",
        "lower extremity": "lower extremity",
        "neck": "head/neck",
        "scalp": "head/neck",
        "upper extremity": "upper extremity",
    }
)
# The archive's site hierarchy; the longest path that fits decides. `Trunk` alone and the perianal
# region have no single general site.
_SITES = MappingProxyType(
    {
        ("Head and neck",): "head/neck",
        ("Trunk", "Anterior trunk"): "anterior torso",
        ("Trunk", "Lateral trunk"): "lateral torso",
        ("Trunk", "Posterior trunk"): "posterior torso",
        ("Upper extremity",): "upper extremity",
        ("Upper extremity", "Hand", "Palm of hand"): "palms/soles",
        ("Lower extremity",): "lower extremity",
        ("Lower extremity", "Foot", "Sole of foot"): "palms/soles",
        ("Anogenital region", "Genital region"): "oral/genital",
    }
)
# doi 10.7910/DVN/DBW86T.
_HAM10000_SOURCES = frozenset({"rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias"})
_HAM10000 = MappingProxyType(
    {
        "attribution": "HAM10000: Tschandl, Rosendahl, Kittler 2018, doi 10.7910/DVN/DBW86T",
        "copyright_license": "CC-BY-NC",
    }
)
_LOWER_CASE = ("anatom_site_general", "diagnosis_confirm_type", "sex")


class BrokenRowError(ValueError):
    """A row whose values contradict each other; the message says how."""


def find_translators(columns: tuple[str, ...]) -> tuple[Callable[[Values], Values], ...]:
    """Choose from a table's header what of it must be translated."""
    chosen: list[Callable[[Values], Values]] = []
    has = set(columns)
    if not has & {*DIAGNOSIS_LEVELS}:
        if len(has & set(_ONE_HOT)) > 1:
            chosen.append(_from_one_hot)
        elif "dx" in has:
            chosen.append(_from_dx)
        elif "benign_malignant" in has:
            chosen.append(_from_benign_malignant)
    by_column = {
        "dx_type": _from_dx_type,
        "dataset": _from_ham10000,
        "localization": _from_localization,
        "anatom_site_general_challenge": _from_challenge_site,
    }
    chosen += [translator for column, translator in by_column.items() if column in has]
    if has & {*_SITE_LEVELS}:
        chosen.append(_from_site_levels)
    if "age" in has:
        chosen.append(_from_age)
    return tuple(chosen)


def is_one_hot(columns: tuple[str, ...]) -> bool:
    """Whether a table is one of the challenges' with a column a diagnosis."""
    return len({*columns} & set(_ONE_HOT)) > 1


def build_case(
    isic_id: str, values: Values, *, translators: tuple[Callable[[Values], Values], ...]
) -> Case:
    """Make a case of a record: typed columns to fields, everything else kept as text.

    Raises:
        BrokenRowError: the values contradict each other.
    """
    known: dict[str, str] = {}
    for translate in reversed(translators):
        known.update(translate(values))
    known.update({name: values[name] for name in FIELDS if name in values})
    known["isic_id"] = isic_id
    typed = {name: _normalise(name, value) for name, value in known.items()}
    age = _parse_age(typed.pop("age_approx", None))
    consumed = {*FIELDS, "image"} - ({"age_approx"} if age is None else set())
    extra = {name: value for name, value in values.items() if name not in consumed}
    return Case(age_approx=age, extra=extra, **typed)  # type: ignore[arg-type]


def _normalise(name: str, value: str) -> str | None:
    """Strip; spell closed vocabularies as the archive does; an explicit unknown is None."""
    stripped = value.strip()
    if name in _LOWER_CASE:
        lowered = stripped.lower()
        if lowered == "unknown":
            return None
        if lowered in (vocabulary_of(name) or ()):
            return lowered
    return stripped or None


def years_of(text: str | None) -> float:
    """Years as the archive writes them (`45`, `45.0`, `85+`); NaN: the text is no number."""
    try:
        return float((text or "").removesuffix("+"))
    except ValueError:
        return nan


def _parse_age(text: str | None) -> int | None:
    """Whole years that somebody can have lived; otherwise None."""
    years = years_of(text)
    return int(years) if 0 <= years <= OLDEST and years.is_integer() else None


def _from_one_hot(values: Values) -> Values:
    chosen = []
    for column in (*_ONE_HOT, _UNKNOWN):
        text = values.get(column, "0").strip() or "0"
        try:
            mark = float(text)
        except ValueError:
            mark = -1.0
        if mark not in (0.0, 1.0):
            raise BrokenRowError(f"{column} is {text!r}; one-hot tables hold 0 and 1.")
        if mark == 1.0:
            chosen.append(column)
    if len(chosen) != 1:
        named = ", ".join(chosen) or "none"
        raise BrokenRowError(f"exactly one diagnosis must be set; set: {named}.")
    return CHALLENGE_DIAGNOSES.get(chosen[0].lower(), {})


def _from_dx(values: Values) -> Values:
    return CHALLENGE_DIAGNOSES.get(values.get("dx", "").strip().lower(), {})


def _from_ham10000(values: Values) -> Values:
    """HAM10000's own table names no licence; its page does."""
    return _HAM10000 if values.get("dataset", "") in _HAM10000_SOURCES else {}


def _from_benign_malignant(values: Values) -> Values:
    word = values.get("benign_malignant", "").strip().capitalize()
    return {"diagnosis_1": word} if word in (vocabulary_of("diagnosis_1") or ()) else {}


def _from_dx_type(values: Values) -> Values:
    return _renamed(values, "dx_type", "diagnosis_confirm_type", _CONFIRM_TYPES)


def _from_localization(values: Values) -> Values:
    return _renamed(values, "localization", "anatom_site_general", _LOCALIZATIONS)


def _renamed(values: Values, source: str, target: str, words: Mapping[str, str]) -> Values:
    word = words.get(values.get(source, "").strip().lower())
    return {target: word} if word else {}


def _from_challenge_site(values: Values) -> Values:
    return {"anatom_site_general": values.get("anatom_site_general_challenge", "")}


def _from_site_levels(values: Values) -> Values:
    path = tuple(values.get(level, "").strip() for level in _SITE_LEVELS)
    fitting = (known for known in _SITES if path[: len(known)] == known)
    longest = max(fitting, key=len, default=None)
    return {"anatom_site_general": _SITES[longest]} if longest else {}


def _from_age(values: Values) -> Values:
    return {"age_approx": values.get("age", "")}
