"""`dermtwin train`: a dataset in, an encoder file out."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from dermtwin.datasets import Dataset, read_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import DermtwinError, MissingExtraError, SettingsError
from dermtwin.learning.configuration import read_settings
from dermtwin.learning.metric.training_settings import MetricTrainingSettings
from dermtwin.learning.report import TrainReport
from dermtwin.running import Track, untracked

_PACKAGES = ("torch", "onnx", "onnxscript", "matplotlib", "pytorch_metric_learning")


def train(
    config: str | Path,
    dataset: str | Path,
    *,
    out: str | Path,
    beside: str | Path | None = None,
    validation: str | Path | None = None,
    start: str | Path | None = None,
    overrides: Sequence[str] = (),
    restart: bool = False,
    track: Track = untracked,
) -> TrainReport:
    """Train a network on a dataset and write its encoder file.

    The settings' `method` says which: `siamese`, the paper's network, or `metric`, a backbone with
    ImageNet weights, short codes and bits.

    Interrupted at any moment and called again with the same arguments, it goes on from the last
    point of its curve, of `siamese` its last epoch. Beside the encoder stand its loss curve as PNG
    and CSV.

    Args:
        config: a TOML file of settings, such as `configs/paper.toml`.
        dataset: to learn from; images neither benign nor malignant are left out and counted.
        out: the encoder file to write.
        beside: a dataset to learn from as well, `metric` alone; the card's distances and figures
            are of `dataset` without it. A diagnosis must be spelt alike in both.
        validation: a dataset to measure loss and quality on, with nothing learnt from it.
        start: an encoder to start from instead of ImageNet's weights, `metric` alone: one that
            `train` made with the same backbone and codes, such as the one that ships.
        overrides: settings such as `loss.margin=1.5`, which win over the file's.
        restart: forget an unfinished training and begin anew.
        track: looks on while images are read, steps are made and the export is checked.

    Raises:
        MissingExtraError: torch or what else training needs is not installed.
        SettingsError: a setting is unknown or out of bounds, or an unfinished training there has
            other settings or images.
        DatasetError: a dataset cannot be used as asked; all faults are told at once.
        DermtwinError: the loss stops being a number, or a file cannot be written.
        EncoderError: the exported file does not give the network's own codes, or `start` is none.
    """
    settings = read_settings(Path(config), overrides=overrides)
    _refuse_without_packages()
    out = Path(out)
    if out.is_dir():
        raise DermtwinError(f"{out} is a folder; give a file for the encoder.")
    first = None if start is None else Encoder.open(start)
    given = _faultless(dataset, track=track)
    more = None if beside is None else _faultless(beside, track=track)
    unseen = None if validation is None else _faultless(validation, track=track)
    # Both need torch.
    if isinstance(settings, MetricTrainingSettings):
        from dermtwin.learning.metric.training import train_metric_encoder  # noqa: PLC0415

        return train_metric_encoder(
            settings,
            given,
            out=out,
            beside=more,
            validation=unseen,
            start=first,
            restart=restart,
            track=track,
        )
    if first is not None:
        raise SettingsError("the paper's network starts from nothing; leave `start` out.")
    if more is not None:
        raise SettingsError("the paper's network learns from one dataset; leave `beside` out.")
    from dermtwin.learning.training import train_encoder  # noqa: PLC0415

    return train_encoder(settings, given, out=out, validation=unseen, restart=restart, track=track)


def _refuse_without_packages() -> None:
    if any(find_spec(package) is None for package in _PACKAGES):
        raise MissingExtraError("training", extra="train")


def _faultless(path: str | Path, *, track: Track) -> Dataset:
    dataset = read_dataset(path, track=track)
    dataset.refuse_faults()
    return dataset
