import csv
import json
import logging
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from dermtwin.datasets import Dataset  # noqa: E402
from dermtwin.encoders import Encoder  # noqa: E402
from dermtwin.errors import DermtwinError, EncoderError, SettingsError  # noqa: E402
from dermtwin.learning import export  # noqa: E402
from dermtwin.learning.settings import LossSettings, TrainingSettings  # noqa: E402
from dermtwin.learning.training import train_encoder  # noqa: E402
from dermtwin.running import Track  # noqa: E402

EPOCH_DATE = "1700000000"


def by_number(item: tuple[str, float]) -> int:
    return int(item[0])


class InterruptionError(Exception):
    """Thrown by a test in the middle of a training."""


def interrupting(step: int) -> Track:
    """A track that breaks the training off before its given step, counted from 0."""

    def track(items: Iterable, *, label: str, total: int | None = None) -> Iterator:
        del total
        for number, item in enumerate(items):
            if label == "training" and number == step:
                raise InterruptionError
            yield item

    return track


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH_DATE)


def test_same_settings_and_images_give_the_same_file(make_blobs, quick, tmp_path: Path) -> None:
    dataset = make_blobs()
    turned = replace(dataset, rows=dataset.rows[::-1])
    one = train_encoder(quick, dataset, out=tmp_path / "one.onnx")
    other = train_encoder(quick, turned, out=tmp_path / "deep" / "other.onnx")
    assert one.losses == other.losses
    assert one.id == other.id
    third = train_encoder(replace(quick, seed=1), dataset, out=tmp_path / "third.onnx")
    assert third.id != one.id


def test_the_file_does_not_depend_on_the_number_of_threads(
    make_blobs, quick, tmp_path: Path
) -> None:
    import torch

    dataset, before = make_blobs(), torch.get_num_threads()
    ids = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        ids.add(train_encoder(quick, dataset, out=tmp_path / f"{threads}.onnx").id)
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert len(ids) == 1


def test_training_tells_two_kinds_of_blobs_apart(make_blobs, quick, tmp_path: Path) -> None:
    longer = replace(quick, optimiser=replace(quick.optimiser, epochs=25))
    report = train_encoder(
        longer,
        make_blobs(per_class=16),
        out=tmp_path / "e.onnx",
        validation=make_blobs(per_class=8, name="unseen", seed=9),
    )
    assert report.epochs == 25
    assert report.images == 32
    assert report.is_drawn
    uninformed = quick.loss.margin**2 / 8
    assert report.final_loss < uninformed / 2
    assert report.losses[-1].validation is not None
    assert report.losses[-1].validation < uninformed / 2


def test_file_agrees_with_its_card_and_its_pictures(make_blobs, quick, tmp_path: Path) -> None:
    dataset = make_blobs()
    out = tmp_path / "e.onnx"
    report = train_encoder(quick, dataset, out=out)
    encoder = Encoder.open(out)
    card = encoder.card
    assert encoder.id == report.id
    assert card.made_at == "2023-11-14T22:13:20+00:00"
    settings = card.training["settings"]
    assert settings == json.loads(json.dumps(asdict(quick)))
    data = card.training["data"]
    assert (data["images"], data["benign"], data["malignant"]) == (16, 8, 8)
    assert data["drawn"] is True
    assert "drawn, not real" in card.licence
    assert len(card.training["losses"]) == 3
    differences = card.training["export_differences"]
    assert differences.keys() == {"code", "map"}
    assert max(differences.values()) < 1e-4
    for output in ("code", "map"):
        values = [value for _, value in sorted(card.distances[output].items(), key=by_number)]
        assert values == sorted(values)
        assert values[-1] > 0
    views = np.stack([encoder.look(row.image.read_bytes(), name="x").view for row in dataset])
    codes = encoder.encode_views(views).by_output
    assert codes["code"].shape == (16, 5)
    assert codes["map"].shape == (16, 25, 25)
    assert 0 <= codes["map"].min() < 0.3
    assert 0.7 < codes["map"].max() <= 1
    # A light picture is not the training's kind; its image code still is no single value.
    white = encoder.encode_views(np.full((1, 50, 50, 3), 255, np.uint8))
    assert np.isfinite(white.by_output["map"]).all()


def test_file_holds_no_path_of_where_it_was_made(make_blobs, quick, tmp_path: Path) -> None:
    out = tmp_path / "e.onnx"
    train_encoder(quick, make_blobs(), out=out)
    data = out.read_bytes()
    for part in (str(tmp_path), "site-packages", str(Path(export.__file__).parent), "export.py"):
        assert part.encode() not in data


def test_graph_takes_any_number_of_images(make_blobs, quick, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "e.onnx"
    train_encoder(quick, make_blobs(), out=out)
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).normal(size=(7, 3, 50, 50)).astype(np.float32)
    together = session.run(["code", "map"], {"image": image})
    single = session.run(["code", "map"], {"image": image[3:4]})
    for all_of_them, one in zip(together, single, strict=True):
        np.testing.assert_allclose(all_of_them[3:4], one, atol=1e-5)


