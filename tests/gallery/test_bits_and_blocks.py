"""Many blocks, changes of every kind, and bits: against an oracle that looks at every case."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.errors import SettingsError
from dermtwin.gallery import (
    Encoded,
    Entries,
    Exclusion,
    Gallery,
    measures,
    names,
    parse_where,
    popcount,
    snapshot,
    table,
)
from dermtwin.gallery.names import Names
from dermtwin.vocabulary import FIELDS, Case

WHERES = (
    (),
    ("sex=female",),
    ("sex=?", "age_approx=20..60"),
    ("diagnosis_1=Malignant",),
    ("lesion_id=L1,L2,absent",),
    ("patient_id=?",),
    ("isic_id=*", "attribution=clinic 3"),
)
TEXTS = st.one_of(st.none(), st.text(max_size=4), st.sampled_from(["", "\x00", "ÿ", "a", "aa"]))


def make_case(rng, name) -> Case:
    def maybe(values):
        return rng.choice([None, *values])

    return Case(
        isic_id=name,
        lesion_id=maybe([f"L{each}" for each in range(9)]),
        patient_id=maybe(["P1", "P2", "Pä"]),
        diagnosis_1=maybe(["Benign", "Malignant"]),
        sex=maybe(["female", "male"]),
        age_approx=maybe(range(0, 90, 5)),
        attribution=maybe([f"clinic {each}" for each in range(400)]),
    )


def ranked(held, bits, code, *, where, exclude, by_bits) -> list[tuple]:
    rows = []
    for case, own, other in held.values():
        if not where.matches(case) or (
            case.isic_id in exclude.isic_ids
            or case.lesion_id in exclude.lesion_ids
            or case.patient_id in exclude.patient_ids
        ):
            continue
        pairs = zip(other.tolist(), code.tolist(), strict=True)
        far = float(np.float32(math.sqrt(sum((one - two) ** 2 for one, two in pairs))))
        near = (int(own) ^ int(bits)).bit_count() if by_bits else 0
        rows.append((near, far, case.isic_id, case.lesion_id))
    return sorted(rows, key=lambda row: row[:3])


def expected(rows, *, k, every_image) -> list[tuple]:
    hits, seen = [], set()
    for _, far, name, lesion in rows:
        if every_image or lesion is None or lesion not in seen:
            seen.add(lesion)
            hits.append((len(hits) + 1, name, lesion, far))
    return hits[:k]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 40),
    where=st.sampled_from(WHERES),
    every_image=st.booleans(),
    compiled=st.booleans(),
)
def test_both_searches_are_the_oracles_whatever_changes(
    *, seed, k, where, every_image, compiled
) -> None:
    """Blocks of at most 16 rows: they are begun, joined, cut and emptied at every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "MOST", 16)
        patch.setattr(snapshot, "loop_for", lambda _: popcount.load() if compiled else None)
        # Two blocks in one call of the loop, on as many threads as there are cores.
        patch.setattr(measures, "_TOGETHER", 2)
        patch.setattr(measures, "_SHARED", 1)
        rng = np.random.default_rng(seed)
        gallery, held = Gallery(dimension=3), {}
        for version in range(1, 7):
            fresh = rng.integers(0, 120, rng.integers(0, 40)).tolist()
            removed = [key for key in held if rng.random() < 0.15]
            if rng.random() < 0.1:
                removed = [*held]
            changed = {key: make_case(rng, f"C{key}") for key in fresh}
            codes = rng.integers(-1, 2, (len(changed), 3)).astype(np.float32)
            # Few distinct values, so that Hamming distances tie.
            bits = rng.choice(np.array([0, 1, 3, 2**63, 2**64 - 1], np.uint64), len(changed))
            entries = Entries.of_cases([*changed.values()], codes=codes, bits=bits, keys=[*changed])
            gallery.apply(entries, removed=[*removed, 9999], version=version)
            for key in removed:
                held.pop(key, None)
            for (key, case), own, code in zip(changed.items(), bits, codes, strict=True):
                held[key] = (case, own, code)
        assert len(gallery) == len(held)
        queries = rng.integers(-1, 2, (3, 3)).astype(np.float32)
        query_bits = rng.choice(np.array([0, 7, 2**64 - 1], np.uint64), 3)
        own = [Exclusion(), Exclusion(lesion_ids=frozenset({"L3", "L4"}))]
        own.append(Exclusion(isic_ids=frozenset({"C5"}), patient_ids=frozenset({"Pä"})))
        asked = {"k": k, "filter": parse_where(where), "every_image": every_image}
        by_float = gallery.search(queries, exclude=own, **asked)
        by_bits = gallery.search_bits(query_bits, codes=queries, exclude=own, **asked)
        for place, (mine, query, each) in enumerate(zip(query_bits, queries, own, strict=True)):
            for found, uses_bits in ((by_float[place], False), (by_bits[place], True)):
                limits = {"where": asked["filter"], "exclude": each, "by_bits": uses_bits}
                rows = ranked(held, mine, query, **limits)
                told = [(hit.rank, hit.isic_id, hit.lesion_id, hit.distance) for hit in found.hits]
                assert told == expected(rows, k=k, every_image=every_image)
                assert found.eligible == len(rows)
            alone = gallery.search_bits(mine[None], codes=query[None], exclude=[each], **asked)
            assert alone == (by_bits[place],)


