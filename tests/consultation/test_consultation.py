"""The one question: what comes back, what never does, and that it is the casebook's truth."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_casebooks import (
    Process,
    make_cases,
    make_encoder,
    nearest_by_hand,
    picture,
    picture_of,
    write_dataset,
)

from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.errors import CasebookError, ImageError, SettingsError
from dermtwin.gallery import parse_where
from dermtwin.verbs.add import add
from dermtwin.verbs.find import find
from dermtwin.verbs.forget import forget
from dermtwin.vocabulary import DRAWN_NOTICE

WHERES = (
    (),
    ("sex=female",),
    ("diagnosis_1=Malignant,Benign", "age_approx=40.."),
    ("patient_id=?",),
    ("lesion_id=*", "sex=?"),
)
QUERY = picture(123_456)


@pytest.fixture(scope="module")
def held(dataset, tmp_path_factory, encoder_file) -> Path:
    """The forty cases in a casebook; never changed."""
    book = tmp_path_factory.mktemp("held") / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    return book


def pairs(answer) -> list[tuple[str, float]]:
    return [(found.case.isic_id, found.hit.distance) for found in answer.hits]


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("every_image", [False, True])
def test_an_unknown_picture_finds_what_a_look_at_every_case_finds(
    held, encoder, where, every_image
) -> None:
    cases = [case for case in make_cases(40) if parse_where(where).matches(case)]
    with Casebook.open(held) as opened:
        answer = Consultation(opened).ask(
            QUERY, name="query.jpg", k=9, filter=parse_where(where), every_image=every_image
        )
    assert pairs(answer) == nearest_by_hand(cases, encoder, QUERY, k=9, every_image=every_image)
    assert answer.eligible == len(cases)
    assert [found.hit.rank for found in answer.hits] == list(range(1, len(answer.hits) + 1))
    by_name = {case.isic_id: case for case in cases}
    for found in answer.hits:
        assert replace(found.case, extra={}) == by_name[found.case.isic_id]
    classes = [case.is_malignant for case in cases]
    counted = (answer.base.malignant, answer.base.benign, answer.base.other)
    assert counted == tuple(classes.count(each) for each in (True, False, None))
    shown = [found.case.is_malignant for found in answer.hits]
    known = shown.count(True) + shown.count(False)
    assert answer.share.value == (shown.count(True) / known if known else None)
    assert not answer.known


def own_of(case, cases) -> set[str]:
    """The cases of the same person, as far as a case's own row can tell."""
    lesions = {
        each.lesion_id
        for each in cases
        if each.isic_id == case.isic_id or (case.patient_id and each.patient_id == case.patient_id)
    } - {None}
    patients = {each.patient_id for each in cases if each.lesion_id in lesions} | {case.patient_id}
    lesions |= {each.lesion_id for each in cases if each.patient_id in patients - {None}} - {None}
    return {case.isic_id} | {
        each.isic_id
        for each in cases
        if each.lesion_id in lesions or each.patient_id in patients - {None}
    }


def test_the_querys_own_image_lesion_and_patient_never_come_back(held) -> None:
    cases = make_cases(40)
    with Casebook.open(held) as opened:
        consultation = Consultation(opened)
        for case in cases:
            rest = {each.isic_id for each in cases} - own_of(case, cases)
            asked = (
                {"data": picture_of(case), "name": "renamed.jpg"},
                {"data": QUERY, "name": f"folder/{case.isic_id}.jpg"},
            )
            for question in asked:
                answer = consultation.ask(**question, k=100, every_image=True)
                assert {found.case.isic_id for found in answer.hits} == rest
                assert answer.eligible == len(rest)
                assert case.isic_id in answer.known.isic_ids
                assert f"image {case.isic_id}" in answer.summary()[-1]


def test_lesion_and_patient_are_taken_from_the_caller(held) -> None:
    cases = make_cases(40)
    case = next(each for each in cases if each.patient_id and each.lesion_id)
    rest = {each.isic_id for each in cases} - own_of(case, cases)
    with Casebook.open(held) as opened:
        consultation = Consultation(opened)
        for own in ({"lesion_id": case.lesion_id}, {"patient_id": case.patient_id}):
            answer = consultation.ask(QUERY, name="q", k=100, every_image=True, **own)
            assert {found.case.isic_id for found in answer.hits} == rest
        other = consultation.ask(QUERY, name="q", k=100, every_image=True, lesion_id="elsewhere")
        assert other.eligible == 40


