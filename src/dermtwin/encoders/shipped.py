"""The encoder that comes with dermtwin."""

from importlib.resources import files
from pathlib import Path

from dermtwin.vocabulary import BASE_ENCODER


def shipped_or_file(named: str | Path) -> bytes:
    """The bytes of the encoder that comes along, or of a file.

    Raises:
        OSError: the file cannot be read.
    """
    if str(named) == BASE_ENCODER:
        return files(__package__).joinpath(f"{BASE_ENCODER}.onnx").read_bytes()
    return Path(named).read_bytes()
