"""`find --views`: a case is as near as to the nearest view; as a look at every case has it."""

import json
import sys
from subprocess import run

import pytest
from small_casebooks import hits_by_hand, make_cases, picture, picture_of

from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.consultation.steering import Region
from dermtwin.errors import SettingsError
from dermtwin.gallery import parse_where
from dermtwin.verbs.find import find

CASES = make_cases(60)
QUERY = picture(123_456)


@pytest.mark.parametrize("views", [4, 8])
@pytest.mark.parametrize("by", ["code", "bits"])
@pytest.mark.parametrize("every_image", [False, True])
def test_the_nearest_view_counts(bits_held, with_bits, by, views, every_image) -> None:
    where = ("sex=female,male",)
    cases = [case for case in CASES if parse_where(where).matches(case)]
    asked = {"casebook": bits_held / "book", "k": 25, "where": where, "every_image": every_image}
    answer = find(bits_held / "query.jpg", by=by, views=views, **asked)
    told = [(each.case.isic_id, each.hit.hamming or 0, each.hit.distance) for each in answer.hits]
    by_hand = {"k": 25, "every_image": every_image, "by_bits": by == "bits", "views": views}
    assert told == hits_by_hand(cases, with_bits, QUERY, **by_hand)
    assert [each.hit.rank for each in answer.hits] == list(range(1, len(told) + 1))
    assert answer.eligible == len(cases)
    plain = find(bits_held / "query.jpg", by=by, **asked)
    assert [each.case.isic_id for each in plain.hits] != [name for name, *_ in told]


def test_trust_goes_by_the_picture_as_it_is(bits_held) -> None:
    """What is usual was measured for codes of pictures as they are."""
    asked = {"casebook": bits_held / "book"}
    plain, turned = (
        find(bits_held / "query.jpg", **asked),
        find(bits_held / "query.jpg", views=8, **asked),
    )
    assert turned.trust == plain.trust
    assert not turned.neighbours.is_calibrated
    assert {each.nearness for each in turned.hits} == {None}
    assert (plain.to_json()["views"], turned.to_json()["views"]) == (1, 8)


def test_own_cases_never_come_back_in_any_view(bits_held) -> None:
    case = next(each for each in CASES if each.patient_id)
    with Casebook.open(bits_held / "book") as opened:
        answer = Consultation(opened).ask(
            picture_of(case), name="renamed.jpg", k=100, every_image=True, views=8
        )
    told = {found.case.isic_id: found.case for found in answer.hits}
    assert case.isic_id not in told
    assert case.patient_id not in {each.patient_id for each in told.values()}
    assert answer.eligible == len(told) > 40


def test_what_cannot_be_asked_is_refused(bits_held) -> None:
    with pytest.raises(SettingsError, match="cannot be asked in 3 views; choose 1"):
        find(bits_held / "query.jpg", casebook=bits_held / "book", views=3)
    with Casebook.open(bits_held / "book") as opened:
        asked = Consultation(opened).ask
        with pytest.raises(SettingsError, match="ask in one view"):
            asked(QUERY, name="q", views=4, region=Region(0, 0, 0.5, 0.5))
        with pytest.raises(SettingsError, match="ask in one view"):
            asked(QUERY, name="q", views=4, like=(CASES[0].isic_id,))


def test_the_command_line_asks_in_views(bits_held) -> None:
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()", "find"]
    asked = [*command, "query.jpg", "--casebook", "book", "--views", "4", "-k", "3"]
    done = run([*asked, "--json"], capture_output=True, text=True, check=True, cwd=bits_held)
    answer = find(bits_held / "query.jpg", casebook=bits_held / "book", views=4, k=3)
    names = [hit["isic_id"] for hit in json.loads(done.stdout)["hits"]]
    assert names == [each.case.isic_id for each in answer.hits]
    shown = run(asked, capture_output=True, text=True, check=True, cwd=bits_held)
    assert "not calibrated for such a question" in " ".join(shown.stderr.split())
