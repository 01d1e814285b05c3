"""Filters and values in Milvus's language."""

import json
from collections.abc import Collection

from dermtwin.gallery.filters import Between, Condition, Filter, Known, OneOf, Value
from dermtwin.gallery.snapshot import Exclusion

NUMBERS = frozenset({"age_approx"})
"""The fields that are whole numbers; all others are text."""

# Milvus 2.3 has no null. A known text begins with a sign, so that an unknown one can be empty; an
# unknown number lies below all others.
_SIGN = "="
_FAR = 2**62


def expression(wanted: Filter | None, *, exclude: Exclusion | None) -> str:
    """A filter and an exclusion in Milvus's language; empty: every case."""
    terms = [_term(condition) for condition in wanted.conditions] if wanted else []
    terms += [
        f"{name} not in {_list(name, values)}"
        for name, values in (exclude or Exclusion()).by_field().items()
    ]
    return " and ".join(f"({term})" for term in terms)


def _term(condition: Condition) -> str:
    name = condition.field
    match condition:
        case OneOf(values=values):
            return f"{name} in {_list(name, values)}"
        case Between(low=low, high=high):
            least = 1 - _FAR if low is None else _in_reach(low)
            most = _FAR if high is None else _in_reach(high)
            return f"{name} >= {least} and {name} <= {most}"
        case Known(known=known):
            unknown = str(-_FAR) if name in NUMBERS else '""'
            return f"{name} {'!=' if known else '=='} {unknown}"


def _list(name: str, values: Collection[Value]) -> str:
    if name in NUMBERS:
        return f"[{', '.join(str(_in_reach(int(value))) for value in values)}]"
    return f"[{', '.join(quoted(str(value)) for value in values)}]"


def quoted(text: str | None) -> str:
    """A text as it stands in an expression; JSON's escapes are among Go's, which Milvus reads."""
    return '""' if text is None else json.dumps(_SIGN + text, ensure_ascii=False)


def _in_reach(number: int) -> int:
    """A number that Milvus can read, on the same side of every number that a case can have."""
    return max(1 - _FAR, min(number, _FAR))


def both(one: str, other: str) -> str:
    """Both expressions; the first may be empty."""
    return f"({one}) and ({other})" if one else other


def stored(name: str, value: Value | None) -> Value:
    """A field's value as a row of Milvus holds it."""
    if name in NUMBERS:
        return -_FAR if value is None else _in_reach(int(value))
    return "" if value is None else _SIGN + str(value)


def read(text: str) -> str | None:
    """The text that a row of Milvus holds; None where unknown."""
    return text[len(_SIGN) :] if text else None
