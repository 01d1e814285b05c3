"""Photographs that are there already: found whatever was done to them, and treated as asked."""

import csv
import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_casebooks import Process, contents

from dermtwin.casebook import Casebook, ImageHashes
from dermtwin.datasets import draw_lesion
from dermtwin.datasets.duplicates import HASH_DISTANCE
from dermtwin.errors import SettingsError
from dermtwin.verbs.add import add
from dermtwin.verbs.adding.repeats import _distances, _near
from dermtwin.verbs.check import check

TURNED = Image.Transpose.ROTATE_90


def dataset(folder: Path, rows: dict[str, tuple[str, bytes]]) -> Path:
    """A dataset of names, each with its lesion and its image's bytes."""
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["isic_id", "lesion_id"])
        table.writerows([name, lesion] for name, (lesion, _) in rows.items())
    for name, (_, data) in rows.items():
        (folder / f"{name}.jpg").write_bytes(data)
    return folder


@cache
def jpeg(seed: int, *, quality: int = 90, side: int = 1, turn: bool = False) -> bytes:
    picture = Image.fromarray(draw_lesion(seed).rgb)
    picture = picture.reduce(side) if side > 1 else picture
    file = io.BytesIO()
    (picture.transpose(TURNED) if turn else picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture
def there(tmp_path, encoder_file) -> Path:
    """A casebook of six lesions."""
    rows = {f"first-{seed}": (f"L{seed}", jpeg(seed)) for seed in range(6)}
    add(dataset(tmp_path / "first", rows), casebook=tmp_path / "book", encoder=encoder_file)
    return tmp_path / "book"


NEW = {
    "same-bytes": ("M0", jpeg(0)),
    "saved-anew": ("M1", jpeg(1, quality=60)),
    "smaller-and-turned": ("", jpeg(2, side=2, turn=True)),
    "of-the-same-lesion": ("L3", jpeg(3, quality=60)),
    "new": ("M4", jpeg(40)),
    "new-again": ("M5", jpeg(40, quality=70)),
}
REPEATS = {
    "same-bytes": "first-0, which is of another lesion (L0, here M0)",
    "saved-anew": "first-1, which is of another lesion (L1, here M1)",
    "smaller-and-turned": "first-2; whether they are of one lesion is not known",
    "new-again": "new, which is of another lesion (M4, here M5)",
}


def test_repeats_are_told_and_added(tmp_path, there) -> None:
    report = add(dataset(tmp_path / "new", NEW), casebook=there)
    assert (report.added, report.repeating, report.skipped, report.faults) == (6, 4, 0, ())
    for name, words in REPEATS.items():
        assert [
            each for each in report.warnings if f"{name} shows the photograph of {words}" in each
        ]
    assert len(report.warnings) == 4
    assert check(casebook=there).problems == ()


def test_repeats_are_skipped_as_often_as_it_is_asked(tmp_path, there) -> None:
    new = dataset(tmp_path / "new", NEW)
    for added in (2, 0):
        report = add(new, casebook=there, on_duplicate="skip")
        assert (report.added, report.skipped, report.faults) == (added, 4, ())
        assert "4 skipped" in str(report)
    assert not contents(there).keys() & REPEATS.keys()
    assert check(casebook=there).counts["images"] == 8


def test_repeats_are_bad_rows_if_so_wished(tmp_path, there) -> None:
    report = add(dataset(tmp_path / "new", NEW), casebook=there, on_duplicate="refuse")
    assert (report.added, report.skipped) == (2, 0)
    assert [fault.line for fault in report.faults] == [2, 3, 4, 7]
    with pytest.raises(SettingsError, match="report, skip, refuse"):
        add(tmp_path / "new", casebook=there, on_duplicate="perhaps")


def test_copies_are_found_without_thumbnails_too(tmp_path, there) -> None:
    for path in (there / "thumbnails").rglob("*.jpg"):
        path.unlink()
    report = add(dataset(tmp_path / "new", NEW), casebook=there, on_duplicate="skip")
    assert (report.added, report.skipped) == (2, 4)


@pytest.mark.parametrize(("choice", "added"), [("skip", 36), ("report", 72)])
def test_two_that_add_at_once_see_each_others_photographs(
    tmp_path, place, encoder_file, choice, added
) -> None:
    """Each photograph comes twice, under two names, and the second of the two is noticed."""
    Casebook.open_or_make(place).close()
    parts = [
        dataset(
            tmp_path / name,
            {f"{name}-{seed}": (f"{name}-{seed}", jpeg(seed, side=4)) for seed in range(36)},
        )
        for name in ("one", "other")
    ]
    with Process() as one, Process() as other:
        for process in (one, other):
            process.ask("stats", casebook=place)  # all is imported
        for process, part in zip((one, other), parts, strict=True):
            process.begin("add", part, casebook=place, encoder=encoder_file, on_duplicate=choice)
        reports = [process.answer() for process in (one, other)]
    assert sum(report["added"] for report in reports) == len(contents(place)) == added
    counted = {"skip": "skipped", "report": "repeating"}[choice]
    assert sum(report[counted] for report in reports) == 36
    report = check(casebook=place)
    assert (report.problems, report.counts["unfinished"]) == ((), 0)


HASHES = st.integers(0, 2**64 - 1)


@given(own=st.lists(HASHES, min_size=8, max_size=8), others=st.lists(HASHES, max_size=40))
def test_distances_are_those_of_the_best_way(own, others) -> None:
    naive = [min((one ^ other).bit_count() for one in own) for other in others]
    found = _distances(np.array(own, dtype=np.uint64), np.array(others, dtype=np.uint64))
    assert found.tolist() == naive


def test_the_nearest_images_of_many_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 2**63, 8, dtype=np.uint64)
    hashes = rng.integers(0, 2**63, 100_000, dtype=np.uint64)
    flips = rng.integers(0, 14, 60)
    places = rng.choice(100_000, 60, replace=False)
    for place, count in zip(places, flips, strict=True):
        bits = rng.choice(64, count, replace=False)
        hashes[place] = own[rng.integers(8)] ^ np.bitwise_xor.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0)
        )
    near = _near(own, ImageHashes(np.arange(100_000) + 7, hashes))
    distance = dict(zip((places + 7).tolist(), flips.tolist(), strict=True))
    assert [distance[key] for key in near] == sorted(flips.tolist())[:16]
    assert max(distance[key] for key in near) <= HASH_DISTANCE
