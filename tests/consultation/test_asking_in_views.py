"""`find --views`: a case is as near as to the nearest view; as a look at every case has it."""

import json
import math
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from small_casebooks import make_cases, make_encoder, picture, picture_of, write_dataset

from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.consultation.steering import Region
from dermtwin.encoders import Encoder
from dermtwin.errors import SettingsError
from dermtwin.gallery import parse_where
from dermtwin.verbs.add import add
from dermtwin.verbs.find import find

CASES = make_cases(60)
QUERY = picture(123_456)


@pytest.fixture(scope="module")
def with_bits(tmp_path_factory) -> Encoder:
    return make_encoder(tmp_path_factory.mktemp("encoders") / "bits.onnx", has_bits=True)


@pytest.fixture(scope="module")
def held(tmp_path_factory, with_bits) -> Path:
    folder = tmp_path_factory.mktemp("held")
    path = folder / "encoder.onnx"
    path.write_bytes(with_bits.data)
    add(write_dataset(folder / "data", CASES), casebook=folder / "book", encoder=path)
    (folder / "query.jpg").write_bytes(QUERY)
    return folder


def by_hand(cases, encoder, *, by, views, k, every_image) -> list[tuple[str, float]]:
    asked = encoder.encode(QUERY, name="query", views=views).by_output
    measured = []
    for case in cases:
        own = encoder.encode(picture_of(case), name=case.isic_id).by_output
        nearest = min(
            (
                int(((bits > 0) != (own["bits"][0] > 0)).sum()) if by == "bits" else 0,
                float(np.float32(math.dist(code.tolist(), own["code"][0].tolist()))),
            )
            for code, bits in zip(asked["code"], asked["bits"], strict=True)
        )
        measured.append((*nearest, case.isic_id, case.lesion_id))
    seen: set[str] = set()
    hits = []
    for _, far, name, lesion in sorted(measured, key=lambda each: each[:3]):
        if every_image or lesion is None or lesion not in seen:
            seen.add(lesion or name)
            hits.append((name, far))
    return hits[:k]


@pytest.mark.parametrize("views", [4, 8])
@pytest.mark.parametrize("by", ["code", "bits"])
@pytest.mark.parametrize("every_image", [False, True])
def test_the_nearest_view_counts(held, with_bits, by, views, every_image) -> None:
    where = ("sex=female,male",)
    cases = [case for case in CASES if parse_where(where).matches(case)]
    asked = {"casebook": held / "book", "k": 25, "where": where, "every_image": every_image}
    answer = find(held / "query.jpg", by=by, views=views, **asked)
    told = [(each.case.isic_id, pytest.approx(each.hit.distance)) for each in answer.hits]
    expected = by_hand(cases, with_bits, by=by, views=views, k=25, every_image=every_image)
    assert expected == told
    assert [each.hit.rank for each in answer.hits] == list(range(1, len(told) + 1))
    assert answer.eligible == len(cases)
    plain = find(held / "query.jpg", by=by, **asked)
    assert [each.case.isic_id for each in plain.hits] != [name for name, _ in told]


def test_trust_goes_by_the_picture_as_it_is(held) -> None:
    """What is usual was measured for codes of pictures as they are."""
    asked = {"casebook": held / "book"}
    plain, turned = find(held / "query.jpg", **asked), find(held / "query.jpg", views=8, **asked)
    assert turned.trust == plain.trust
    assert not turned.neighbours.is_calibrated
    assert {each.nearness for each in turned.hits} == {None}
    assert (plain.to_json()["views"], turned.to_json()["views"]) == (1, 8)


def test_own_cases_never_come_back_in_any_view(held) -> None:
    case = next(each for each in CASES if each.patient_id)
    with Casebook.open(held / "book") as opened:
        answer = Consultation(opened).ask(
            picture_of(case), name="renamed.jpg", k=100, every_image=True, views=8
        )
    told = {found.case.isic_id: found.case for found in answer.hits}
    assert case.isic_id not in told
    assert case.patient_id not in {each.patient_id for each in told.values()}
    assert answer.eligible == len(told) > 40


def test_what_cannot_be_asked_is_refused(held) -> None:
    with pytest.raises(SettingsError, match="cannot be asked in 3 views; choose 1"):
        find(held / "query.jpg", casebook=held / "book", views=3)
    with Casebook.open(held / "book") as opened:
        asked = Consultation(opened).ask
        with pytest.raises(SettingsError, match="ask in one view"):
            asked(QUERY, name="q", views=4, region=Region(0, 0, 0.5, 0.5))
        with pytest.raises(SettingsError, match="ask in one view"):
            asked(QUERY, name="q", views=4, like=(CASES[0].isic_id,))


def test_the_command_line_asks_in_views(held) -> None:
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()", "find"]
    asked = [*command, "query.jpg", "--casebook", "book", "--views", "4", "-k", "3"]
    done = run([*asked, "--json"], capture_output=True, text=True, check=True, cwd=held)
    answer = find(held / "query.jpg", casebook=held / "book", views=4, k=3)
    names = [hit["isic_id"] for hit in json.loads(done.stdout)["hits"]]
    assert names == [each.case.isic_id for each in answer.hits]
    shown = run(asked, capture_output=True, text=True, check=True, cwd=held)
    assert "not calibrated for such a question" in " ".join(shown.stderr.split())
