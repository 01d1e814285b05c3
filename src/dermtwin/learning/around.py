"""What every training has around it: device, threads, identity, and what its card says of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch

from dermtwin.encoders import Encoder
from dermtwin.learning.checkpoint import Identity
from dermtwin.learning.configuration import AnySettings, flat_settings
from dermtwin.learning.export import CardDetails
from dermtwin.learning.images import TrainingImages
from dermtwin.vocabulary import DRAWN_NOTICE


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Work on so many processor cores for a while.

    Sums come in one order for one number of threads, so that equal settings give equal weights.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def title_of(settings: AnySettings, images: TrainingImages) -> str:
    """What a picture of a training is headed with."""
    return f"{settings.name}, images {DRAWN_NOTICE}" if images.is_drawn else settings.name


def identity_of(
    settings: AnySettings,
    images: TrainingImages,
    validation: TrainingImages | None,
    *,
    start: Encoder | None = None,
) -> Identity:
    """What must be the same for a training to be continued."""
    return Identity(
        settings=flat_settings(settings) | ({"start": start.id} if start else {}),
        data=images.content,
        validation=validation.content if validation else "",
        defaults=flat_settings(type(settings)()),
    )


def details_of(  # noqa: PLR0913 - all that a training is made from
    settings: AnySettings,
    images: TrainingImages,
    validation: TrainingImages | None,
    *,
    curve: Sequence[dict[str, Any]],
    device: torch.device,
    beside: TrainingImages | None = None,
    learnt_from: TrainingImages | None = None,
    start: Encoder | None = None,
) -> CardDetails:
    """What the card says of a training.

    Args:
        settings: in full.
        images: that it learnt from.
        validation: that it was measured on.
        curve: its losses, point by point.
        device: that it ran on.
        beside: further images that it learnt from.
        learnt_from: both together; None: there are no further ones.
        start: the encoder whose weights it started from.
    """
    learnt_from = learnt_from or images
    drawn = f"; the images are {DRAWN_NOTICE}" if learnt_from.is_drawn else ""
    training = {
        "settings": asdict(settings),
        "seed": settings.seed,
        "data": images.described(),
        "beside": beside.described() if beside else None,
        "start": _described(start) if start else None,
        "validation": validation.described() if validation else None,
        "losses": list(curve),
        "torch": torch.__version__,
        "device": device.type,
    }
    terms = (
        "The weights are for whoever trained them to license; the licences of the images that they "
        f"were made from hold beside that: {learnt_from.licences}{drawn}."
    )
    return CardDetails(
        name=settings.name,
        preparation=settings.preparation.recipe,
        training=training,
        licence=terms if start is None else f"{terms} {_terms_of(start, known=terms)}",
    )


def _terms_of(start: Encoder, *, known: str) -> str:
    """What holds by the encoder that a training started from, without what is told already."""
    licence = start.card.licence
    if licence.startswith(known):
        further = licence.removeprefix(known)
        return f"They started from {start.label}, of the same terms.{further}"
    return f"They started from {start.label}: {licence}"


def _described(start: Encoder) -> dict[str, Any]:
    return {"id": start.id, "name": start.card.name, "training": start.card.training}
