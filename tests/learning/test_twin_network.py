import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from dermtwin.learning.network import (  # noqa: E402
    ExportedNetwork,
    TwinNetwork,
    folded,
    pooled,
)
from dermtwin.learning.settings import NetworkSettings  # noqa: E402


@pytest.fixture
def network() -> TwinNetwork:
    """A network whose normalisations have seen images, so that they are no identities."""
    torch.manual_seed(0)
    made = TwinNetwork(NetworkSettings(), size=100)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    for _ in range(3):
        made(torch.randn(8, 3, 100, 100) + 0.3)
    return made.eval()


def test_layers_stand_as_the_paper_says(network: TwinNetwork) -> None:
    conv_kinds = [type(layer) for layer in network.convolutions]
    assert conv_kinds == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d] * 4 + [nn.Conv2d]
    convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    assert all(layer.kernel_size == (3, 3) for layer in convolutions)
    assert all(layer.padding_mode == "reflect" for layer in convolutions)
    assert convolutions[0].in_channels == 3
    assert [type(layer) for layer in network.connected] == [
        nn.Flatten,
        nn.Linear,
        nn.ReLU,
        nn.BatchNorm1d,
        nn.Linear,
        nn.Sigmoid,
        nn.Linear,
    ]
    assert network(torch.zeros(2, 3, 100, 100)).shape == (2, 5)


def test_folding_changes_no_number(network: TwinNetwork) -> None:
    image = torch.randn(4, 3, 100, 100)
    lean = folded(network.convolutions)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in lean)
    torch.testing.assert_close(lean(image), network.convolutions(image), rtol=1e-4, atol=1e-5)
    features = network.convolutions(image)
    lean = folded(network.connected)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in lean)
    torch.testing.assert_close(lean(features), network.connected(features), rtol=1e-4, atol=1e-5)


def test_folding_leaves_the_network_as_it_was(network: TwinNetwork) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network.convolutions)
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


@pytest.mark.parametrize("side", [25, 50, 100])
def test_pooling_is_the_mean_of_each_cell(side: int) -> None:
    features = torch.randn(2, 1, side, side)
    cell = side // 25
    result = pooled(features)
    assert result.shape == (2, 25, 25)
    for row, column in np.ndindex(25, 25):
        rows, columns = (
            slice(row * cell, (row + 1) * cell),
            slice(column * cell, (column + 1) * cell),
        )
        expected = features[:, 0, rows, columns].mean(dim=(1, 2))
        torch.testing.assert_close(result[:, row, column], expected)


def test_both_codes_come_out_of_one_pass(network: TwinNetwork) -> None:
    image = torch.randn(3, 3, 100, 100)
    code, image_code = ExportedNetwork(network, mean=0.2, deviation=0.5)(image)
    torch.testing.assert_close(code, network(image), rtol=1e-4, atol=1e-5)
    expected = 1 / (1 + torch.exp(-(network.pooled(image) - 0.2) / 0.5))
    torch.testing.assert_close(image_code, expected, rtol=1e-4, atol=1e-5)


def test_strides_and_widths_are_the_settings() -> None:
    settings = NetworkSettings(
        channels=(2, 3, 4, 5), strides=(2, 2, 1, 1, 1), hidden=(7, 6), outputs=3
    )
    network = TwinNetwork(settings, size=100)
    features = network.convolutions(torch.zeros(2, 3, 100, 100))
    assert features.shape == (2, 1, 25, 25)
    assert settings.last_side(100) == 25
    assert network.connected(features).shape == (2, 3)
