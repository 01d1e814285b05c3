"""Search against an oracle that looks at every case, one by one, in plain Python."""

import math
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dermtwin.errors import SettingsError
from dermtwin.gallery import Entries, Exclusion, Filter, Gallery, nearest, parse_where
from dermtwin.vocabulary import Case

WHERES = (
    (),
    ("sex=female",),
    ("sex=?",),
    ("age_approx=40..60",),
    ("age_approx=..50", "diagnosis_1=Malignant,Benign"),
    ("diagnosis_1=*", "sex=female,male"),
    ("lesion_id=L1,L2,absent",),
    ("isic_id=C0003",),
)


def distance(code, query) -> float:
    total = 0.0
    for one, other in zip(code.tolist(), query.tolist(), strict=True):
        total += (one - other) ** 2
    with np.errstate(over="ignore"):
        return float(np.float32(math.sqrt(total)))


def oracle(cases, codes, query, *, k, where, exclude, every_image) -> tuple[list, int]:
    eligible = [
        (distance(code, query), case.isic_id, case)
        for case, code in zip(cases, codes, strict=True)
        if where.matches(case)
        and case.isic_id not in exclude.isic_ids
        and case.lesion_id not in exclude.lesion_ids
        and case.patient_id not in exclude.patient_ids
    ]
    seen, hits = set(), []
    for far, name, case in sorted(eligible, key=lambda each: each[:2]):
        lesion = case.lesion_id or ("own", name)
        if every_image or lesion not in seen:
            seen.add(lesion)
            hits.append((len(hits) + 1, name, case.lesion_id, far))
    return hits[:k], len(eligible)


def found_by(gallery, query, *, where, exclude, **asked) -> tuple[list, int]:
    (found,) = gallery.search(query[None], filter=where, exclude=[exclude], **asked)
    hits = [(hit.rank, hit.isic_id, hit.lesion_id, hit.distance) for hit in found.hits]
    return hits, found.eligible