def test_many_queries_over_whole_blocks_answer_as_one_by_one() -> None:
    """More rows than a block holds, more queries than go together; ties by the thousand."""
    rng = np.random.default_rng(1)
    count = names.MOST + 5000
    codes = rng.integers(-2, 3, (count, 6)).astype(np.float32)
    bits = rng.integers(0, 2**64, 50, dtype=np.uint64)[rng.integers(0, 50, count)]
    columns = {name: Encoded(np.full(count, -1), []) for name in FIELDS}
    columns["isic_id"] = [f"C{each:06d}" for each in range(count)]
    columns["sex"] = Encoded(rng.integers(-1, 2, count), ["female", "male"])
    gallery = Gallery(dimension=6)
    keys = rng.permutation(count)
    gallery.apply(Entries(keys=keys, codes=codes, columns=columns, bits=bits), version=1)
    gallery.apply(removed=keys[::7].tolist(), version=2)
    stays = np.ones(count, np.bool_)
    stays[::7] = False
    female = stays & (columns["sex"].numbers == 0)
    queries, query_bits = codes[:70], bits[:70]
    where = parse_where(["sex=female"])
    by_float = gallery.search(queries, k=5, filter=where)
    by_bits = gallery.search_bits(query_bits, codes=queries, k=5, filter=where)
    for place in range(0, 70, 9):
        far = np.sqrt(((codes - queries[place]).astype(np.float64) ** 2).sum(axis=1))
        near = np.bitwise_count(bits ^ query_bits[place])
        for found, first in ((by_float[place], np.zeros(count)), (by_bits[place], near)):
            order = np.lexsort((np.arange(count), far.astype(np.float32), first))
            best = [columns["isic_id"][row] for row in order[female[order]][:5]]
            assert [hit.isic_id for hit in found.hits] == best
            assert found.eligible == female.sum()


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=40), st.lists(TEXTS, max_size=40), st.randoms())
def test_names_come_out_of_their_packing_as_they_went_in(first, second, random) -> None:
    both = Names.of(first).joined(Names.of(second))
    assert both.all() == first + second
    stays = np.array([random.random() < 0.6 for _ in both.all()], np.bool_)
    left = [name for name, stay in zip(first + second, stays, strict=True) if stay]
    packed = both.taken(stays)
    assert packed.all() == left
    assert packed.known().tolist() == [name is not None for name in left]
    for name in {*first, *second, "absent"} - {None}:
        rows = [row for row, other in enumerate(left) if other == name]
        assert packed.rows_of([name]).tolist() == rows


def test_one_name_a_thousand_times_is_found_a_thousand_times() -> None:
    packed = Names.of(["own", "other", None] * 1000)
    assert packed.rows_of(["own", "none"]).tolist() == list(range(0, 3000, 3))


def test_bits_that_are_missing_or_do_not_fit_are_refused() -> None:
    codes = np.ones((2, 2), np.float32)
    cases = [Case(isic_id="a"), Case(isic_id="b")]
    with pytest.raises(SettingsError, match=r"expected uint64\[2\]"):
        Entries.of_cases(cases, codes=codes, bits=np.ones(2, np.int64))
    with pytest.raises(SettingsError, match=r"expected uint64\[2\]"):
        Entries.of_cases(cases, codes=codes, bits=np.ones(3, np.uint64))
    gallery = Gallery(dimension=2)
    gallery.apply(Entries.of_cases(cases, codes=codes), version=1)
    with pytest.raises(SettingsError, match="have no bits"):
        gallery.search_bits(np.ones(1, np.uint64), codes=codes[:1], k=1)
    with pytest.raises(SettingsError, match=r"expected uint64\[1\]"):
        gallery.search_bits(np.ones(2, np.uint64), codes=codes[:1], k=1)
