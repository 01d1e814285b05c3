"""`find --by bits`: Hamming, then distance, then name; as a look at every case has it."""

import json
import sys
from itertools import pairwise
from subprocess import run

import pytest
from small_casebooks import BIT_GROUPS, hits_by_hand, make_cases, picture, picture_of

from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.errors import SettingsError
from dermtwin.gallery import parse_where
from dermtwin.verbs.add import add
from dermtwin.verbs.find import find
from dermtwin.vocabulary import SearchBy

CASES = make_cases(60)
QUERY = picture(123_456)


@pytest.mark.parametrize("where", [(), ("sex=female,male",), ("age_approx=..50", "lesion_id=*")])
@pytest.mark.parametrize("every_image", [False, True])
def test_the_nearest_by_bits_are_those_of_a_look_at_every_case(
    bits_held, with_bits, where, every_image
) -> None:
    cases = [case for case in CASES if parse_where(where).matches(case)]
    asked = {"casebook": bits_held / "book", "k": 25, "where": where, "every_image": every_image}
    answer = find(bits_held / "query.jpg", by="bits", **asked)
    told = [(each.case.isic_id, each.hit.hamming, each.hit.distance) for each in answer.hits]
    asked_by_hand = {"k": 25, "every_image": every_image, "by_bits": True}
    assert told == hits_by_hand(cases, with_bits, QUERY, **asked_by_hand)
    differing = [each for _, each, _ in told]
    assert len(set(differing)) < len(differing)
    assert all(each % (64 // BIT_GROUPS) == 0 for each in differing)
    assert answer.eligible == len(cases)
    by_code = find(bits_held / "query.jpg", **asked)
    assert {each.hit.hamming for each in by_code.hits} == {None}
    assert not any("hamming" in hit for hit in by_code.to_json()["hits"])


def test_own_cases_never_come_back_by_bits_either(bits_held) -> None:
    case = next(each for each in CASES if each.patient_id)
    with Casebook.open(bits_held / "book") as opened:
        answer = Consultation(opened).ask(
            picture_of(case), name="renamed.jpg", k=100, every_image=True, by=SearchBy.BITS
        )
    told = {found.case.isic_id: found.case for found in answer.hits}
    assert case.isic_id not in told
    assert case.patient_id not in {each.patient_id for each in told.values()}
    assert answer.eligible == len(told) > 40


def test_the_command_line_shows_how_many_bits_differ(bits_held) -> None:
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()", "find"]
    asked = [*command, "query.jpg", "--casebook", "book", "--by", "bits", "-k", "4"]
    done = run([*asked, "--json"], capture_output=True, text=True, check=True, cwd=bits_held)
    hits = json.loads(done.stdout)["hits"]
    assert [list(hit)[3:5] for hit in hits] == [["distance", "hamming"]] * 4
    near = [(hit["hamming"], hit["distance"]) for hit in hits]
    assert all(one <= other for one, other in pairwise(near))
    shown = run(
        asked, capture_output=True, text=True, check=True, cwd=bits_held
    ).stdout.splitlines()
    assert shown[1].split()[:2] == ["bits", "distance"]
    assert [line.split()[:2] for line in shown[2:6]] == [
        [str(hit["rank"]), str(hit["hamming"])] for hit in hits
    ]


def test_an_encoder_without_bits_is_a_sentence(tmp_path, dataset, encoder_file) -> None:
    add(dataset, casebook=tmp_path / "book", encoder=encoder_file)
    query = min(dataset.glob("*.jpg"))
    with pytest.raises(SettingsError, match=r"encoder small has no output `bits`.*search by code"):
        find(query, casebook=tmp_path / "book", by="bits")
    with pytest.raises(SettingsError, match="--by colour is unknown; choose one of code, bits"):
        find(query, casebook=tmp_path / "book", by="colour")
