"""`dermtwin encoder show`: what an encoder file says of itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermtwin.encoders import Card, Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDescription:
    """An encoder file and its card.

    Attributes:
        file: as it was named.
        id: SHA-256 of the file, in hexadecimal.
        size_bytes: of the file.
        card: what it says of itself.
    """

    file: Path
    id: str
    size_bytes: int
    card: Card

    def to_json(self) -> dict[str, Any]:
        """One object: `file`, `id`, `size_bytes` and `card`."""
        named = {"file": str(self.file), "id": self.id, "size_bytes": self.size_bytes}
        return named | {"card": json.loads(self.card.to_json())}


def show_encoder(file: str | Path) -> EncoderDescription:
    """Open an encoder file and describe it.

    Raises:
        EncoderError: it cannot be read, or is no encoder.
    """
    encoder = Encoder.open(file)
    return EncoderDescription(
        file=Path(file), id=encoder.id, size_bytes=len(encoder.data), card=encoder.card
    )
