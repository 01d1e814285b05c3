"""The card: everything needed to use an encoder, in JSON inside its file."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from dermtwin.encoders.pixels import InputSpec
from dermtwin.errors import EncoderError, SettingsError
from dermtwin.preparation import Recipe

FORMAT = 1
INTENDED_USE = (
    "Finding similar diagnosed cases for research and teaching. Not a diagnostic device; "
    "it never states a diagnosis."
)

REGIONS = "regions"
"""The output whose first two dimensions are places in the picture."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of the graph.

    Attributes:
        shape: of one image's code, for example (5,) or (25, 25).
        metric: how two of them are compared.
    """

    shape: tuple[int, ...]
    metric: str = "euclidean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What an encoder says of itself.

    Attributes:
        name: what people call it.
        made_by: program and version.
        made_at: ISO 8601, UTC.
        input: size, resize rule, normalisation.
        preparation: how its pictures are cut before anything else; None: not at all.
        outputs: by name: `code`, `map`, `bits`, `regions`, those that it has.
        training: settings in full, seed, and the data's fingerprint and size.
        quality: measured figures with their intervals and on what; empty: not measured.
        distances: for each output, percentiles ("1" … "99") of the distance from a training image
            to its nearest neighbour of another lesion.
        licence: of the weights, and what the data's licence adds.
        intended_use: a sentence.
    """

    name: str
    made_by: str
    made_at: str
    input: InputSpec
    outputs: Mapping[str, OutputSpec]
    preparation: Recipe | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    distances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    licence: str
    intended_use: str = INTENDED_USE

    def compared_by(self, *metrics: str) -> list[str]:
        """The outputs of these metrics, the code first; regions need a rule of their own."""
        found = [
            name
            for name, spec in sorted(self.outputs.items())
            if spec.metric in metrics and name != REGIONS
        ]
        return sorted(found, key=lambda name: name != "code")

    def to_json(self) -> str:
        """The card as JSON text, keys sorted, so that equal cards are equal bytes."""
        return json.dumps({"format": FORMAT} | asdict(self), sort_keys=True, allow_nan=False)


def time_of_making() -> str:
    """A card's `made_at`: now, or what a reproducible build asks for (reproducible-builds.org).

    Raises:
        SettingsError: SOURCE_DATE_EPOCH is no time.
    """
    asked = os.environ.get("SOURCE_DATE_EPOCH")
    if asked is None:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return datetime.fromtimestamp(int(asked), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(
            f"SOURCE_DATE_EPOCH must be seconds since 1970, got {asked!r}; correct or unset it."
        ) from error


def card_from_json(text: str, *, where: str) -> Card:
    """Read a card.

    Args:
        text: what `Card.to_json` wrote.
        where: the encoder file, for errors.

    Raises:
        EncoderError: not a card, another format, or fields missing, unknown or out of bounds.
    """
    try:
        values = json.loads(text)
        written_as = values.pop("format")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise EncoderError(f"{where} has a card that is not one of dermtwin's.") from error
    if written_as != FORMAT:
        raise EncoderError(
            f"{where} has a card of format {written_as}, this dermtwin reads format {FORMAT}; "
            "use the dermtwin that made it, or a newer one."
        )
    _check_names(values, where=where)
    try:
        typed = {
            "input": _input(values),
            "outputs": _outputs(values),
            "preparation": _recipe(values),
        }
        return Card(**values | typed)
    except (TypeError, ValueError, KeyError, AttributeError, SettingsError) as error:
        raise EncoderError(f"{where} has a card with a wrong value: {error}") from error


def _check_names(values: Mapping[str, Any], *, where: str) -> None:
    known = {each.name for each in fields(Card)}
    if unknown := sorted(values.keys() - known):
        raise EncoderError(f"{where} has a card with unknown fields: {', '.join(unknown)}.")
    if missing := sorted(known - values.keys()):
        raise EncoderError(f"{where} has a card without: {', '.join(missing)}.")


def _input(values: Mapping[str, Any]) -> InputSpec:
    given = dict(values["input"])
    return InputSpec(**given | {"mean": tuple(given["mean"]), "std": tuple(given["std"])})


def _recipe(values: Mapping[str, Any]) -> Recipe | None:
    given = values["preparation"]
    return None if given is None else Recipe.from_json(given)


def _outputs(values: Mapping[str, Any]) -> dict[str, OutputSpec]:
    return {
        name: OutputSpec(tuple(int(n) for n in given["shape"]), str(given["metric"]))
        for name, given in values["outputs"].items()
    }
