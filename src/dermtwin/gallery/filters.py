"""Which cases a question is about: typed conditions on the fields of a case.

    sex=female                      the field has this value
    sex=female,male                 one of these values
    diagnosis_3=Melanoma, NOS       a comma that belongs to a name stays in it
    age_approx=40..60               from 40 to 60 years, both included; 40.. and ..60 are open
    lesion_id=*                     the field is known
    sex=?                           the field is unknown

Several of them hold together: a case must meet every one.
"""

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dermtwin.errors import SettingsError
from dermtwin.vocabulary import FIELDS, Case, vocabulary_of

Value = str | int

_NUMBERS = frozenset({"age_approx"})
_DIGITS = 3  # of the years that somebody has lived
# A name of a clinic may hold commas, and no list says which; so its text is always one value.
_WHOLE_TEXTS = frozenset({"attribution"})


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    field: str
    values: frozenset[Value]

    def __post_init__(self) -> None:
        _check_field(self.field)
        if not self.values:
            raise SettingsError(f"the filter on {self.field} names no value; name at least one.")
        for value in self.values:
            _check_value(self.field, value)

    def matches(self, value: Value | None) -> bool:
        """Whether a case with this value meets the condition; an unknown value never does."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class Between:
    """The field's number lies in a range, both ends included; None: open on that side."""

    field: str
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        _check_field(self.field)
        if self.field not in _NUMBERS:
            known = ", ".join(sorted(_NUMBERS))
            raise SettingsError(f"{self.field} is no number; a range works on {known} only.")
        if self.low is None and self.high is None:
            raise SettingsError(f"the range of {self.field} has no end; give at least one.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise SettingsError(
                f"the range {self.field}={self.low}..{self.high} is empty; "
                f"write {self.field}={self.high}..{self.low}."
            )

    def matches(self, value: Value | None) -> bool:
        """Whether a case with this value meets the condition; an unknown value never does."""
        if not isinstance(value, int):
            return False
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Known:
    """The field is known, or (`known=False`) unknown."""

    field: str
    known: bool = True

    def __post_init__(self) -> None:
        _check_field(self.field)

    def matches(self, value: Value | None) -> bool:
        """Whether a case with this value meets the condition."""
        return (value is not None) is self.known


Condition = OneOf | Between | Known


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that hold together; without any, every case passes."""

    conditions: tuple[Condition, ...] = ()

    def matches(self, case: Case) -> bool:
        """Whether a case meets every condition."""
        return all(each.matches(getattr(case, each.field)) for each in self.conditions)


def parse_where(conditions: Iterable[str]) -> Filter:
    """Read conditions as people write them; the syntax stands at the top of this file.

    Raises:
        SettingsError: no `field=value`, a field that no case has, or a value outside the field's
            vocabulary; the nearest valid one is named.
    """
    return Filter(tuple(_parse(condition) for condition in conditions))


def _parse(text: str) -> Condition:
    name, sign, value = (part.strip() for part in text.partition("="))
    if not (name and sign and value):
        raise SettingsError(
            f"the filter {text!r} is not understood; write field=value, for example sex=female."
        )
    _check_field(name)
    if value in ("*", "?"):
        return Known(name, known=value == "*")
    if name in _NUMBERS:
        return _parse_numbers(name, value)
    return OneOf(name, frozenset(_parse_texts(name, value)))


def _parse_numbers(name: str, text: str) -> Condition:
    low, dots, high = text.partition("..")
    if dots:
        return Between(name, low=_number(name, low), high=_number(name, high))
    numbers = [_number(name, part) for part in text.split(",")]
    return OneOf(name, frozenset(number for number in numbers if number is not None))


def _number(name: str, text: str) -> int | None:
    text = text.strip()
    if text and not (text.isascii() and text.isdigit()):
        raise SettingsError(
            f"{name} is a whole number, {text!r} is none; write {name}=40, {name}=40..60 or "
            f"{name}=40.."
        )
    if len(text) > _DIGITS:
        raise SettingsError(
            f"{name} has {_DIGITS} digits at most, {len(text)} were given; write {name}=40 or "
            f"{name}=40..60."
        )
    return int(text) if text else None


def _parse_texts(name: str, text: str) -> list[str]:
    """Part a list of values at its commas, but never inside a name of the vocabulary."""
    if name in _WHOLE_TEXTS:
        return [text]
    parts = text.split(",")
    vocabulary = vocabulary_of(name)
    if vocabulary is None:
        return [part.strip() for part in parts if part.strip()]
    values: list[str] = []
    while parts:
        joined = [",".join(parts[:length]).strip() for length in range(len(parts), 0, -1)]
        known = next((each for each in joined if each in vocabulary), None)
        if known is None:
            # The rest as one text: its nearest name tells best what was meant.
            raise _unknown_value(name, joined[0], vocabulary)
        values.append(known)
        parts = parts[known.count(",") + 1 :]
    return values


def _check_field(name: str) -> None:
    if name not in FIELDS:
        raise SettingsError(
            f"a case has no field {name!r} to filter by; did you mean {nearest(name, FIELDS)!r}?"
        )


def _check_value(name: str, value: Value) -> None:
    if (name in _NUMBERS) is not isinstance(value, int):
        kind = "a whole number" if name in _NUMBERS else "text"
        raise SettingsError(f"{name} is {kind}; the filter's value {value!r} is not.")
    vocabulary = vocabulary_of(name)
    if vocabulary is not None and value not in vocabulary:
        raise _unknown_value(name, str(value), vocabulary)


def _unknown_value(name: str, value: str, vocabulary: Collection[str]) -> SettingsError:
    return SettingsError(f"{name} is never {value!r}; did you mean {nearest(value, vocabulary)!r}?")


def nearest(word: str, words: Collection[str]) -> str:
    """The most similar of some words, whatever their case; one that it begins comes first."""
    folded = {each.lower(): each for each in sorted(words, reverse=True)}
    begun = sorted(each for each in folded if each.startswith(word.lower()))
    found = difflib.get_close_matches(word.lower(), begun or sorted(folded), n=1, cutoff=0.0)
    return folded[found[0]]
