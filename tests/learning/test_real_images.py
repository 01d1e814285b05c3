"""ONNX and torch agree on real images; skipped where `DERMTWIN_DATA` names none."""

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.learning.training import train_encoder


def test_codes_of_sixty_four_real_images_agree(quick, tmp_path: Path) -> None:
    named = os.environ.get("DERMTWIN_DATA")
    if not named:
        pytest.skip("DERMTWIN_DATA names no folder of real images")
    whole = read_dataset(named)
    rows = [
        row
        for malignant in (False, True)
        for row in islice((row for row in whole if row.case.is_malignant is malignant), 32)
    ]
    assert len(rows) == 64
    report = train_encoder(quick, replace(whole, rows=tuple(rows)), out=tmp_path / "e.onnx")
    differences = Encoder.open(report.encoder).card.training["export_differences"]
    assert differences.keys() == {"code", "map"}
    assert max(differences.values()) <= 1e-4
