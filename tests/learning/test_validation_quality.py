from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy")

from dermtwin.encoders import Codes, InputSpec
from dermtwin.learning.images import load_images
from dermtwin.learning.quality import measured_quality


def test_precision_is_that_of_brute_force(make_blobs) -> None:
    images = load_images(make_blobs(per_class=12), InputSpec(size=25))
    codes = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    codes[:, 0] += images.malignant
    precisions = []
    for query in range(24):
        others = [n for n in range(24) if images.lesions[n] != images.lesions[query]]
        others.sort(key=lambda n: float(np.linalg.norm(codes[n] - codes[query])))
        precisions.append(
            np.mean([images.malignant[n] == images.malignant[query] for n in others[:10]])
        )
    quality = measured_quality(Codes({"code": codes}), images)
    figure = quality["figures"]["code"]["precision@10"]
    assert figure["value"] == pytest.approx(np.mean(precisions))
    assert figure["low"] < figure["value"] < figure["high"]
    assert figure["queries"] == 24
    assert 0.4 < figure["chance"] < 0.5
    assert quality["data"]["fingerprint"] == images.fingerprint


def test_what_no_query_defines_is_none(make_blobs) -> None:
    images = load_images(make_blobs(per_class=2), InputSpec(size=25))
    # One patient a class: nothing of a query's own class may come back.
    cases = tuple(replace(case, patient_id=case.diagnosis_1) for case in images.cases)
    codes = np.arange(8, dtype=np.float32).reshape(4, 2)
    quality = measured_quality(Codes({"code": codes}), replace(images, cases=cases))
    assert quality["figures"]["code"]["mAP, micro"]["value"] is None
