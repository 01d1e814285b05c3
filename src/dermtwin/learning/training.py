"""A training from dataset to encoder file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from dermtwin.datasets import Dataset
from dermtwin.learning import curve
from dermtwin.learning.checkpoint import Checkpoint, Identity
from dermtwin.learning.configuration import flat_settings
from dermtwin.learning.examples import Examples, Material
from dermtwin.learning.export import CardDetails, export_encoder
from dermtwin.learning.images import TrainingImages, load_images
from dermtwin.learning.loop import TrainingLoop
from dermtwin.learning.report import EpochLoss, TrainReport
from dermtwin.learning.settings import TrainingSettings
from dermtwin.preparation import Preparation
from dermtwin.running import Track, untracked
from dermtwin.vocabulary import DRAWN_NOTICE


def train_encoder(  # noqa: PLR0913 — the arguments of the verb
    settings: TrainingSettings,
    dataset: Dataset,
    *,
    out: Path,
    validation: Dataset | None = None,
    restart: bool = False,
    track: Track = untracked,
) -> TrainReport:
    """Train the paper's network and write the encoder file.

    Interrupted at any moment and called again, it goes on from the last epoch that was finished.

    Args:
        settings: everything that decides, with the images, what comes out.
        dataset: to learn from; rows neither benign nor malignant are left out.
        out: the encoder file; the loss curve is written beside it.
        validation: images to measure loss and quality on; nothing is learnt from them.
        restart: forget an unfinished training of the same name.
        track: looks on while images are read and steps are made.

    Raises:
        DatasetError: images that cannot be read, or too few of a class.
        SettingsError: an unfinished training there has other settings or images.
        DermtwinError: the loss stops being a number, or the file cannot be written.
        EncoderError: the export is not as the network.
    """
    began = time.monotonic()
    material = _material(settings, dataset, validation, track=track)
    loop = TrainingLoop(settings, material)
    checkpoint = Checkpoint(out, _identity(settings, material))
    resumed_after = _resume(loop, checkpoint, restart=restart)
    with _one_thread():
        for _ in track(loop.steps(checkpoint), label="training", total=loop.steps_left):
            pass
        details = _details(settings, material, losses=loop.losses)
        encoder = export_encoder(loop.network, material, out=out, details=details, track=track)
    images = material.training.images
    png, table = _write_curve(settings, out, losses=loop.losses, is_drawn=images.is_drawn)
    checkpoint.discard()
    return TrainReport(
        encoder=out,
        id=encoder.id,
        images=len(images),
        left_out=images.left_out,
        is_drawn=images.is_drawn,
        losses=tuple(loop.losses),
        resumed_after=resumed_after,
        seconds=time.monotonic() - began,
        loss_png=png,
        loss_csv=table,
    )


def _material(
    settings: TrainingSettings, dataset: Dataset, validation: Dataset | None, *, track: Track
) -> Material:
    recipe = settings.preparation.recipe
    prepared = None if recipe is None else Preparation(recipe)
    images = load_images(dataset, settings.input.provisional, preparation=prepared, track=track)
    mean, std = settings.input.mean, settings.input.std
    if not mean:
        mean, std = images.mean_and_deviation()
    spec = settings.input.spec(mean=mean, std=std)

    def examples(images: TrainingImages) -> Examples:
        return Examples(images, spec, seed=settings.seed, device=_device())

    if validation is None:
        return Material(examples(images), None)
    unseen = load_images(validation, spec, preparation=prepared, track=track)
    return Material(examples(images), examples(unseen))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Work on one processor core for a while.

    Sums then come in one order however many cores there are, so that equal settings give equal
    weights; and layers as small as the paper's lose more time by sharing work than they gain.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _identity(settings: TrainingSettings, material: Material) -> Identity:
    return Identity(
        settings=flat_settings(settings),
        data=material.training.images.fingerprint,
        validation=material.validation.images.fingerprint if material.validation else "",
    )


def _resume(loop: TrainingLoop, checkpoint: Checkpoint, *, restart: bool) -> int:
    """Go on from the checkpoint if there is one; how many epochs it had done."""
    if restart:
        checkpoint.discard()
    state = checkpoint.load()
    if state is not None:
        loop.restore(state)
    return len(loop.losses)


def _details(
    settings: TrainingSettings, material: Material, *, losses: list[EpochLoss]
) -> CardDetails:
    images, validation = material.training.images, material.validation
    drawn = f"; the images are {DRAWN_NOTICE}" if images.is_drawn else ""
    training = {
        "settings": asdict(settings),
        "seed": settings.seed,
        "data": images.described(),
        "validation": validation.images.described() if validation else None,
        "losses": [asdict(loss) for loss in losses],
        "torch": torch.__version__,
        "device": material.training.device.type,
    }
    licence = (
        "The weights are for whoever trained them to license; the licences of the images that they "
        f"were made from hold beside that: {images.licences}{drawn}."
    )
    return CardDetails(
        name=settings.name,
        preparation=settings.preparation.recipe,
        training=training,
        licence=licence,
    )


def _write_curve(
    settings: TrainingSettings, out: Path, *, losses: list[EpochLoss], is_drawn: bool
) -> tuple[Path, Path]:
    png, table = out.with_suffix(".loss.png"), out.with_suffix(".loss.csv")
    title = f"{settings.name}, images {DRAWN_NOTICE}" if is_drawn else settings.name
    curve.write_picture(png, losses, margin=settings.loss.margin, title=title)
    curve.write_table(table, losses)
    return png, table
