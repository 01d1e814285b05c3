"""A training from dataset to encoder file."""

import time
from dataclasses import asdict
from pathlib import Path

from dermtwin.datasets import Dataset
from dermtwin.learning import curve
from dermtwin.learning.around import (
    details_of,
    identity_of,
    threads,
    title_of,
    training_device,
)
from dermtwin.learning.checkpoint import Checkpoint
from dermtwin.learning.examples import Examples, Material
from dermtwin.learning.export import export_encoder, paper_exportable
from dermtwin.learning.images import TrainingImages, load_images
from dermtwin.learning.loop import TrainingLoop
from dermtwin.learning.report import EpochLoss, TrainReport
from dermtwin.learning.settings import TrainingSettings
from dermtwin.preparation import Preparation
from dermtwin.running import Track, untracked


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
        DatasetError: images that cannot be read, too few of a class, or validation images that
            show what is learnt from.
        SettingsError: an unfinished training there has other settings or images.
        DermtwinError: the loss stops being a number, or the file cannot be written.
        EncoderError: the export is not as the network.
    """
    began = time.monotonic()
    material = _material(settings, dataset, validation, track=track)
    loop = TrainingLoop(settings, material)
    checkpoint = Checkpoint(
        out,
        identity_of(
            settings,
            material.training.images,
            material.validation.images if material.validation else None,
        ),
    )
    resumed_after = _resume(loop, checkpoint, restart=restart)
    with threads(1):
        for _ in track(loop.steps(checkpoint), label="training", total=loop.steps_left):
            pass
        details = details_of(
            settings,
            material.training.images,
            material.validation.images if material.validation else None,
            curve=[asdict(loss) for loss in loop.losses],
            device=material.training.device,
        )
        images = material.training.images
        encoder = export_encoder(
            paper_exportable(loop.network, material.training),
            material.training.spec,
            images,
            validation=material.validation.images if material.validation else None,
            out=out,
            details=details,
            track=track,
        )
    png, table = _write_curve(settings, out, losses=loop.losses, images=images)
    checkpoint.discard()
    return TrainReport(
        encoder=out,
        id=encoder.id,
        images=len(images),
        left_out=images.left_out,
        is_drawn=images.is_drawn,
        losses=tuple(loop.losses),
        epochs=len(loop.losses),
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
        return Examples(images, spec, seed=settings.seed, device=training_device())

    if validation is None:
        return Material(examples(images), None)
    unseen = load_images(validation, spec, preparation=prepared, track=track)
    images.refuse_shared(unseen)
    return Material(examples(images), examples(unseen))


def _resume(loop: TrainingLoop, checkpoint: Checkpoint, *, restart: bool) -> int:
    """Go on from the checkpoint if there is one; how many epochs it had done."""
    if restart:
        checkpoint.discard()
    state = checkpoint.load()
    if state is not None:
        loop.restore(state)
    return len(loop.losses)


def _write_curve(
    settings: TrainingSettings, out: Path, *, losses: list[EpochLoss], images: TrainingImages
) -> tuple[Path, Path]:
    png, table = out.with_suffix(".loss.png"), out.with_suffix(".loss.csv")
    title = title_of(settings, images)
    curve.write_picture(png, losses, margin=settings.loss.margin, title=title)
    curve.write_table(table, losses)
    return png, table
