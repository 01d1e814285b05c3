from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dermtwin.datasets import Dataset
from dermtwin.encoders import InputSpec, look_at
from dermtwin.errors import DatasetError
from dermtwin.learning.images import load_images

SPEC = InputSpec(size=50)


def test_views_are_the_encoders_own_in_the_order_of_names(make_blobs) -> None:
    dataset = make_blobs(per_class=3)
    images = load_images(dataset, SPEC)
    expected = [look_at(row.image.read_bytes(), SPEC, name="x").view for row in dataset]
    assert np.array_equal(images.views, np.stack(expected))
    assert images.malignant.tolist() == [False, True] * 3
    assert images.is_drawn


def test_order_of_the_table_changes_nothing(make_blobs) -> None:
    dataset = make_blobs(per_class=3)
    turned = replace(dataset, rows=dataset.rows[::-1])
    one, other = load_images(dataset, SPEC), load_images(turned, SPEC)
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.views, other.views)


def change_image(dataset: Dataset) -> Dataset:
    first = dataset.rows[0].image
    first.write_bytes(dataset.rows[1].image.read_bytes())
    return dataset


def change_case(dataset: Dataset, **fields: str) -> Dataset:
    first = dataset.rows[0]
    changed = replace(first, case=replace(first.case, **fields))
    return replace(dataset, rows=(changed, *dataset.rows[1:]))


@pytest.mark.parametrize(
    "change",
    [
        change_image,
        lambda dataset: change_case(dataset, diagnosis_1="Malignant"),
        lambda dataset: change_case(dataset, lesion_id="another"),
        lambda dataset: change_case(dataset, isic_id="another"),
        lambda dataset: replace(dataset, rows=dataset.rows[1:]),
    ],
    ids=["image", "class", "lesion", "name", "row"],
)
def test_fingerprint_tells_every_change(make_blobs, change) -> None:
    dataset = make_blobs(per_class=2)
    before = load_images(dataset, SPEC).fingerprint
    assert load_images(change(dataset), SPEC).fingerprint != before


def test_rows_without_a_class_are_left_out_and_counted(make_blobs) -> None:
    dataset = make_blobs(per_class=2, diagnoses=("Benign", "Malignant", "Indeterminate"))
    images = load_images(dataset, SPEC)
    assert (len(images), images.left_out) == (4, 2)


def test_nothing_left_is_refused(make_blobs) -> None:
    with pytest.raises(DatasetError, match="no image that is benign or malignant"):
        load_images(make_blobs(per_class=2, diagnoses=("Indeterminate",)), SPEC)


def test_all_unreadable_images_are_told_at_once(make_blobs) -> None:
    dataset = make_blobs(per_class=5)
    for row in dataset.rows[:7]:
        row.image.write_text("no picture")
    with pytest.raises(DatasetError) as error:
        load_images(dataset, SPEC)
    lines = str(error.value).splitlines()
    assert lines[0] == "7 images cannot be read:"
    assert Path(dataset.rows[0].image).name in lines[1]
    assert lines[-1].strip() == "… and 2 more"


def test_unknown_lesions_are_lesions_of_their_own(make_blobs) -> None:
    dataset = make_blobs(per_class=2)
    bare = tuple(replace(row, case=replace(row.case, lesion_id=None)) for row in dataset)
    images = load_images(replace(dataset, rows=bare), SPEC)
    assert len(set(images.lesions)) == 4


def test_mean_and_deviation_are_the_pixels(make_blobs) -> None:
    images = load_images(make_blobs(per_class=3), SPEC)
    mean, deviation = images.mean_and_deviation()
    pixels = images.views.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(deviation, pixels.std(axis=0), atol=1e-6)


def test_a_channel_without_variance_keeps_its_scale(make_blobs) -> None:
    images = load_images(make_blobs(per_class=2), SPEC)
    flat = replace(images, views=np.full_like(images.views, 51))
    assert flat.mean_and_deviation() == ((0.2, 0.2, 0.2), (1.0, 1.0, 1.0))
