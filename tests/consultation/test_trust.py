"""When an answer is marked or refused: foreign and poor pictures, few cases, far ones."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFilter
from small_casebooks import picture

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation, Level, Reason, Trust
from dermtwin.consultation.trust import FAMILY, nearness, of_distances
from dermtwin.datasets import Dataset, draw_dataset
from dermtwin.gallery import parse_where


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("d") / "drawn", lesions=7, seed=4, size=(320, 240))


@pytest.fixture(scope="module")
def consultation(drawn, tmp_path_factory) -> Iterator[Consultation]:
    book = tmp_path_factory.mktemp("held") / "book"
    dermtwin.add(drawn.table.parent, casebook=book, encoder="dermtwin-base")
    with Casebook.open(book) as opened:
        yield Consultation(opened)


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def codes(trust) -> set[str]:
    return {each.code for each in trust.reasons}


def foreign_pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:240, :320]
    page = np.full((240, 320, 3), 255)
    page[40:200:16, 30:290] = 0
    return {
        "static": png(rng.integers(0, 256, (240, 320, 3))),
        "patches": picture(5, size=(320, 240)),
        "page": png(page),
        "checks": png(((down // 20 + across // 20) % 2)[..., None] * [0, 200, 60]),
        "black": png(np.zeros((240, 320, 3))),
        "green": png(np.broadcast_to([20, 200, 40], (240, 320, 3))),
    }


@pytest.mark.parametrize("kind", foreign_pictures())
def test_what_is_no_dermoscopy_is_refused_with_its_hits(consultation, kind) -> None:
    answer = consultation.ask(foreign_pictures()[kind], name=kind, k=3)
    assert answer.trust.level is Level.REFUSED
    assert "not-dermoscopy" in codes(answer.trust)
    assert len(answer.hits) == 3
    assert not answer.neighbours.is_calibrated  # drawn cases were not measured
    told = answer.to_json()["trust"]
    assert told["level"] == "refused"
    assert told["reasons"][0].keys() == {"code", "text"}
    texts = [each["text"] for each in told["reasons"]]
    assert all(answer.summary().count(text) == 1 for text in texts)


def test_drawn_lesions_are_not_refused_for_their_looks(consultation, drawn) -> None:
    answers = [consultation.ask(row.image.read_bytes(), name="q") for row in drawn.rows]
    refused = [
        each
        for answer in answers
        for each in answer.trust.reasons
        if each.code == "not-dermoscopy" and each.level is Level.REFUSED
    ]
    assert len(refused) <= 1


def test_poor_pictures_are_doubted(consultation, drawn) -> None:
    with Image.open(drawn.rows[3].image) as opened:
        blurred = opened.filter(ImageFilter.GaussianBlur(12))
        dark = opened.point(lambda value: value // 12)
    for changed, word in ((blurred, "blurred"), (dark, "dark")):
        reasons = consultation.ask(png(changed), name="q").trust.reasons
        assert any(word in each.text for each in reasons if each.code == "quality")


def test_too_few_cases_are_told(consultation, drawn) -> None:
    data = drawn.rows[0].image.read_bytes()
    few = consultation.ask(data, name="q", k=50)
    assert "few-eligible" in codes(few.trust)
    none = consultation.ask(data, name="q", filter=parse_where(["age_approx=84..85", "sex=?"]))
    assert none.trust.level is Level.REFUSED
    assert (none.hits, none.neighbours.text) == ((), "No case came back.")
    assert "none-eligible" in codes(none.trust)


def test_families_are_counted_in_lesions_however_many_images_are_shown(tmp_path) -> None:
    """With two photographs a lesion, the nearest twenty images are of ten lesions."""
    size = (160, 120)
    held = draw_dataset(tmp_path / "held", lesions=30, seed=4, size=size)
    queries = draw_dataset(tmp_path / "queries", lesions=5, seed=9, size=size)
    dermtwin.add(held, casebook=tmp_path / "book", encoder="dermtwin-base")
    told = []
    with Casebook.open(tmp_path / "book") as opened:
        ask = Consultation(opened).ask
        for row in queries.rows:
            data = row.image.read_bytes()
            plain, every, turned = (
                ask(data, name="q", k=FAMILY, **asked)
                for asked in ({}, {"every_image": True}, {"every_image": True, "views": 4})
            )
            shown = {each.case.lesion_id for each in every.hits}
            assert len(shown) < len(every.hits) == FAMILY
            assert every.trust == turned.trust == plain.trust
            told += codes(plain.trust)
    assert told.count("unfamiliar") > len(queries.rows) / 2


def test_the_gravest_reason_counts() -> None:
    doubt = Reason(code="quality", text="It is blurred.")
    grave = Reason(code="nothing-near", text="Nothing is near.", level=Level.REFUSED)
    assert Trust().level is Level.USABLE
    assert Trust.of([doubt]).level is Level.DOUBTFUL
    both = Trust.of([doubt, grave])
    assert (both.level, both.reasons) == (Level.REFUSED, (grave, doubt))


def test_distances_are_held_against_what_is_usual() -> None:
    usual = {"50": 0.2, "99": 0.5}
    near, spread = [0.1] * FAMILY, [*[0.1] * (FAMILY - 1), 0.4]

    def told(distances, *, unfamiliar=0.3) -> list[str]:
        found = of_distances(distances, usual=usual, unfamiliar=unfamiliar)
        return [each.code for each in found]

    assert told(near) == told(spread[:-1]) == told(spread, unfamiliar=None) == told([]) == []
    assert told(spread) == ["unfamiliar"]
    assert told([0.6]) == told([0.6] * FAMILY) == ["nothing-near"]
    assert list(of_distances([9.0], usual={}, unfamiliar=None)) == []
    words = [nearness(each, usual=usual) for each in (0.0, 0.2, 0.3, 0.5, 0.6)]
    assert words == ["very near", "very near", "near", "near", "far"]
    assert nearness(0.1, usual={}) is None
