"""Which images an encoder has met while it was made, by its card."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_USES = {"data": "training", "beside": "training, beside", "validation": "tuning"}


class Met(NamedTuple):
    """Images that an encoder has met.

    Attributes:
        use: what they were for.
        is_learnt: whether weights come from them; else they were measured on.
        facts: what the card says of them, `fingerprint` and counts.
    """

    use: str
    is_learnt: bool
    facts: Mapping[str, Any]


def met(training: Mapping[str, Any]) -> Iterator[Met]:
    """All that a card's `training` names; those of the encoder that it started from come last."""
    for key, use in _USES.items():
        if isinstance(facts := training.get(key), Mapping):
            yield Met(use, key != "validation", facts)
    if isinstance(start := training.get("start"), Mapping):
        for each in met(start["training"]):
            yield each._replace(use=f"{each.use} of {start['name']}, which it started from")
