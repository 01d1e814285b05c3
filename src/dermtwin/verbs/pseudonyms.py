"""The key of the names that patients of DICOM files are given, where a verb is told it."""

from pathlib import Path

from dermtwin.datasets import Dataset, read_dataset
from dermtwin.errors import SettingsError
from dermtwin.running import Track, untracked

_LEAST_BYTES = 16


def read_key(path: str | Path | None) -> bytes | None:
    """The bytes of a key's file, without spaces around them; None where none is named.

    Raises:
        SettingsError: the file cannot be read, or its key is short.
    """
    if path is None:
        return None
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{path} cannot be read: {reason}; check the path.") from error
    if len(key) < _LEAST_BYTES:
        raise SettingsError(
            f"{path} holds a key of {len(key)} bytes; give one of at least {_LEAST_BYTES}."
        )
    return key


def read_to_write(
    dataset: str | Path, *, key_file: str | Path | None, track: Track = untracked
) -> Dataset:
    """Read a dataset whose table will be written: the names in it must be made again later.

    Raises:
        DatasetError: see `read_dataset`.
        SettingsError: the file holds no key, or pseudonyms were made without one.
    """
    key = read_key(key_file)
    source = read_dataset(dataset, pseudonyms=key, track=track)
    if key is None and any(row.has_pseudonym for row in source):
        raise SettingsError(
            f"{source.table} needs pseudonyms for its DICOM files, and no casebook could make the "
            "same ones later; give a key with --pseudonym-key, here and to `dermtwin add`."
        )
    return source
