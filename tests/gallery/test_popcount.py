"""The compiled loop over bits: against brute force, and when it is there."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermtwin.gallery import Entries, Gallery, popcount
from dermtwin.vocabulary import Case

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=5)


@pytest.fixture
def _unasked(monkeypatch) -> Iterator[None]:
    """As in a process that has not searched yet; any gallery is large."""
    monkeypatch.setattr(popcount, "_LARGE", 1)
    monkeypatch.setattr(popcount, "_large_searches", iter(range(1000)))
    popcount._loading.cache_clear()
    yield
    popcount._loading.cache_clear()


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=LENGTHS,
    wanted=st.integers(1, 30),
    distinct=st.sampled_from([1, 3, 1000]),
    room=st.integers(1, 9),
)
def test_the_wanted_nearest_and_their_ties_are_among_what_it_finds(
    *, seed, lengths, wanted, distinct, room
) -> None:
    """Room for few rows: the loop stops and goes on in the middle of blocks, ties and all."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**64, distinct, dtype=np.uint64)
    blocks = [words[rng.integers(0, distinct, length)] for length in lengths]
    firsts = [100 * place for place in range(len(blocks))]
    query = rng.choice([*words, np.uint64(0), np.uint64(2**64 - 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(popcount, "_ROOM", room)
        rows, values = popcount.nearest_bits(
            popcount.load(), blocks, firsts, query=query, wanted=wanted
        )
    distance = {
        first + place: (int(word) ^ int(query)).bit_count()
        for first, block in zip(firsts, blocks, strict=True)
        for place, word in enumerate(block.tolist())
    }
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert [distance[row] for row in rows.tolist()] == values.tolist()
    farthest = max(sorted(distance.values())[:wanted], default=64)
    assert set(rows.tolist()) >= {row for row, far in distance.items() if far <= farthest}


def test_it_writes_down_few_of_many() -> None:
    bits = np.random.default_rng(2).integers(0, 2**64, 300_000, dtype=np.uint64)
    rows, _ = popcount.nearest_bits(popcount.load(), [bits], [0], query=bits[7], wanted=20)
    assert 20 <= len(rows) < 2000


@pytest.mark.usefixtures("_unasked")
def test_it_comes_with_the_second_large_search_and_nobody_waits() -> None:
    assert popcount.loop_for(100) is None
    assert popcount.loop_for(0) is None
    assert popcount._loading.cache_info().currsize == 0, "one question alone loads nothing"
    popcount.loop_for(100)
    popcount._loading().result()
    assert popcount.loop_for(100) is popcount.load()
    assert popcount.loop_for(0) is None


@pytest.mark.usefixtures("_unasked")
def test_a_gallery_answers_alike_before_and_after() -> None:
    rng = np.random.default_rng(3)
    cases = [Case(isic_id=f"C{place:03d}") for place in range(500)]
    codes = rng.normal(size=(500, 4)).astype(np.float32)
    bits = rng.integers(0, 2**64, 500, dtype=np.uint64)
    gallery = Gallery(dimension=4)
    gallery.apply(Entries.of_cases(cases, codes=codes, bits=bits), version=1)
    answers = []
    for _ in range(3):
        answers.append(gallery.search_bits(bits[:40], codes=codes[:40], k=7))
        popcount._loading().result()
    assert answers[0] == answers[1] == answers[2]


def test_without_numba_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(popcount, "find_spec", lambda _: None)
    assert popcount.load() is None


def test_a_numba_that_cannot_be_used_is_told(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "dermtwin.gallery.compiled", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(popcount, "find_spec", lambda _: "a broken one")
    with pytest.warns(UserWarning, match="numba cannot be used, so searches take longer"):
        assert popcount.load() is None


def test_it_is_compiled_once_a_machine(tmp_path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    script = (
        "import numpy as np; from dermtwin.gallery import popcount; loop = popcount.load();"
        "rows, _ = popcount.nearest_bits(loop, [np.arange(9, dtype=np.uint64)], [0], "
        "query=np.uint64(8), wanted=1); print(rows[-1], sum(loop.stats.cache_hits.values()))"
    )
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        told.append(done.stdout.decode().split())
    assert told == [["8", "0"], ["8", "1"]]


def test_what_cannot_be_kept_is_compiled_all_the_same() -> None:
    """As where no folder can be written: numba keeps nothing of a function that is in no file."""
    from dermtwin.gallery import compiled

    module = {}
    exec("def nothing(a, l, f, query, wanted, p, c, r, v): return wanted", module)
    words, numbers = np.zeros(1, np.uint64), np.zeros(1, np.int64)
    loop = compiled._compiled(module["nothing"])
    given = [words, numbers, numbers, np.uint64(0), 7, numbers, numbers, numbers]
    assert loop(*given, np.zeros(1, np.uint8)) == 7
