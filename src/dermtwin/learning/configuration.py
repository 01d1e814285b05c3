"""Settings from a TOML file and from `key=value` overrides, checked against their dataclasses."""

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dermtwin.errors import SettingsError
from dermtwin.learning.metric.training_settings import MetricTrainingSettings
from dermtwin.learning.settings import TrainingSettings

AnySettings = TrainingSettings | MetricTrainingSettings

_METHODS: dict[str, type[AnySettings]] = {
    "siamese": TrainingSettings,
    "metric": MetricTrainingSettings,
}


def read_settings(config: Path, *, overrides: Sequence[str] = ()) -> AnySettings:
    """Read a training's settings; the file's `method` says of which kind of training.

    Args:
        config: a TOML file; what it leaves out keeps its default.
        overrides: such as `loss.margin=1.5`, applied last; each is read as its field's type.

    Raises:
        SettingsError: unreadable, an unknown key, a wrong type, or a value out of bounds.
    """
    where = str(config)
    given = {key: (value, where) for key, value in _flat(_read_toml(config)).items()}
    for override in overrides:
        key, value = _parse_override(override)
        given[key] = (value, f"--set {override}")
    wanted = _wanted(*given.get("method", ("siamese", where)))
    kinds = _kinds(wanted)
    for key, (_, source) in given.items():
        _refuse_unknown(key, kinds, where=source)
    values = {
        key: _typed(value, kinds[key], key=key, where=source)
        for key, (value, source) in given.items()
    }
    try:
        return _build(wanted, values)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _wanted(method: object, where: str) -> type[AnySettings]:
    wanted = _METHODS.get(str(method))
    if wanted is None:
        known = ", ".join(map(repr, _METHODS))
        raise SettingsError(f"{where}: method must be one of {known}, got {method!r}.")
    return wanted


def flat_settings(settings: AnySettings) -> dict[str, Any]:
    """Every setting by its dotted key, such as `loss.margin`."""
    return _flat(asdict(settings))


def _read_toml(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{config} cannot be read: {reason}; check the path.") from error
    except ValueError as error:
        raise SettingsError(f"{config} is not TOML: {error}.") from error


def _flat(table: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, prefix=f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals or not key:
        raise SettingsError(f"--set {override} is not key=value, such as loss.margin=1.5.")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text  # a bare word: the name of something


def _kinds(settings: type) -> dict[str, Any]:
    return dict(_walk_kinds(settings, prefix=""))


def _walk_kinds(settings: type, *, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, kind in get_type_hints(settings).items():
        if is_dataclass(kind):
            assert isinstance(kind, type)
            yield from _walk_kinds(kind, prefix=f"{prefix}{name}.")
        else:
            yield prefix + name, kind


def _refuse_unknown(key: str, kinds: Mapping[str, Any], *, where: str) -> None:
    if key not in kinds:
        nearest = max(kinds, key=lambda known: _likeness(key, known))
        raise SettingsError(f"{where}: {key} is no setting; the nearest is {nearest}.")


def _likeness(key: str, known: str) -> tuple[float, float]:
    """How alike two keys are, from 0 to 1: whole or in their last parts; and, for ties, whole."""
    last, known_last = (each.rpartition(".")[2] for each in (key, known))
    whole = difflib.SequenceMatcher(None, key, known).ratio()
    return max(whole, difflib.SequenceMatcher(None, last, known_last).ratio()), whole


def _typed(value: object, kind: Any, *, key: str, where: str) -> Any:  # noqa: ANN401
    """The value as its field's type; raises SettingsError."""
    if get_origin(kind) is tuple and isinstance(value, list):
        item = get_args(kind)[0]
        return tuple(_typed(each, item, key=key, where=where) for each in value)
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if kind is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number and math.isfinite(float(str(value))):
        return float(str(value))
    if kind is int and number and isinstance(value, int):
        return value
    if kind is str and isinstance(value, str):
        return value
    raise SettingsError(f"{where}: {key} must be {_in_words(kind)}, got {value!r}.")


def _in_words(kind: Any) -> str:  # noqa: ANN401
    if get_origin(kind) is tuple:
        return f"a list, each {_in_words(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def _build(wanted: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    hints = get_type_hints(wanted)
    chosen: dict[str, Any] = {}
    for each in fields(wanted):
        kind = hints[each.name]
        inner = {
            key.removeprefix(f"{each.name}."): value
            for key, value in values.items()
            if key.startswith(f"{each.name}.")
        }
        if is_dataclass(kind):
            assert isinstance(kind, type)
            chosen[each.name] = kind(**inner)
        elif each.name in values:
            chosen[each.name] = values[each.name]
    return wanted(**chosen)
