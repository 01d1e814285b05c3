import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dermtwin.encoders import InputSpec, look_at, normalised, resized
from dermtwin.errors import SettingsError

images = st.tuples(st.integers(8, 60), st.integers(8, 60)).flatmap(
    lambda shape: arrays(np.uint8, (*shape, 3))
)


@settings(max_examples=40)
@given(images, st.sampled_from(["centre-square", "stretch"]))
def test_a_mirrored_picture_has_the_mirrored_view(image, rule) -> None:
    spec = InputSpec(size=16, resize=rule)
    mirrored = resized(np.ascontiguousarray(image[:, ::-1]), spec)
    difference = mirrored.astype(int) - resized(image, spec)[:, ::-1]
    assert np.abs(difference).max() <= 1  # Pillow's fixed-point weights round one way


def test_whole_frame_and_its_centre_crop_get_the_same_view() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    spec = InputSpec(size=100)
    np.testing.assert_array_equal(resized(frame, spec), resized(frame[:, 75:525], spec))


def test_stretch_uses_the_whole_picture() -> None:
    frame = np.zeros((40, 80, 3), np.uint8)
    frame[:, :20] = 255
    assert resized(frame, InputSpec(size=40, resize="stretch"))[:, :9].min() == 255
    assert resized(frame, InputSpec(size=40))[:, :9].max() == 0


@settings(max_examples=40)
@given(arrays(np.uint8, (2, 8, 8, 3)))
def test_normalised_agrees_with_the_formula(views) -> None:
    spec = InputSpec(size=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    result = normalised(views, spec)
    assert result.shape == (2, 3, 8, 8)
    for channel in range(3):
        expected = (views[..., channel] / 255 - spec.mean[channel]) / spec.std[channel]
        np.testing.assert_allclose(result[:, channel], expected, atol=1e-6)


def test_bytes_and_pixels_take_the_same_way() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    spec = InputSpec(size=64)
    look = look_at(buffer.getvalue(), spec, name="x")
    np.testing.assert_array_equal(look.view, resized(image, spec))
    assert (look.crop, look.remarks) == (None, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 4}, "outside 8"),
        ({"size": 99_999}, "outside 8"),
        ({"resize": "guess"}, "choose one of centre-square, stretch"),
        ({"std": (0.1, 0.0, 0.1)}, "std above 0"),
        ({"mean": (0.1, 0.2)}, "three numbers"),
    ],
)
def test_specs_out_of_bounds_are_refused(changes, words) -> None:
    with pytest.raises(SettingsError, match=words):
        InputSpec(**{"size": 32} | changes)
