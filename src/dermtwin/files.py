"""Files that are whole or not there: temporary name, fsync, rename."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dermtwin.errors import DermtwinError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, it becomes `path`.

    Missing folders are made. If the block fails, the temporary file is removed and whatever stood
    at `path` still stands.

    Raises:
        DermtwinError: a folder stands at `path`, its own folder cannot be written or the disk is
            full.
    """
    try:
        if path.is_dir():  # told before the block's work, not after it
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not `tempfile`: its files are for their owner alone, whatever the umask says.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all; see `replacing`."""
    write_bytes(path, text.encode())


def sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> DermtwinError:
    reason = (error.strerror or str(error)).lower()
    return DermtwinError(f"{path} cannot be written: {reason}; what was there is unchanged.")
