"""A metric training from dataset to encoder file."""

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermtwin.datasets import Dataset
from dermtwin.encoders import REGIONS, Encoder, InputSpec, normalised
from dermtwin.errors import DatasetError, SettingsError
from dermtwin.learning import curve, devices
from dermtwin.learning.around import (
    details_of,
    identity_of,
    threads,
    title_of,
    training_device,
)
from dermtwin.learning.checkpoint import Checkpoint
from dermtwin.learning.export import Exportable, export_encoder
from dermtwin.learning.images import TrainingImages, load_images
from dermtwin.learning.metric.backbones import mean_and_deviation
from dermtwin.learning.metric.batches import LARGER, MetricBatches
from dermtwin.learning.metric.network import (
    ExportedMetricNetwork,
    MetricNetwork,
    first_network,
)
from dermtwin.learning.metric.objective import Objective
from dermtwin.learning.metric.starting import start_from
from dermtwin.learning.metric.training_settings import MetricTrainingSettings
from dermtwin.learning.metric.validation import macro_map
from dermtwin.learning.report import EpochLoss, TrainReport
from dermtwin.learning.stepping import Pace, Point, Trained, train_network
from dermtwin.preparation import Preparation
from dermtwin.running import Track, untracked

_ROWS = 64
_PICTURED = 32  # batches whose statistics an encoder's normalisations are given


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    """Images of a training: larger ones to learn from, and at the input's size to compare on.

    Attributes:
        spec: of the input.
        learnt_from: all that is learnt from, larger.
        images: those of them that figures and distances are told of.
        beside: the others, larger.
        validation: nothing is learnt from them.
        start: whose weights the network starts from.
    """

    spec: InputSpec
    learnt_from: TrainingImages
    images: TrainingImages
    beside: TrainingImages | None
    validation: TrainingImages | None
    start: Encoder | None


