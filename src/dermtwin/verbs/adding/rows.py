"""What `add` is given: the rows of a dataset, and how those of DICOM files are named."""

import secrets
from pathlib import Path

from dermtwin.casebook import Casebook, KeyName, kept_key
from dermtwin.datasets import Dataset, is_dicom, read_dataset
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.verbs.adding import OnDuplicate

_LEAST_BYTES = 16


def choose(on_duplicate: str) -> OnDuplicate:
    """The choice of this name; raises SettingsError."""
    try:
        return OnDuplicate(on_duplicate)
    except ValueError as error:
        known = ", ".join(OnDuplicate)
        raise SettingsError(
            f"--on-duplicate {on_duplicate} is unknown; choose one of {known}."
        ) from error


def read_rows(
    dataset: str | Path | Dataset, *, casebook: str | Path, key_file: str | Path | None
) -> tuple[Dataset, bytes | None]:
    """The dataset; and the key of its pseudonyms, where that is to be the casebook's.

    Raises:
        DatasetError: see `read_dataset`.
        SettingsError: the file holds no key.
    """
    if isinstance(dataset, Dataset):
        return dataset, None
    if key_file is not None:
        return read_dataset(dataset, pseudonyms=_read_key(Path(key_file))), None
    key = _key_of(casebook) or secrets.token_bytes(32)
    read = read_dataset(dataset, pseudonyms=key)
    return read, key if any(is_dicom(row.image) for row in read) else None


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{path} cannot be read: {reason}; check the path.") from error
    if len(key) < _LEAST_BYTES:
        raise SettingsError(
            f"{path} holds a key of {len(key)} bytes; give one of at least {_LEAST_BYTES}."
        )
    return key


def _key_of(casebook: str | Path) -> bytes | None:
    try:
        with Casebook.open(casebook) as opened:
            return kept_key(opened, KeyName.PSEUDONYMS)
    except CasebookError:
        # There is none yet; or what is wrong with it is told when it is written.
        return None
