"""What nearest cases say together: as plain loops, SciPy and a look at every case have it."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from small_casebooks import make_cases, picture, write_dataset

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.consultation.neighbours import Weighing, wilson
from dermtwin.gallery import parse_where
from dermtwin.vocabulary import CHALLENGE_DIAGNOSES, Case

QUERY = picture(123_456)
KINDS = (*CHALLENGE_DIAGNOSES.values(), {"diagnosis_1": "Indeterminate"}, {})


def with_diagnoses(cases) -> Iterator[Case]:
    """Diagnoses of every depth, one of a level that others go beyond."""
    rng = np.random.default_rng(3)
    for case in cases:
        levels = dict(KINDS[rng.integers(len(KINDS))])
        fields = {name: value for name, value in case.known_fields() if name != "diagnosis_1"}
        yield type(case)(**fields, **levels)


CASES = list(with_diagnoses(make_cases(60)))


@pytest.fixture(scope="module")
def held(tmp_path_factory, encoder_file) -> Path:
    folder = tmp_path_factory.mktemp("held")
    data = write_dataset(folder / "data", CASES)
    dermtwin.add(data, casebook=folder / "book", encoder=encoder_file)
    return folder / "book"


def share_by_hand(distances, flags, *, base, correlation) -> tuple[float, float]:
    """The share, and how many cases it counts as."""
    weights = [1 / each for each in distances]
    total = sum(weights)
    weighted = sum(weight for weight, flag in zip(weights, flags, strict=True) if flag) / total
    effective = total**2 / sum(weight**2 for weight in weights)
    count = effective / (1 + (effective - 1) * correlation)
    return (count * weighted + base) / (count + 1), count + 1


@pytest.mark.parametrize("where", [(), ("sex=female,male",), ("diagnosis_2=*", "age_approx=..60")])
def test_shares_and_base_rates_are_those_of_a_look_at_every_case(held, where) -> None:
    eligible = [case for case in CASES if parse_where(where).matches(case)]
    with Casebook.open(held) as opened:
        answer = Consultation(opened).ask(QUERY, name="q", k=12, filter=parse_where(where))
    cases = [each.case for each in answer.hits]
    distances = [each.hit.distance for each in answer.hits]
    together = answer.neighbours
    kinds = {(case.diagnosis_1, case.diagnosis) for case in cases}
    assert {(each.malignancy, each.name) for each in together.diagnoses} == kinds
    for each in together.diagnoses:

        def is_it(case, each=each) -> bool:
            return (case.diagnosis_1, case.diagnosis) == (each.malignancy, each.name)

        base = sum(map(is_it, eligible)) / len(eligible)
        flags = [is_it(case) for case in cases]
        share, count = share_by_hand(distances, flags, base=base, correlation=0.25)
        found = each.portion
        assert (found.count, found.base) == (sum(flags), pytest.approx(base))
        assert found.share == pytest.approx(share)
        assert (found.low, found.high) == pytest.approx(wilson(share, count=count))
    shares = [each.portion.share for each in together.diagnoses]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    malignant = sum(case.diagnosis_1 == "Malignant" for case in cases)
    expected = sum(case.diagnosis_1 == "Malignant" for case in eligible) / len(eligible) * 12
    assert (together.malignant.count, together.expected) == (malignant, pytest.approx(expected))
    place = "among the cases that pass the filter" if where else "in this casebook"
    said = f"{malignant} of 12 nearest cases were malignant ({expected:.0f} of 12 expected by "
    assert together.text.startswith(f"{said}chance {place})")
    assert f"{together.text}." in answer.summary()
    told = answer.to_json()["neighbours"]
    assert (told["k"], told["malignant"]["text"]) == (12, together.text)
    assert {"count", "of", "expected", "share_weighted", "low", "high"} <= told["malignant"].keys()
    assert not together.is_calibrated


@pytest.mark.parametrize(("wanted", "said"), [("Benign", "No"), ("Malignant", "Only")])
def test_what_the_filter_alone_tells_is_no_finding(held, wanted, said) -> None:
    with Casebook.open(held) as opened:
        where = parse_where((f"diagnosis_1={wanted}",))
        answer = Consultation(opened).ask(QUERY, name="q", k=5, filter=where)
    told = answer.to_json()["neighbours"]["malignant"]
    assert (told["foregone"], told["text"]) == (True, f"{said} malignant cases pass the filter")
    assert f"{told['text']}." in answer.summary()
    assert not any("by chance" in each or "Weighted" in each for each in answer.summary())


@given(
    st.lists(st.floats(0, 2), min_size=1, max_size=50).map(sorted),
    st.integers(0, 2**50 - 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_share_lies_in_its_interval(distances, bits, base, correlation) -> None:
    flags = np.array([bool(bits >> place & 1) for place in range(len(distances))])
    weighing = Weighing.of(distances, correlation=correlation)
    assert 1 - 1e-9 <= weighing.count <= len(distances) + 1e-9
    found = weighing.portion(flags, base=base)
    assert -1e-9 <= found.low <= found.share + 1e-9
    assert found.share - 1e-9 <= found.high <= 1 + 1e-9
    whole = weighing.portion(np.ones_like(flags), base=1.0)
    assert math.isclose(whole.share, 1)
    if min(distances) > 1e-6:
        by_hand = share_by_hand(distances, flags, base=base, correlation=correlation)
        assert (found.share, weighing.count + 1) == pytest.approx(by_hand)


@pytest.mark.parametrize(("marked", "count"), [(0, 10), (7, 10), (1, 3), (50, 50)])
def test_wilsons_interval_is_scipys(marked, count) -> None:
    theirs = binomtest(marked, count).proportion_ci(method="wilson")
    assert wilson(marked / count, count=count) == pytest.approx((theirs.low, theirs.high))