def train_metric_encoder(  # noqa: PLR0913 - the arguments of the verb
    settings: MetricTrainingSettings,
    dataset: Dataset,
    *,
    out: Path,
    beside: Dataset | None = None,
    validation: Dataset | None = None,
    start: Encoder | None = None,
    restart: bool = False,
    track: Track = untracked,
) -> TrainReport:
    """Train a backbone with its codes and write the encoder file.

    Interrupted at any moment and called again, it goes on from the last point of its curve.

    Args:
        settings: everything that decides, with the images, what comes out.
        dataset: to learn from; rows neither benign nor malignant are left out.
        out: the encoder file; the loss curve is written beside it.
        beside: more images to learn from; the card's distances and its gallery are without them.
        validation: images to measure quality on; nothing is learnt from them, but with
            `optimiser.patience` they decide when to stop.
        start: whose weights to start from; None: the backbone's own, and random ones.
        restart: forget an unfinished training of the same name.
        track: looks on while images are read and steps are made.

    Raises:
        DatasetError: images that cannot be read, a single lesion, a class with one, or validation
            images that show what is learnt from.
        SettingsError: an unfinished training there has other settings or images, the backbone's
            weights are not installed, `start` is of another network, or a setting needs `start`
            or `validation`.
        DermtwinError: the loss stops being a number, or the file cannot be written.
        EncoderError: the export is not as the network.
    """
    began, several = time.monotonic(), settings.optimiser.devices > 1
    if several:
        devices.refuse_without_guard()
    if settings.optimiser.start_share and start is None:
        raise SettingsError("optimiser.start_share needs an encoder to start from (--from).")
    if settings.optimiser.patience and validation is None:
        raise SettingsError(
            "optimiser.patience needs images to tell when quality no longer rises (--validation)."
        )
    material = _material(settings, dataset, beside, validation, start=start, track=track)
    identity = identity_of(settings, material.learnt_from, material.validation, start=start)
    checkpoint = Checkpoint(out, identity)
    if restart:
        checkpoint.discard()
    batches = _batches(settings, material)
    resumed = (checkpoint.load() or {"curve": []})["curve"]
    if several:
        # Named twice, the larger images are pickled once; the others are for the export alone.
        lean = replace(material, images=material.learnt_from, beside=None)
        given = (settings, lean, checkpoint, devices.travelling(track))
        devices.in_processes(_take_part, *given, processes=settings.optimiser.devices)
    with threads(settings.optimiser.threads):
        # After several processes, nothing is left to do but to take up their last checkpoint.
        trained = _trained(settings, material, batches, checkpoint=checkpoint, track=track)
        encoder = export_encoder(
            _exportable(trained.network, material),
            material.spec,
            material.images,
            validation=material.validation,
            out=out,
            details=details_of(
                settings,
                material.images,
                material.validation,
                curve=[_plain(point) for point in trained.curve],
                device=training_device(),
                beside=material.beside,
                learnt_from=material.learnt_from,
                start=start,
            ),
            track=track,
        )
    png, table = out.with_suffix(".loss.png"), out.with_suffix(".loss.csv")
    curve.write_points(png, table, trained.curve, title=title_of(settings, material.images))
    checkpoint.discard()
    return TrainReport(
        encoder=out,
        id=encoder.id,
        images=len(material.images),
        left_out=material.images.left_out,
        is_drawn=material.images.is_drawn,
        losses=tuple(EpochLoss(point.loss, None) for point in trained.curve),
        resumed_after=len(resumed),
        epochs=-(-trained.curve[-1].step // batches.per_epoch),
        seconds=time.monotonic() - began,
        loss_png=png,
        loss_csv=table,
    )


def _material(  # noqa: PLR0913 - all that it is made of
    settings: MetricTrainingSettings,
    dataset: Dataset,
    beside: Dataset | None,
    validation: Dataset | None,
    *,
    start: Encoder | None,
    track: Track,
) -> _Material:
    mean, std = mean_and_deviation(settings.backbone)
    spec = settings.input.spec(mean=mean, std=std)
    larger = replace(spec, size=round(LARGER * spec.size))
    recipe = settings.preparation.recipe
    load = partial(
        load_images, preparation=None if recipe is None else Preparation(recipe), track=track
    )
    learnt_from = load(dataset, larger)
    others = None if beside is None else load(beside, larger)
    if others is not None:
        learnt_from = learnt_from.beside(others)
    unseen = None if validation is None else load(validation, spec)
    if unseen is not None:
        learnt_from.refuse_shared(unseen)
    images = load(dataset, spec)
    if len(set(images.lesions)) == 1:
        raise DatasetError(
            f"{dataset.table} shows one lesion alone; how near two lesions are can't be learnt."
        )
    return _Material(
        spec=spec,
        learnt_from=learnt_from,
        images=images,
        beside=others,
        validation=unseen,
        start=start,
    )


def _batches(settings: MetricTrainingSettings, material: _Material) -> MetricBatches:
    return MetricBatches(
        material.learnt_from, settings, spec=material.spec, device=training_device()
    )


def _take_part(
    settings: MetricTrainingSettings, material: _Material, checkpoint: Checkpoint, track: Track
) -> None:
    """One of several processes' share; what it comes to is in the checkpoint."""
    looking = track if devices.rank() == 0 else untracked
    batches = _batches(settings, material)
    with threads(settings.optimiser.threads):
        _trained(settings, material, batches, checkpoint=checkpoint, track=looking)


def _trained(
    settings: MetricTrainingSettings,
    material: _Material,
    batches: MetricBatches,
    *,
    checkpoint: Checkpoint,
    track: Track,
) -> Trained:
    network, objective = _first(settings, material.start, batches, training_device())
    share = settings.optimiser.start_share
    first = deepcopy(network.state_dict()) if share else {}
    trained = train_network(
        network,
        batches=batches,
        loss=objective,
        pace=_pace(settings, batches, network, objective, is_started=material.start is not None),
        checkpoint=checkpoint,
        measure=lambda _, now: _measured(now, material),
        track=track,
    )
    _mix_in(first, trained.network, share=share)
    return trained


def _mix_in(first: Mapping[str, Tensor], network: nn.Module, *, share: float) -> None:
    """Let weights keep a share of those that they started from (Wortsman 2022, "WiSE-FT")."""
    state = network.state_dict()
    for name, value in first.items():
        if value.is_floating_point():  # batches are counted, in whole numbers
            state[name].lerp_(value, share)


def _first(
    settings: MetricTrainingSettings,
    start: Encoder | None,
    batches: MetricBatches,
    device: torch.device,
) -> tuple[MetricNetwork, Objective]:
    """Network and losses before training, the same for the same seed."""
    precision: torch.dtype = getattr(torch, settings.optimiser.precision)
    network = first_network(
        settings.backbone, settings.head, seed=settings.seed, precision=precision
    )
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        pictures = (batches.draw(step)[0] for step in range(_PICTURED))
        start_from(network, start, pictures=pictures)
    devices.synchronise(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        objective = Objective(settings, malignant_of=batches.diagnoses.malignant_of)
    return network.train(), objective.to(device)


def _pace(
    settings: MetricTrainingSettings,
    batches: MetricBatches,
    network: MetricNetwork,
    objective: Objective,
    *,
    is_started: bool,
) -> Pace:
    chosen = settings.optimiser
    bits = [] if network.bits is None else list(network.bits.parameters())
    backbone, heads = list(network.backbone.parameters()), [*network.code.parameters(), *bits]
    # What has learnt already moves at the backbone's rate, what starts at random at the other.
    learnt, new = ([*backbone, *heads], []) if is_started else (backbone, heads)
    return Pace(
        rates=[
            (chosen.backbone_rate, learnt),
            (chosen.head_rate, [*new, *objective.parameters()]),
        ],
        steps=chosen.epochs * batches.per_epoch,
        every=chosen.measured_every * batches.per_epoch,
        decay=chosen.average,
        weight_decay=chosen.weight_decay,
        seed=settings.seed,
        patience=chosen.patience,
    )


def _measured(network: nn.Module, material: _Material) -> float | None:
    """Macro mAP on the validation images."""
    if material.validation is None:
        return None
    codes = _through(network, material.validation.views, material.spec)[0]
    return macro_map(codes, material.validation)


@torch.no_grad()
def _through(
    network: nn.Module, views: NDArray[np.uint8], spec: InputSpec
) -> list[NDArray[np.float32]]:
    """What a network gives for views uint8 [N, size, size, 3]: codes [N, D], then what follows."""
    device = next(network.parameters()).device
    found = []
    for begin in range(0, len(views), _ROWS):
        image = torch.from_numpy(normalised(views[begin : begin + _ROWS], spec)).to(device)
        given = network(image.contiguous(memory_format=torch.channels_last))
        outputs: tuple[Tensor, ...] = given if isinstance(given, tuple) else (given.codes,)
        found.append([each.float().cpu().numpy() for each in outputs])
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def _exportable(network: nn.Module, material: _Material) -> Exportable:
    assert isinstance(network, MetricNetwork)
    exported = ExportedMetricNetwork(network.cpu()).eval()
    metrics = {"code": "euclidean", REGIONS: "dot"}
    if network.bits is not None:
        metrics["bits"] = "hamming"
    values = _through(exported, material.images.views, material.spec)
    return Exportable(
        network=exported, outputs=metrics, expected=dict(zip(metrics, values, strict=True))
    )


def _plain(point: Point) -> dict[str, float | int | None]:
    return {
        "step": point.step,
        "training": point.loss,
        "rate": point.rate,
        "validation_macro_map": point.quality,
    }
