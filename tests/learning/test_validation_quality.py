from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy")

from dermtwin.encoders import Card, Codes, InputSpec, OutputSpec
from dermtwin.learning.images import TrainingImages, load_images
from dermtwin.learning.quality import EncodedImages, measured_quality

SPEC = InputSpec(size=25)
CARD = Card(
    name="n",
    made_by="m",
    made_at="2026",
    input=SPEC,
    outputs={"code": OutputSpec((5,)), "bits": OutputSpec((64,), "hamming")},
    licence="l",
)


def coded(images: TrainingImages, seed: int) -> EncodedImages:
    rng = np.random.default_rng(seed)
    code = rng.normal(size=(len(images), 5)).astype(np.float32)
    code[:, 0] += images.malignant
    bits = rng.normal(size=(len(images), 64)).astype(np.float32)
    return EncodedImages(images=images, codes=Codes({"code": code, "bits": bits}))


def precision(queries: EncodedImages, gallery: EncodedImages) -> float:
    found = []
    asked, offered = queries.codes.vectors(), gallery.codes.vectors()
    for query, lesion in enumerate(queries.images.lesions):
        others = [n for n, each in enumerate(gallery.images.lesions) if each != lesion]
        others.sort(key=lambda n: float(np.linalg.norm(offered[n] - asked[query])))
        same = [gallery.images.malignant[n] == queries.images.malignant[query] for n in others]
        found.append(np.mean(same[:10]))
    return float(np.mean(found))


def test_precision_is_that_of_brute_force(make_blobs) -> None:
    images = load_images(make_blobs(per_class=12), SPEC)
    queries = coded(images, 0)
    # The same pictures as other cases, so that none is left out as the query's own.
    others = tuple(replace(each, isic_id=f"other {each.isic_id}") for each in images.cases)
    lesions = tuple(f"other {each}" for each in images.lesions)
    apart = tuple(replace(each, lesion_id=None) for each in others)
    gallery = coded(replace(images, cases=apart, lesions=lesions), 1)
    quality = measured_quality(CARD, queries, gallery=gallery)
    of_code = quality["figures"]["code"]
    for protocol, side in (("leave-one-out", queries), ("gallery", gallery)):
        figure = of_code[protocol]["precision@10"]
        assert figure["value"] == pytest.approx(precision(queries, side))
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["queries"] == 24
        assert 0.4 < figure["chance"] <= 0.5
    assert set(quality["figures"]) == {"code", "bits", "bits[:32]", "bits, re-ranked"}
    assert quality["data"]["fingerprint"] == images.fingerprint


def test_without_a_gallery_there_is_no_such_protocol(make_blobs) -> None:
    images = load_images(make_blobs(per_class=12), SPEC)
    quality = measured_quality(CARD, coded(images, 0))
    assert quality["gallery"] is None
    assert set(quality["figures"]["code"]) == {"leave-one-out"}


def test_what_no_query_defines_is_none(make_blobs) -> None:
    images = load_images(make_blobs(per_class=2), SPEC)
    # One patient a class: nothing of a query's own class may come back.
    cases = tuple(replace(case, patient_id=case.diagnosis_1) for case in images.cases)
    quality = measured_quality(CARD, coded(replace(images, cases=cases), 0))
    assert quality["figures"]["code"]["leave-one-out"]["mAP, micro"]["value"] is None