def make_cases(rng, count, *, start=0) -> list[Case]:
    def maybe(values):
        place = rng.integers(len(values) + 1)
        return None if place == len(values) else values[place]

    lesions = [f"L{each}" for each in range(max(2, count // 3))]
    patients = [f"P{each}" for each in range(max(2, count // 6))]
    cases = []
    for number in range(start, start + count):
        age = maybe(range(20, 90, 5))
        cases.append(
            Case(
                isic_id=f"C{number:04d}",
                lesion_id=maybe(lesions),
                patient_id=maybe(patients),
                diagnosis_1=maybe(["Benign", "Malignant", "Indeterminate"]),
                sex=maybe(["female", "male"]),
                age_approx=age,
            )
        )
    rng.shuffle(cases)
    return cases


def make_codes(rng, count, dimension, *, kind) -> np.ndarray:
    if kind == "ties":  # few distinct codes, so that equal distances abound
        return rng.integers(-1, 2, (count, dimension)).astype(np.float32)
    if kind == "equal":
        return np.full((count, dimension), 0.3, np.float32)
    if kind == "far":  # close together, far from the origin: float32 cancels
        return (1000 + rng.normal(size=(count, dimension)) * 1e-3).astype(np.float32)
    if kind == "huge":
        return (rng.normal(size=(count, dimension)) * 1e30).astype(np.float32)
    if kind == "tiny":
        return (rng.normal(size=(count, dimension)) * 1e-30).astype(np.float32)
    return rng.normal(size=(count, dimension)).astype(np.float32)


KINDS = ("plain", "ties", "equal", "far", "huge", "tiny")


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(0, 60), st.integers(1, 9)),
    kind=st.sampled_from(KINDS),
    k=st.integers(1, 70),
    where=st.sampled_from(WHERES),
    switches=st.tuples(st.booleans(), st.booleans()),
)
@example(seed=0, size=(0, 5), kind="plain", k=10, where=(), switches=(False, True))
def test_search_is_the_oracles(*, seed, size, kind, k, where, switches) -> None:
    (count, dimension), (every_image, excludes) = size, switches
    rng = np.random.default_rng(seed)
    cases, codes = make_cases(rng, count), make_codes(rng, count, dimension, kind=kind)
    query = (
        codes[0] if count and rng.random() < 0.3 else make_codes(rng, 1, dimension, kind=kind)[0]
    )
    exclude = Exclusion()
    if excludes and count:
        own = cases[0]
        exclude = Exclusion(
            isic_ids=frozenset({own.isic_id, "absent"}),
            lesion_ids=frozenset({own.lesion_id} - {None}),
            patient_ids=frozenset({own.patient_id} - {None}),
        )
    gallery = Gallery(dimension=dimension)
    gallery.apply(Entries.of_cases(cases, codes=codes), version=1)
    asked = {"k": k, "where": parse_where(where), "every_image": every_image}
    expected = oracle(cases, codes, query, exclude=exclude, **asked)
    assert found_by(gallery, query, exclude=exclude, **asked) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", [(), ("sex=female",), ("age_approx=40",)])
def test_many_cases_are_searched_as_exactly(kind, where) -> None:
    """Enough cases for block bounds, gathered filters and several rounds of candidates."""
    rng = np.random.default_rng(7)
    cases, codes = make_cases(rng, 8_000), make_codes(rng, 8_000, 5, kind=kind)
    # One lesion with very many images: the first candidates are all of one lesion.
    crowd = [
        Case(isic_id=f"D{each:04d}", lesion_id="crowd", sex="female", age_approx=40)
        for each in range(500)
    ]
    query = codes[5]
    near = np.repeat(query[None], 500, axis=0)
    gallery = Gallery(dimension=5)
    gallery.apply(Entries.of_cases([*cases, *crowd], codes=np.vstack([codes, near])), version=1)
    for every_image in (False, True):
        asked = {"k": 12, "where": parse_where(where), "every_image": every_image}
        exclude = Exclusion(lesion_ids=frozenset({"L3"}), patient_ids=frozenset({"P9"}))
        expected = oracle([*cases, *crowd], [*codes, *near], query, exclude=exclude, **asked)
        assert found_by(gallery, query, exclude=exclude, **asked) == expected


def test_a_crowd_of_blocked_cases_leaves_the_rest_exact() -> None:
    """Nearly everything is the query's own patient: whole blocks take no part."""
    rng = np.random.default_rng(3)
    codes = make_codes(rng, 30_000, 4, kind="plain")
    cases = [
        Case(isic_id=f"C{each:05d}", patient_id="other" if each % 3000 == 1 else "own")
        for each in range(30_000)
    ]
    gallery = Gallery(dimension=4)
    gallery.apply(Entries.of_cases(cases, codes=codes), version=1)
    exclude = Exclusion(patient_ids=frozenset({"own"}))
    asked = {"k": 5, "where": Filter(), "every_image": True}
    expected = oracle(cases, codes, codes[0], exclude=exclude, **asked)
    assert expected[1] == 10
    assert found_by(gallery, codes[0], exclude=exclude, **asked) == expected


def test_the_scans_error_stays_within_its_bound() -> None:
    rng = np.random.default_rng(11)
    for dimension in (1, 5, 32, 625):
        for kind in ("plain", "far", "tiny"):
            codes = make_codes(rng, 500, dimension, kind=kind)
            query = make_codes(rng, 1, dimension, kind=kind)[0]
            halves = nearest.half_squares(codes)
            approximate = (halves - codes @ query).astype(np.float64)
            wide = query.astype(np.float64)
            exact = ((codes - wide) ** 2).sum(axis=1) / 2 - wide @ wide / 2
            slack = nearest.slack_of(query, longest=float(halves.max()))
            assert np.abs(approximate - exact).max() <= slack / 2


def test_a_batch_answers_as_its_queries_alone() -> None:
    rng = np.random.default_rng(5)
    cases, codes = make_cases(rng, 400), make_codes(rng, 400, 6, kind="ties")
    gallery = Gallery(dimension=6)
    gallery.apply(Entries.of_cases(cases, codes=codes), version=1)
    own = [Exclusion(isic_ids=frozenset({case.isic_id})) for case in cases]
    together = gallery.search(codes, k=7, exclude=own)
    for code, exclude, found in zip(codes, own, together, strict=True):
        assert gallery.search(code[None], k=7, exclude=[exclude]) == (found,)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), where=st.sampled_from(WHERES))
def test_additions_alterations_and_removals_leave_what_a_fresh_gallery_holds(seed, where) -> None:
    rng = np.random.default_rng(seed)
    gallery, held, number = Gallery(dimension=3), {}, 0
    for version in range(1, 12):
        added = make_cases(rng, int(rng.integers(0, 15)), start=number)
        fresh = dict(zip(range(number, number + len(added)), added, strict=True))
        number += len(added)
        known = sorted(held)
        altered = [key for key in known if rng.random() < 0.2]
        removed = [key for key in known if key not in altered and rng.random() < 0.2]
        changed = fresh | {
            key: Case(isic_id=held[key][0].isic_id, sex="male", lesion_id="new") for key in altered
        }
        codes = make_codes(rng, len(changed), 3, kind="ties")
        entries = Entries.of_cases([*changed.values()], codes=codes, keys=[*changed])
        gallery.apply(entries, removed=[*removed, 10_000], version=version)
        for key in removed:
            del held[key]
        for (key, case), code in zip(changed.items(), codes, strict=True):
            held[key] = (case, code)
        cases = [case for case, _ in held.values()]
        query = make_codes(rng, 1, 3, kind="ties")[0]
        asked = {"k": 9, "where": parse_where(where), "every_image": False}
        expected = oracle(
            cases, [code for _, code in held.values()], query, exclude=Exclusion(), **asked
        )
        assert len(gallery) == len(held)
        assert gallery.version == version
        assert found_by(gallery, query, exclude=Exclusion(), **asked) == expected


def test_what_was_removed_is_not_kept_in_memory() -> None:
    cases = [
        Case(isic_id=f"C{each}", patient_id=f"mark-{each}", attribution=f"mark-{each // 10}")
        for each in range(50)
    ]
    gallery = Gallery(dimension=2)
    gallery.apply(Entries.of_cases(cases, codes=np.ones((50, 2), np.float32)), version=1)
    gallery.apply(removed=range(10, 50), version=2)
    view = gallery.snapshot()._view
    (block,) = view.blocks
    assert block.name("patient_id").all() == [f"mark-{each}" for each in range(10)]
    assert b"mark-1mark-2" in block.name("patient_id").text.tobytes()
    assert b"mark-10" not in block.name("patient_id").text.tobytes()
    assert view.label("attribution").values == ["mark-0", *[None] * 4]


def test_a_tally_counts_the_eligible() -> None:
    rng = np.random.default_rng(2)
    cases = make_cases(rng, 200)
    gallery = Gallery(dimension=2)
    gallery.apply(Entries.of_cases(cases, codes=make_codes(rng, 200, 2, kind="plain")), version=1)
    for where in WHERES:
        asked = parse_where(where)
        own = Exclusion(lesion_ids=frozenset({"L1"}))
        eligible = [each for each in cases if asked.matches(each) and each.lesion_id != "L1"]
        values = [each.diagnosis_1 for each in eligible]
        expected = {value: values.count(value) for value in set(values)}
        counted = gallery.snapshot().tally("diagnosis_1", filter=asked, exclude=own)
        assert counted == expected


def test_a_snapshot_never_changes_while_others_write_and_search() -> None:
    rng = np.random.default_rng(4)
    cases, codes = make_cases(rng, 300), make_codes(rng, 300, 4, kind="ties")
    gallery = Gallery(dimension=4)
    gallery.apply(Entries.of_cases(cases, codes=codes), version=1)
    snapshot = gallery.snapshot()
    asked = {"k": 20, "filter": parse_where(["sex=female"])}
    before = snapshot.search(codes[:5], **asked)
    faults = []

    def search() -> None:
        for _ in range(60):
            if snapshot.search(codes[:5], **asked) != before:
                faults.append("an old snapshot changed")
            now = gallery.snapshot()
            (found,) = now.search(codes[:1], k=10_000, every_image=True)
            if found.eligible != len(found.hits) or found.eligible != len(now):
                faults.append("a search saw half a change")

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(60):
        more = make_cases(rng, 20, start=1000 + 20 * step)
        keys = range(1000 + 20 * step, 1020 + 20 * step)
        entries = Entries.of_cases(more, codes=make_codes(rng, 20, 4, kind="ties"), keys=keys)
        gallery.apply(entries, removed=[step] if step % 3 else [], version=2 + step)
    for thread in threads:
        thread.join()
    assert not faults


def test_an_older_change_than_is_held_changes_nothing() -> None:
    gallery = Gallery(dimension=2)
    entries = Entries.of_cases([Case(isic_id="a")], codes=np.ones((1, 2), np.float32))
    gallery.apply(entries, version=5)
    gallery.apply(removed=[0], version=4)
    assert (len(gallery), gallery.version) == (1, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad) -> None:
    codes = np.array([[0, bad]], np.float32)
    with pytest.raises(SettingsError, match="finite"):
        Entries.of_cases([Case(isic_id="a")], codes=codes)
    with pytest.raises(SettingsError, match="finite"):
        Gallery(dimension=2).search(codes, k=1)


def test_what_does_not_fit_is_refused() -> None:
    gallery = Gallery(dimension=2)
    one = np.ones((1, 2), np.float32)
    with pytest.raises(SettingsError, match="k=0"):
        gallery.search(one, k=0)
    with pytest.raises(SettingsError, match=r"float32\[N, 2\]"):
        gallery.search(np.ones((1, 3), np.float32), k=1)
    with pytest.raises(SettingsError, match=r"float32\[N, 2\]"):
        gallery.search(one.astype(np.float64), k=1)
    with pytest.raises(SettingsError, match="2 exclusions"):
        gallery.search(one, k=1, exclude=[Exclusion()] * 2)
    with pytest.raises(SettingsError, match="3 numbers"):
        gallery.apply(Entries.empty(3), version=1)
    with pytest.raises(SettingsError, match="twice"):
        Entries.of_cases([Case(isic_id="a")] * 2, codes=np.ones((2, 2), np.float32), keys=[1, 1])
