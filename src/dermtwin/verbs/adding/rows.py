"""What `add` is given: the rows of a dataset, and how those of DICOM files are named."""

import secrets
from pathlib import Path

from dermtwin.casebook import Casebook, KeyName, kept_key
from dermtwin.datasets import Dataset, read_dataset
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.verbs.adding import OnDuplicate
from dermtwin.verbs.pseudonyms import read_key


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
    given = read_key(key_file)
    key = given or _key_of(casebook) or secrets.token_bytes(32)
    read = read_dataset(dataset, pseudonyms=key)
    return read, key if given or any(row.has_pseudonym for row in read) else None


def _key_of(casebook: str | Path) -> bytes | None:
    try:
        with Casebook.open(casebook) as opened:
            return kept_key(opened, KeyName.PSEUDONYMS)
    except CasebookError:
        # There is none yet; or what is wrong with it is told when it is written.
        return None
