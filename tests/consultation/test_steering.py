"""A box and marked cases move the search as plain loops say; comparisons add up."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from region_encoder import PLACES, WIDTH, make_region_encoder
from small_casebooks import make_cases, make_encoder, picture, picture_of, write_dataset
from sqlalchemy import select

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.casebook.schema import AUDIT
from dermtwin.consultation import Consultation, Region
from dermtwin.consultation.comparison import contributions
from dermtwin.consultation.steering import moved
from dermtwin.datasets import draw_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import CasebookError, EncoderError, SettingsError
from dermtwin.vocabulary import SearchBy

CASES = make_cases(40)
QUERY = picture(123_456)
WHOLE = Region(0, 0, 1, 1)


@pytest.fixture(scope="module")
def regional(tmp_path_factory) -> Encoder:
    return make_region_encoder(tmp_path_factory.mktemp("encoders") / "regional.onnx")


@pytest.fixture(scope="module")
def held(tmp_path_factory, regional) -> Path:
    folder = tmp_path_factory.mktemp("held")
    (folder / "encoder.onnx").write_bytes(regional.data)
    data = write_dataset(folder / "data", CASES)
    dermtwin.add(data, casebook=folder / "book", encoder=folder / "encoder.onnx")
    return folder / "book"


@pytest.fixture
def consultation(held) -> Iterator[Consultation]:
    with Casebook.open(held) as opened:
        yield Consultation(opened)


def code_of(encoder, data) -> np.ndarray:
    return encoder.encode(data, name="any").vectors()[0].astype(np.float64)


def region_code_by_hand(encoder, data, box) -> np.ndarray:
    """Each place is cut into 20 x 20 points, and those in the box are counted."""
    regions = encoder.encode(data, name="any").by_output["regions"][0].astype(np.float64)
    total = np.zeros(WIDTH)
    for row in range(PLACES):
        for column in range(PLACES):
            inside = 0
            for down in range(20):
                for across in range(20):
                    y = (row + (down + 0.5) / 20) / PLACES
                    x = (column + (across + 0.5) / 20) / PLACES
                    inside += box.x0 < x < box.x1 and box.y0 < y < box.y1
            total += inside / 400 * regions[row, column]
    return total / math.sqrt(sum(each * each for each in total))


def ranked_by_hand(encoder, code) -> list[str]:
    far = {case.isic_id: math.dist(code, code_of(encoder, picture_of(case))) for case in CASES}
    return sorted(far, key=lambda name: far[name])


def names(answer) -> list[str]:
    return [found.case.isic_id for found in answer.hits]


@pytest.mark.parametrize("box", [WHOLE, Region(0.25, 0.5, 0.5, 1), Region(0.1, 0.05, 0.65, 0.3)])
def test_a_box_searches_by_what_it_covers(consultation, regional, box) -> None:
    answer = consultation.ask(QUERY, name="q", k=40, every_image=True, region=box)
    code = region_code_by_hand(regional, QUERY, box)
    assert names(answer) == ranked_by_hand(regional, code)
    near = [math.dist(code, code_of(regional, picture_of(each.case))) for each in answer.hits]
    np.testing.assert_allclose([each.hit.distance for each in answer.hits], near, atol=1e-5)
    assert {each.nearness for each in answer.hits} == {None}
    assert not answer.neighbours.is_calibrated
    if box == WHOLE:
        plain = consultation.ask(QUERY, name="q", k=40, every_image=True)
        assert names(plain) == names(answer)
        assert {each.nearness for each in plain.hits} <= {"very near", "near", "far"}


def test_marks_move_the_code_stay_among_the_hits_and_are_undone(consultation, regional) -> None:
    plain = consultation.ask(QUERY, name="q", k=40, every_image=True)
    like, unlike = names(plain)[30:33], names(plain)[:2]
    asked = {"name": "q", "k": 40, "every_image": True}
    answer = consultation.ask(QUERY, like=like, unlike=unlike, **asked)
    by_name = {case.isic_id: code_of(regional, picture_of(case)) for case in CASES}
    code = code_of(regional, QUERY)
    for name in like:
        code = code + 0.75 * by_name[name] / len(like)
    for name in unlike:
        code = code - 0.15 * by_name[name] / len(unlike)
    assert names(answer) == ranked_by_hand(regional, code / math.hypot(*code))
    assert {*like, *unlike} <= set(names(answer))
    places = names(answer)
    assert sum(map(places.index, like)) < sum(map(names(plain).index, like))
    undone = consultation.ask(QUERY, **asked)
    assert names(undone) == names(plain)


def test_steering_is_entered_and_the_marked_cases_are_named(consultation, held) -> None:
    marked = [CASES[5].isic_id, CASES[12].isic_id]
    before = len(dermtwin.audit(casebook=held, case=marked[0]).entries)
    consultation.ask(
        QUERY, name="q", k=1, like=marked[:1], unlike=marked[1:], region=WHOLE, who="ada"
    )
    consultation.compare(QUERY, name="q", other=marked[0], who="ada")
    with consultation.casebook.reading() as connection:
        rows = connection.execute(select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(2)).all()
    compared, found = ((row.verb, row.who, json.loads(row.details)) for row in rows)
    assert found[:2] == ("find", "ada")
    assert (found[2]["region"], found[2]["liked"], found[2]["unliked"]) == (True, 1, 1)
    assert compared == ("compare", "ada", {"region": False})
    assert len(dermtwin.audit(casebook=held, case=marked[0]).entries) == before + 2


def test_what_cannot_be_steered_is_a_sentence(consultation, tmp_path) -> None:
    name = CASES[0].isic_id
    with pytest.raises(SettingsError, match="as like and as unlike"):
        consultation.ask(QUERY, name="q", like=[name], unlike=[name])
    with pytest.raises(CasebookError, match="holds no case ISIC_9999999; unmark it"):
        consultation.ask(QUERY, name="q", like=["ISIC_9999999"])
    with pytest.raises(SettingsError, match="steer codes, not bits"):
        consultation.ask(QUERY, name="q", like=[name], by=SearchBy.BITS)
    for box in ((0, 0, 0, 1), (0.5, 0, 0.4, 1), (0, -0.1, 1, 1), (0, 0, 1, math.nan)):
        with pytest.raises(SettingsError, match="is no box on the picture"):
            Region(*box)
    make_encoder(tmp_path / "plain.onnx")
    data = write_dataset(tmp_path / "data", CASES[:3])
    dermtwin.add(data, casebook=tmp_path / "book", encoder=tmp_path / "plain.onnx")
    with Casebook.open(tmp_path / "book") as opened:
        plain = Consultation(opened)
        with pytest.raises(EncoderError, match="has no output `regions`"):
            plain.ask(QUERY, name="q", region=WHOLE)
        with pytest.raises(EncoderError, match="has no output `regions`"):
            plain.compare(QUERY, name="q", other=CASES[0].isic_id)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.integers(1, 40))
def test_contributions_add_up_to_the_similarity(seed, rows, columns, width) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, rows, columns, width)).astype(np.float32)
    low, high = np.sort(rng.random((2, 2)), axis=0)
    box = Region(low[0], low[1], high[0], high[1])
    for region in (None, box):
        cover = np.ones((rows, columns)) if region is None else region.cover(rows, columns)
        first = (one * cover[..., None]).sum((0, 1), dtype=np.float64)
        second = other.sum((0, 1), dtype=np.float64)
        similarity = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        for added in contributions(one, other, region=region):
            assert abs(added.sum() - similarity) < 1e-4


@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 4))
def test_a_moved_code_keeps_its_length_where_it_was_1(seed, liked, unliked) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(1 + liked + unliked, 1, 8)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=-1, keepdims=True)
    code, others = codes[0], list(codes[1:])
    after = moved(code, liked=others[:liked], unliked=others[liked:])
    assert after.dtype == np.float32
    assert abs(np.linalg.norm(after) - 1) < 1e-5
    if not others:
        np.testing.assert_allclose(after, code, atol=1e-6)


def test_the_shipped_encoders_regions_add_up(tmp_path) -> None:
    drawn = draw_dataset(tmp_path / "drawn", lesions=3, seed=7, size=(320, 240))
    dermtwin.add(tmp_path / "drawn", casebook=tmp_path / "book", encoder="dermtwin-base")
    with Casebook.open(tmp_path / "book") as opened:
        consultation = Consultation(opened)
        encoder = consultation.encoder
        query, *others = drawn.rows
        data = query.image.read_bytes()
        for other in others:
            compared = consultation.compare(data, name="q", other=other.case.isic_id)
            one, two = code_of(encoder, data), code_of(encoder, other.image.read_bytes())
            assert abs(compared.similarity - one @ two) < 1e-4
            assert abs(compared.distance - math.dist(one, two)) < 1e-4
            for side in (compared.query, compared.case):
                assert abs(side.regions.sum() - one @ two) < 1e-4
                assert side.view.shape == (320, 320, 3)
        by_name = consultation.compare(None, case=query.case.isic_id, other=other.case.isic_id)
        assert by_name.similarity == compared.similarity
        small = consultation.ask_case(query.case.isic_id, k=2, region=Region(0.4, 0.4, 0.6, 0.6))
        assert query.case.isic_id not in names(small)
