"""What every answer shares: the record that it reads, and how counts are told."""

from collections.abc import Mapping
from typing import Any

from dermtwin.evaluation.groups import UNKNOWN

Record = Mapping[str, Any]
"""The values of metrics.json."""

_SHOWN = 8


def listed(counts: Mapping[str, int]) -> str:
    """The most frequent values with their counts, and how many more there are."""
    named = [f"{name} ({count})" for name, count in list(counts.items())[:_SHOWN]]
    more = len(counts) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more > 0 else [])])


def known(counts: Mapping[str, int]) -> dict[str, int]:
    """Without what is unknown."""
    return {name: count for name, count in counts.items() if name != UNKNOWN}
