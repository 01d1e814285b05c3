"""The map of the codes: drawn, extended, and gone with its cases."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_casebooks import all_entries, change, make_cases, make_encoder, write_dataset

import dermtwin
from dermtwin.casebook import Casebook, mapping
from dermtwin.errors import CasebookError, SettingsError

pytest.importorskip("openTSNE", reason="a map is drawn by the extra 'evaluate'")


def points(place) -> dict[str, tuple[float, float]]:
    with Casebook.open(place) as opened, opened.reading() as connection:
        found = mapping.stored_map(connection)
        state = mapping.map_state(connection)
    if found is None:
        return {}
    assert found.state == state
    assert list(found.isic_ids) == sorted(found.isic_ids)
    return dict(zip(found.isic_ids, map(tuple, found.points.tolist()), strict=True))


def codes(place) -> dict[str, np.ndarray]:
    with Casebook.open(place) as opened:
        entries = all_entries(opened)
    return dict(zip(map(str, entries.columns["isic_id"]), entries.codes, strict=True))


def far(one, other) -> float:
    return float(np.hypot(*np.subtract(one, other)))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory, dataset, encoder_file) -> Path:
    """A casebook with its map, never to be changed."""
    book = tmp_path_factory.mktemp("mapped") / "book"
    dermtwin.add(dataset, casebook=book, encoder=encoder_file)
    dermtwin.map(casebook=book)
    return book


@pytest.fixture
def book(mapped, tmp_path) -> Path:
    return shutil.copytree(mapped, tmp_path / "book")


def test_the_same_cases_and_seed_give_the_same_map_in_any_order(
    place, tmp_path, dataset, encoder_file
) -> None:
    dermtwin.add(dataset, casebook=place, encoder=encoder_file)
    report = dermtwin.map(casebook=place, seed=3)
    assert (report.cases, report.placed, report.is_anew) == (40, 0, True)
    other = write_dataset(tmp_path / "reversed", make_cases(40)[::-1])
    dermtwin.add(other, casebook=tmp_path / "other", encoder=encoder_file)
    dermtwin.map(casebook=tmp_path / "other", seed=3)
    assert points(place) == points(tmp_path / "other")
    assert len(set(points(place).values())) == 40
    assert dermtwin.stats(casebook=place).placed == 40
    assert dermtwin.check(casebook=place).is_clean


def test_new_cases_are_placed_near_their_like_and_the_others_stay(book, tmp_path) -> None:
    before = points(book)
    more = write_dataset(tmp_path / "more", make_cases(8, start=40))
    dermtwin.add(more, casebook=book)
    dermtwin.forget(casebook=book, case="ISIC_0000000")
    report = dermtwin.map(casebook=book, seed=9)
    assert (report.cases, report.placed, report.is_anew, report.seed) == (47, 8, False, 0)
    after = points(book)
    assert {name: after[name] for name in before if name != "ISIC_0000000"} == {
        name: each for name, each in before.items() if name != "ISIC_0000000"
    }
    vectors = codes(book)
    new = sorted(after.keys() - before.keys())
    assert len(new) == 8
    near, all_ = [], []
    for name in new:
        old = [each for each in before if each in after]
        ranked = sorted(old, key=lambda each: float(np.linalg.norm(vectors[each] - vectors[name])))
        apart = [far(after[name], after[each]) for each in ranked]
        near.append(np.mean(apart[:5]))
        all_.append(np.mean(apart))
    assert np.mean(near) < 0.8 * np.mean(all_)

    assert dermtwin.map(casebook=book).placed == 0
    assert points(book) == after
    assert dermtwin.map(casebook=book, anew=True).is_anew
    assert points(book).keys() == after.keys()
    assert points(book) != after


def test_a_place_goes_with_its_case_to_the_last_byte(book) -> None:
    lost = np.array(points(book)["ISIC_0000007"]).tobytes()

    def is_left() -> bool:
        return any(lost in file.read_bytes() for file in book.rglob("casebook.sqlite*"))

    assert is_left()
    plan = dermtwin.forget(casebook=book, case="ISIC_0000007", dry_run=True)
    assert plan.points == 1
    assert "places on the map: 1" in str(plan)
    report = dermtwin.forget(casebook=book, case="ISIC_0000007")
    assert (report.points, report.looked.marks["points"], report.is_gone) == (1, 1, True)
    assert not is_left()
    assert points(book).keys() == codes(book).keys()


def test_another_encoder_takes_the_map_with_it(book, tmp_path) -> None:
    make_encoder(tmp_path / "other.onnx", name="other", seed=5)
    before = points(book)
    dermtwin.reencode(casebook=book, encoder=tmp_path / "other.onnx")
    assert points(book) == {}
    with Casebook.open(book) as opened, opened.reading() as connection:
        (left,) = connection.exec_driver_sql("SELECT count(*) FROM map_points").one()
    assert left == 0
    assert dermtwin.map(casebook=book).is_anew
    assert points(book).keys() == before.keys()
    assert points(book) != before


def test_a_backup_holds_the_map_and_one_from_before_maps_is_taken(book, tmp_path) -> None:
    dermtwin.backup(tmp_path / "new.zip", casebook=book)
    dermtwin.restore(tmp_path / "new.zip", casebook=tmp_path / "again")
    assert points(tmp_path / "again") == points(book)
    _older(tmp_path / "new.zip", tmp_path / "old.zip", has_step=False)
    dermtwin.restore(tmp_path / "old.zip", casebook=tmp_path / "older")
    assert points(tmp_path / "older") == {}
    assert codes(tmp_path / "older").keys() == codes(book).keys()
    _older(tmp_path / "new.zip", tmp_path / "cut.zip", has_step=True)
    with pytest.raises(CasebookError, match="damaged"):
        dermtwin.restore(tmp_path / "cut.zip", casebook=tmp_path / "cut")


def _older(new: Path, old: Path, *, has_step: bool) -> None:
    """The same backup without the map's tables."""
    with zipfile.ZipFile(new) as archive:
        members = {
            name: archive.read(name)
            for name in archive.namelist()
            if name not in ("record/maps.jsonl", "record/map_points.jsonl", "SHA256SUMS")
        }
    manifest = json.loads(members["manifest.json"])
    if not has_step:
        manifest["steps"].remove("0005-map")
    members["manifest.json"] = json.dumps(manifest).encode()
    sums = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members.items()
    )
    with zipfile.ZipFile(old, "w") as archive:
        for name, data in {**members, "SHA256SUMS": sums.encode()}.items():
            archive.writestr(name, data)


