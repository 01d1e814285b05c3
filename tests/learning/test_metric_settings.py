import subprocess
import sys

import pytest

from dermtwin.errors import SettingsError
from dermtwin.learning.metric.settings import TERMS, AugmentationSettings, MetricLossSettings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cosine_softmax": 0.0}, "all losses weigh 0; set one of contrastive, "),
        ({"triplet": -1.0}, "loss.triplet must be from 0 to 1000, got -1.0"),
        ({"triplet": float("nan")}, "loss.triplet must be"),
        ({"margin": 0.0}, "loss.margin must be above 0, at most 2, got 0.0"),
        ({"margin": 2.5}, "loss.margin must be"),
        ({"triplet_margin": 0.0}, "loss.triplet_margin must be above 0, at most 4"),
        ({"near": -0.1}, "loss.near must be above 0"),
        ({"far": 5.0}, "loss.far must be above 0"),
        ({"temperature": 0.0}, "loss.temperature must be from 0.01 to 10"),
        ({"scale": 0.0}, "loss.scale must be above 0"),
        ({"smoothing": 0.6}, "loss.smoothing must be from 0 to 0.5"),
        ({"malignant_weight": float("inf")}, "loss.malignant_weight must be"),
    ],
)
def test_losses_out_of_bounds_are_refused(settings: dict[str, float], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        MetricLossSettings(**settings)


def test_terms_are_the_weights_above_nothing() -> None:
    assert MetricLossSettings().terms == {"cosine_softmax": 1.0}
    assert MetricLossSettings(triplet=0.5).terms == {"triplet": 0.5, "cosine_softmax": 1.0}
    assert set(TERMS) <= set(MetricLossSettings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scale": (0.9, 0.5)}, "augmentation.scale must be two numbers"),
        ({"scale": (0.0, 0.5)}, "augmentation.scale must be two numbers"),
        ({"scale": (0.5, 0.6, 0.7)}, "augmentation.scale must be two numbers"),
        ({"angle": 181.0}, "augmentation.angle must be from 0 to 180"),
        ({"shift": 0.6}, "augmentation.shift must be from 0 to 0.5"),
        ({"blur": 1.1}, "augmentation.blur must be from 0 to 1"),
        ({"gain": -0.1}, "augmentation.gain must be from 0 to 1"),
    ],
)
def test_augmentation_out_of_bounds_is_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        AugmentationSettings(**settings)


def test_settings_are_read_without_torch() -> None:
    code = "import sys, dermtwin.learning.metric.settings; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
