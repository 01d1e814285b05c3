"""`dermtwin encoder check`: are the figures of an encoder's card those that one measures?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import EncoderError, MissingExtraError
from dermtwin.learning.images import TrainingImages, load_images
from dermtwin.running import Track, untracked

TOLERANCE = 0.002
"""How far a figure may lie from the card's; processors add up in different orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFigure:
    """One figure of a card, measured again.

    Attributes:
        name: output, protocol and measure.
        told: what the card says; None: not defined.
        found: what was measured.
    """

    name: str
    told: float | None
    found: float | None

    @property
    def agrees(self) -> bool:
        """Whether both are as good as equal."""
        if self.told is None or self.found is None:
            return self.told is self.found
        return abs(self.told - self.found) <= TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCheck:
    """All figures of a card.

    Attributes:
        encoder: name and beginning of the id.
        figures: in the card's order.
    """

    encoder: str
    figures: tuple[CheckedFigure, ...]

    @property
    def agrees(self) -> bool:
        """Whether all do."""
        return all(each.agrees for each in self.figures)

    def to_json(self) -> dict[str, Any]:
        """One object: `encoder`, `agrees`, and by name what was told and found."""
        figures = {each.name: {"told": each.told, "found": each.found} for each in self.figures}
        return {"encoder": self.encoder, "agrees": self.agrees, "figures": figures}


def check_encoder(
    encoder: str | Path,
    *,
    queries: str | Path,
    gallery: str | Path | None = None,
    track: Track = untracked,
) -> EncoderCheck:
    """Measure what an encoder's card says of its quality again.

    Args:
        encoder: the encoder file, or the name of the one that comes with dermtwin.
        queries: the images that the card was measured on.
        gallery: the images that they were asked of beside one another, where the card has such.
        track: looks on.

    Raises:
        DatasetError: a dataset cannot be read.
        EncoderError: no encoder, no figures on its card, or other images than the card's.
        MissingExtraError: the extra `evaluate` is not installed.
    """
    if find_spec("scipy") is None:
        raise MissingExtraError("measuring an encoder", extra="evaluate")
    from dermtwin.learning.quality import (  # noqa: PLC0415 - needs the extra
        encode_images,
        measured_quality,
    )

    opened = Encoder.open(encoder)
    told = opened.card.quality
    if not told:
        raise EncoderError(
            f"the card of {opened.label} has no figures to check; measure it with dermtwin "
            "evaluate."
        )
    sides = {"data": queries, "gallery": gallery}
    for part, given in sides.items():
        if bool(told[part]) != (given is not None):
            raise EncoderError(_wanted(opened, told))
    images = {
        part: _images(given, opened, of=told[part], track=track)
        for part, given in sides.items()
        if given is not None
    }
    encoded = {part: encode_images(opened, each, track=track) for part, each in images.items()}
    found = measured_quality(opened.card, encoded["data"], gallery=encoded.get("gallery"))
    before, now = dict(_values(told["figures"])), dict(_values(found["figures"]))
    return EncoderCheck(
        encoder=opened.label,
        figures=tuple(
            # A measure younger than the card, or no longer taken, agrees with nothing.
            CheckedFigure(name=name, told=before.get(name), found=now.get(name))
            for name in before | now
        ),
    )


def _wanted(encoder: Encoder, told: Mapping[str, Any]) -> str:
    beside = "with" if told["gallery"] else "without"
    return f"the figures of {encoder.label} were measured {beside} a gallery; name it likewise."


def _images(
    path: str | Path, encoder: Encoder, *, of: Mapping[str, Any], track: Track
) -> TrainingImages:
    images = load_images(
        read_dataset(path), encoder.card.input, preparation=encoder.preparation, track=track
    )
    if images.fingerprint != of["fingerprint"]:
        raise EncoderError(
            f"{path} holds other images ({len(images):,}) than those that {encoder.label} was "
            f"measured on ({of['images']:,}, fingerprint {of['fingerprint'][:12]}); give it those."
        )
    return images


def _values(figures: Mapping[str, Any], *above: str) -> Iterator[tuple[str, float | None]]:
    """Each figure beneath with its way there."""
    for key, value in sorted(figures.items()):
        if "value" in value:
            yield ", ".join((*above, key)), value["value"]
        else:
            yield from _values(value, *above, key)