def test_exporter_keeps_its_remarks_to_itself(
    make_blobs, quick, tmp_path: Path, capfd, caplog
) -> None:
    caplog.set_level(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_encoder(quick, make_blobs(), out=tmp_path / "e.onnx")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_loss_curve_is_written_as_table_and_picture(make_blobs, quick, tmp_path: Path) -> None:
    report = train_encoder(
        quick,
        make_blobs(),
        out=tmp_path / "e.onnx",
        validation=make_blobs(name="unseen", seed=3),
    )
    assert report.loss_csv == tmp_path / "e.loss.csv"
    assert report.loss_png == tmp_path / "e.loss.png"
    rows = list(csv.DictReader(report.loss_csv.read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["training"]) for row in rows] == [loss.training for loss in report.losses]
    assert [float(row["validation"]) for row in rows] == [loss.validation for loss in report.losses]
    with Image.open(report.loss_png) as picture:
        assert picture.width > 500
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert left == ["e.loss.csv", "e.loss.png", "e.onnx"]
    assert not (tmp_path / "e.onnx.training").exists()


@pytest.mark.parametrize("step", [0, 5])
def test_interrupted_training_goes_on_to_the_same_file(
    make_blobs, quick, tmp_path: Path, step: int
) -> None:
    dataset = make_blobs()
    whole = train_encoder(quick, dataset, out=tmp_path / "whole.onnx")
    out = tmp_path / "e.onnx"
    with pytest.raises(InterruptionError):
        train_encoder(quick, dataset, out=out, track=interrupting(step))
    assert not out.exists()
    report = train_encoder(quick, dataset, out=out)
    assert report.resumed_after == step // 2
    assert report.losses == whole.losses
    assert report.id == whole.id


KILLED = """
import pickle, sys, time
from pathlib import Path
from dermtwin.learning.training import train_encoder

def track(items, *, label, total=None):
    for number, item in enumerate(items):
        if label == "training" and number == 3:
            print("in the middle", flush=True)
            time.sleep(600)
        yield item

settings, dataset = pickle.loads(Path(sys.argv[1]).read_bytes())
train_encoder(settings, dataset, out=Path(sys.argv[2]), track=track)
"""


def test_killed_training_goes_on_to_the_same_file(make_blobs, quick, tmp_path: Path) -> None:
    import pickle

    dataset = make_blobs()
    whole = train_encoder(quick, dataset, out=tmp_path / "whole.onnx")
    task, out = tmp_path / "task", tmp_path / "killed.onnx"
    task.write_bytes(pickle.dumps((quick, dataset)))
    command = [sys.executable, "-c", KILLED, str(task), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    report = train_encoder(quick, dataset, out=out)
    assert report.resumed_after == 1
    assert report.losses == whole.losses
    assert report.id == whole.id


@pytest.fixture
def begun(make_blobs, quick, tmp_path: Path) -> tuple[Dataset, Path]:
    """A training broken off after its first epoch: its dataset and its file-to-be."""
    dataset, out = make_blobs(), tmp_path / "e.onnx"
    with pytest.raises(InterruptionError):
        train_encoder(quick, dataset, out=out, track=interrupting(2))
    return dataset, out


def test_other_settings_are_refused_and_named(begun, quick) -> None:
    dataset, out = begun
    other = replace(quick, loss=LossSettings(margin=1.5))
    with pytest.raises(SettingsError, match=r"loss\.margin was 2\.0 and is 1\.5.*--restart"):
        train_encoder(other, dataset, out=out)
    report = train_encoder(other, dataset, out=out, restart=True)
    assert report.resumed_after == 0


def test_other_images_are_refused(begun, quick, make_blobs) -> None:
    dataset, out = begun
    with pytest.raises(SettingsError, match=r"a training on other images.*--restart"):
        train_encoder(quick, replace(dataset, rows=dataset.rows[:-1]), out=out)
    with pytest.raises(SettingsError, match="other validation images"):
        train_encoder(quick, dataset, out=out, validation=make_blobs(name="unseen", seed=3))


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda _: b"no archive"])
def test_damaged_checkpoint_is_told(begun, quick, spoil) -> None:
    dataset, out = begun
    file = out.with_name("e.onnx.training") / "checkpoint.pt"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DermtwinError, match=r"checkpoint\.pt is damaged.*--restart"):
        train_encoder(quick, dataset, out=out)


def test_loss_that_is_no_number_stops_at_its_step_and_keeps_the_last_state(
    make_blobs, quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dermtwin.learning import loop

    real, calls = loop.contrastive_loss, []

    def breaking(*args: torch.Tensor, margin: float) -> torch.Tensor:
        calls.append(margin)
        return real(*args, margin=margin) * (float("nan") if len(calls) == 4 else 1)

    monkeypatch.setattr(loop, "contrastive_loss", breaking)
    dataset, out = make_blobs(), tmp_path / "e.onnx"
    with pytest.raises(DermtwinError, match=r"no longer a number in epoch 2, step 2; .*epoch 1 is"):
        train_encoder(quick, dataset, out=out)
    assert not out.exists()
    monkeypatch.undo()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH_DATE)
    report = train_encoder(quick, dataset, out=out)
    assert report.resumed_after == 1
    assert report.id == train_encoder(quick, dataset, out=tmp_path / "whole.onnx").id


def test_export_that_differs_is_refused(
    make_blobs, quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    out = tmp_path / "e.onnx"
    with pytest.raises(EncoderError, match=r"e\.onnx is not written: its output"):
        train_encoder(quick, make_blobs(), out=out)
    assert not out.exists()


def test_date_that_is_none_is_refused(
    make_blobs, quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH must be seconds since 1970"):
        train_encoder(quick, make_blobs(), out=tmp_path / "e.onnx")


def test_normalisation_of_the_settings_wins(make_blobs, quick, tmp_path: Path) -> None:
    fixed = replace(quick.input, mean=(0.6, 0.5, 0.4), std=(0.2, 0.2, 0.3))
    settings: TrainingSettings = replace(quick, input=fixed)
    train_encoder(settings, make_blobs(), out=tmp_path / "e.onnx")
    spec = Encoder.open(tmp_path / "e.onnx").card.input
    assert (spec.mean, spec.std) == ((0.6, 0.5, 0.4), (0.2, 0.2, 0.3))