def test_a_name_like_the_archives_that_is_no_case_here_hides_nothing(held) -> None:
    with Casebook.open(held) as opened:
        answer = Consultation(opened).ask(QUERY, name="ISIC_9999999.jpg", k=3)
    assert (answer.eligible, bool(answer.known)) == (40, False)


def test_json_has_the_agreed_form(held, encoder) -> None:
    case = make_cases(40)[4]
    path = held.parent / "query.jpg"
    path.write_bytes(QUERY)
    answer = find(path, casebook=held, k=4, where=["sex=female"])
    told = answer.to_json()
    assert list(told) == [
        *(
            "query",
            "encoder",
            "views",
            "gallery_version",
            "ms",
            "crop",
            "remarks",
            "eligible",
            "known",
            "left_out",
        ),
        *("trust", "neighbours", "hits"),
    ]
    assert (told["query"], told["encoder"]) == (str(path), encoder.id)
    assert told["ms"] > 0
    for rank, hit in enumerate(told["hits"], start=1):
        assert list(hit)[:4] == ["rank", "isic_id", "lesion_id", "distance"]
        assert {"diagnosis_1", "diagnosis_3", "age_approx", "anatom_site_general"} <= hit.keys()
        assert (hit["rank"], hit["sex"]) == (rank, "female")
        assert "notice" not in hit
    distances = [np.float32(hit["distance"]) for hit in told["hits"]]
    assert distances == [np.float32(found.hit.distance) for found in answer.hits]
    assert case.isic_id not in str(answer.known)


def test_drawn_cases_say_so(tmp_path, encoder_file) -> None:
    drawn = [replace(each, extra={"image_manipulation": "synthetic"}) for each in make_cases(3)]
    add(write_dataset(tmp_path / "d", drawn), casebook=tmp_path / "book", encoder=encoder_file)
    (tmp_path / "q.jpg").write_bytes(QUERY)
    answer = find(tmp_path / "q.jpg", casebook=tmp_path / "book")
    assert answer.is_drawn
    assert {hit["notice"] for hit in answer.to_json()["hits"]} == {DRAWN_NOTICE}


def test_nothing_that_is_said_names_a_diagnosis_of_the_query(held) -> None:
    with Casebook.open(held) as opened:
        answer = Consultation(opened).ask(QUERY, name="query.jpg")
    assert {name for name in dir(answer) if "diagnosis" in name} == set()
    assert not [line for line in answer.summary() if "query" in line]


def test_bad_questions_are_refused(held, tmp_path) -> None:
    make_encoder(tmp_path / "other.onnx", name="other", seed=1)
    (tmp_path / "q.jpg").write_bytes(QUERY)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(CasebookError, match=r"small \(.*other \("):
        find(tmp_path / "q.jpg", casebook=held, encoder=tmp_path / "other.onnx")
    with pytest.raises(SettingsError, match="k=0"):
        find(tmp_path / "q.jpg", casebook=held, k=0)
    with pytest.raises(SettingsError, match="'sex'"):
        find(tmp_path / "q.jpg", casebook=held, where=["sexe=female"])
    with pytest.raises(ImageError, match=r"text\.jpg"):
        find(tmp_path / "text.jpg", casebook=held)
    with pytest.raises(ImageError, match=r"absent\.jpg"):
        find(tmp_path / "absent.jpg", casebook=held)


