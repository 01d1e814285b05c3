"""How far an encoder file may lie from the network that it was written from."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dermtwin.encoders import InputSpec  # noqa: E402
from dermtwin.errors import EncoderError  # noqa: E402
from dermtwin.learning.export import CardDetails, Exportable, export_encoder  # noqa: E402
from dermtwin.learning.images import TrainingImages, load_images  # noqa: E402

SPEC = InputSpec(size=16)


class _Scaled(torch.nn.Module):
    """Features of any size."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.convolution = torch.nn.Conv2d(3, 64, 5)
        self.scale = scale

    def forward(self, image):
        return self.convolution(image).relu().mean(dim=(2, 3)) * self.scale


@pytest.fixture
def images(make_blobs) -> TrainingImages:
    return load_images(make_blobs(), SPEC)


def _export(images: TrainingImages, out: Path, *, scale: float, wrong: float = 0):
    network = _Scaled(scale).eval()
    with torch.inference_mode():
        seen = torch.from_numpy(images.views).permute(0, 3, 1, 2) / 255
        expected = network((seen - 0.5) / 0.5).numpy()
    expected[0, 0] += wrong * np.abs(expected).max()
    return export_encoder(
        Exportable(network=network, outputs={"code": "euclidean"}, expected={"code": expected}),
        SPEC,
        images,
        validation=None,
        out=out,
        details=CardDetails(name="scaled", preparation=None, training={}, licence="none"),
    )


def test_large_numbers_may_be_rounded_like_small_ones(images, tmp_path: Path) -> None:
    cards = [_export(images, tmp_path / f"{scale}.onnx", scale=scale).card for scale in (1, 1e5)]
    small, large = (card.training["export_differences"]["code"] for card in cards)
    assert large == pytest.approx(small, abs=1e-5)


@pytest.mark.parametrize("scale", [1, 1e5])
def test_a_file_unlike_its_network_is_refused(images, tmp_path: Path, scale) -> None:
    with pytest.raises(EncoderError, match=r"'code' differs from the network's by 0\.00\d+ of its"):
        _export(images, tmp_path / "wrong.onnx", scale=scale, wrong=1e-3)
    assert not list(tmp_path.glob("wrong*"))