def test_a_broken_place_is_told_and_made_anew(book) -> None:
    broken = "x'0000'", f"x'{np.array([np.nan, 1.0]).tobytes().hex()}'"
    for number, value in enumerate(broken, 5):
        its = f"(SELECT key FROM cases WHERE isic_id = 'ISIC_000000{number}')"
        change(book, f"UPDATE map_points SET point = {value} WHERE case_key = {its}")
    problems = dermtwin.check(casebook=book).problems
    assert [each.split()[4] for each in problems] == ["ISIC_0000005", "ISIC_0000006"]
    repaired = dermtwin.check(casebook=book, repair=True)
    assert repaired.is_clean
    assert repaired.repaired == ("2 broken places on the map removed.",)
    assert dermtwin.map(casebook=book).placed == 2
    assert len(points(book)) == 40


def test_what_changes_meanwhile_is_never_written_over(book, tmp_path) -> None:
    more = write_dataset(tmp_path / "more", make_cases(2, start=40))
    dermtwin.add(more, casebook=book)
    before = points(book)
    with Casebook.open(book) as opened:
        made = mapping.material(opened)
        places = np.nan_to_num(made.points, nan=1.5)
        dermtwin.forget(casebook=book, case="ISIC_0000040")
        assert mapping.keep(opened, made, points=places, seed=0, anew=False) == 1
        assert points(book) == before | {"ISIC_0000041": (1.5, 1.5)}
        with pytest.raises(CasebookError, match="another map"):
            mapping.keep(opened, made, points=places, seed=0, anew=True)
    assert points(book) == before | {"ISIC_0000041": (1.5, 1.5)}


def test_too_few_cases_and_none_are_told(tmp_path, encoder_file) -> None:
    few = write_dataset(tmp_path / "few", make_cases(7))
    dermtwin.add(few, casebook=tmp_path / "book", encoder=encoder_file)
    with pytest.raises(SettingsError, match="8 or more"):
        dermtwin.map(casebook=tmp_path / "book")
    assert points(tmp_path / "book") == {}
    with Casebook.open_or_make(tmp_path / "empty"):
        pass
    with pytest.raises(CasebookError, match="holds no case"):
        dermtwin.map(casebook=tmp_path / "empty")
