import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from dermtwin.encoders import Encoder
from dermtwin.errors import DatasetError, DermtwinError, SettingsError
from dermtwin.verbs.train import train

PAPER = Path(__file__).parents[2] / "configs" / "paper.toml"
QUICK = ("input.size=50", "optimiser.epochs=2", "optimiser.batch_pairs=8", "name=quick")


def test_paths_in_encoder_out(make_blobs, tmp_path: Path) -> None:
    dataset, unseen = make_blobs(), make_blobs(name="unseen", seed=4)
    out = tmp_path / "e.onnx"
    report = train(
        str(PAPER), dataset.table.parent, out=out, validation=str(unseen.table), overrides=QUICK
    )
    card = Encoder.open(out).card
    assert card.name == "quick"
    assert card.training["validation"]["images"] == 16
    assert card.quality["figures"].keys() == {"code", "map"}
    told = str(report).splitlines()
    assert told[0] == f"encoder {out} ({report.id[:12]})"
    assert told[1] == "trained on 16 images (drawn, not real)"
    assert told[2].startswith("2 epochs in ")
    assert f"loss {report.final_loss:.4f}, validation " in told[3]


def test_rows_without_a_class_are_told(make_blobs, tmp_path: Path) -> None:
    dataset = make_blobs(diagnoses=("Benign", "Malignant", "Indeterminate"))
    report = train(PAPER, dataset.table.parent, out=tmp_path / "e.onnx", overrides=QUICK)
    assert report.left_out == 8
    assert "16 images (drawn, not real); 8 neither benign nor malignant left out" in str(report)


def test_faults_of_the_dataset_are_refused_before_training(make_blobs, tmp_path: Path) -> None:
    dataset = make_blobs()
    dataset.rows[0].image.unlink()
    with pytest.raises(DatasetError, match="1 rows without an image file"):
        train(PAPER, dataset.table.parent, out=tmp_path / "e.onnx", overrides=QUICK)
    assert not (tmp_path / "e.onnx").exists()


@pytest.mark.parametrize("kept", ["Benign", "Malignant"])
def test_one_class_only_is_refused(make_blobs, tmp_path: Path, kept: str) -> None:
    dataset = make_blobs(diagnoses=(kept,))
    with pytest.raises(DatasetError, match=f"all training images are {kept.lower()}"):
        train(PAPER, dataset.table.parent, out=tmp_path / "e.onnx", overrides=QUICK)


def test_settings_are_checked_before_images_are_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"loss\.margin must be above 0"):
        train(PAPER, tmp_path / "none", out=tmp_path / "e.onnx", overrides=["loss.margin=0"])


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxscript", "matplotlib"])
def test_missing_packages_name_the_extra(tmp_path: Path, package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from dermtwin.errors import MissingExtraError\n"
        "from dermtwin.verbs.train import train\n"
        "try:\n"
        f"    train({str(PAPER)!r}, {str(tmp_path)!r}, out={str(tmp_path / 'e.onnx')!r})\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "training needs more packages; run: pip install 'dermtwin[train]'" in done.stdout


def test_a_folder_in_the_encoders_place_is_told_before_images_are_read(tmp_path: Path) -> None:
    with pytest.raises(DermtwinError, match="is a folder; give a file"):
        train(PAPER, tmp_path / "none", out=tmp_path, overrides=QUICK)


def test_images_that_are_learnt_from_are_not_measured_on(make_blobs, tmp_path: Path) -> None:
    folder = make_blobs().table.parent
    with pytest.raises(DatasetError, match="16 images are both learnt from and measured on"):
        train(PAPER, folder, out=tmp_path / "e.onnx", validation=folder, overrides=QUICK)