@pytest.mark.parametrize("seed", range(3))
def test_what_another_process_does_is_seen_by_the_very_next_question(
    tmp_path, encoder, encoder_file, seed
) -> None:
    """Random additions, alterations and erasures by a second process, against the oracle."""
    chance = np.random.default_rng(seed)
    book = tmp_path / "book"
    cases = {case.isic_id: case for case in make_cases(9, seed=seed)}
    data = write_dataset(tmp_path / "data", cases.values())
    add(data, casebook=book, encoder=encoder_file)
    fresh = iter(make_cases(200, seed=seed, start=300))
    with Process() as other, Casebook.open(book) as opened:
        consultation = Consultation(opened)
        for _ in range(14):
            done = chance.choice(["add", "alter", "forget"])
            if done == "add" or len(cases) < 4:
                more = {case.isic_id: case for case in (next(fresh) for _ in range(3))}
                cases |= more
                report = other.ask("add", write_dataset(data, more.values()), casebook=book)
                assert report["added"] == 3
            elif done == "alter":
                case = cases[str(chance.choice(sorted(cases)))]
                case = replace(case, sex="female", age_approx=45, lesion_id=None)
                table = write_dataset(tmp_path / "altered", [case])
                other.ask("add", table, casebook=book, update=True)
                cases[case.isic_id] = case
            else:
                case = cases[str(chance.choice(sorted(cases)))]
                gone = [
                    each.isic_id
                    for each in cases.values()
                    if each is case or (case.lesion_id and each.lesion_id == case.lesion_id)
                ]
                kind = {"lesion": case.lesion_id} if case.lesion_id else {"case": case.isic_id}
                assert other.ask("forget", casebook=book, **kind)["cases"] == len(gone)
                for name in gone:
                    del cases[name]
            where = parse_where(WHERES[chance.integers(len(WHERES))])
            query = picture(int(chance.integers(10**9)))
            answer = consultation.ask(query, name="q", k=6, filter=where)
            eligible = [case for case in cases.values() if where.matches(case)]
            assert pairs(answer) == nearest_by_hand(
                eligible, encoder, query, k=6, every_image=False
            )
            assert answer.eligible == len(eligible)
            assert answer.version == opened.version()
            for found in answer.hits:
                assert replace(found.case, extra={}) == cases[found.case.isic_id]


def test_threads_may_ask_while_another_process_writes(tmp_path, encoder_file) -> None:
    book = tmp_path / "book"
    first = make_cases(30)
    add(write_dataset(tmp_path / "data", first), casebook=book, encoder=encoder_file)
    more = write_dataset(tmp_path / "more", make_cases(60, start=300))
    faults: list[BaseException] = []
    answers = []
    with Process() as other, Casebook.open(book) as opened:
        consultation = Consultation(opened)
        stop = threading.Event()

        def ask() -> None:
            try:
                while not stop.is_set():
                    answer = consultation.ask(QUERY, name="q", k=1000, every_image=True)
                    answers.append((answer.eligible, len(answer.hits)))
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                faults.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        other.ask("add", more, casebook=book)
        for case in first[:8]:
            other.ask("forget", casebook=book, case=case.isic_id)
        stop.set()
        for thread in threads:
            thread.join()
        last = consultation.ask(QUERY, name="q", k=1000, every_image=True)
    assert not faults
    assert all(eligible == hits for eligible, hits in answers)
    assert last.eligible == 30 + 60 - 8


def test_a_missing_or_altered_encoder_is_told(tmp_path, dataset, encoder_file) -> None:
    book = tmp_path / "book"
    add(dataset, casebook=book, encoder=encoder_file)
    (path,) = (book / "encoders").iterdir()
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    with Casebook.open(book) as opened, pytest.raises(CasebookError, match="altered"):
        Consultation(opened)
    path.unlink()
    with Casebook.open(book) as opened, pytest.raises(CasebookError, match="cannot be read"):
        Consultation(opened)


def test_the_last_case_may_be_forgotten(tmp_path, encoder_file) -> None:
    (case,) = make_cases(1)
    book = tmp_path / "book"
    add(write_dataset(tmp_path / "data", [case]), casebook=book, encoder=encoder_file)
    with Casebook.open(book) as opened:
        consultation = Consultation(opened)
        assert len(consultation.ask(QUERY, name="q").hits) == 1
        forget(casebook=book, case=case.isic_id)
        answer = consultation.ask(QUERY, name="q")
    assert (answer.hits, answer.eligible, answer.share.value) == ((), 0, None)
    assert "No case passes; loosen the filters." in answer.summary()
