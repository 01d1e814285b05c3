"""How a setting that is out of bounds is told."""

from dermtwin.errors import SettingsError


def refuse(key: str, value: object, *, unless: bool, need: str) -> None:
    """Raise SettingsError about a setting, unless it is as it needs to be."""
    if not unless:
        raise SettingsError(f"{key} must be {need}, got {value}.")
