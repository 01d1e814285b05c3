"""Both galleries, in memory and in Milvus, against an oracle that looks at each case in Python."""

import fcntl
import math
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dermtwin.errors import GalleryError, MissingExtraError, SettingsError
from dermtwin.gallery import (
    Between,
    Entries,
    Exclusion,
    Filter,
    Gallery,
    Known,
    OneOf,
    parse_where,
)
from dermtwin.gallery.interface import GalleryLike
from dermtwin.gallery.milvus import MilvusGallery, collection
from dermtwin.vocabulary import Case

DIMENSION = 4
WHERES = (
    Filter(),
    parse_where(["sex=female"]),
    parse_where(["sex=?"]),
    parse_where(["age_approx=40..60"]),
    parse_where(["age_approx=30,45,80"]),
    parse_where(["age_approx=..50", "diagnosis_1=Malignant,Benign"]),
    parse_where(["age_approx=?", "lesion_id=*"]),
    parse_where(["diagnosis_1=*", "sex=female,male"]),
    parse_where(["lesion_id=L1,L2,absent"]),
    Filter((Between("age_approx", low=-(10**30), high=10**30),)),
    Filter((OneOf("age_approx", frozenset({10**30, -(10**30), 55})),)),
)


class Emptied:
    """A gallery with the cases that it should hold; empty again for each example."""

    def __init__(self, gallery: GalleryLike) -> None:
        self.gallery = gallery
        self.held: dict[int, tuple[Case, int, np.ndarray]] = {}
        self.version = gallery.version

    def change(self, cases, *, bits, codes, removed=()) -> None:
        self.version += 1
        entries = Entries.of_cases(
            [*cases.values()],
            codes=np.asarray(codes, np.float32).reshape(-1, DIMENSION),
            bits=np.asarray(bits, np.uint64),
            keys=[*cases],
        )
        self.gallery.apply(entries, removed=removed, version=self.version)
        for key in removed:
            self.held.pop(key, None)
        for (key, case), own, code in zip(cases.items(), bits, codes, strict=True):
            self.held[key] = (case, int(own), code)

    def empty(self) -> None:
        self.version += 1
        self.gallery.apply(removed=[*self.held], version=self.version)
        self.held.clear()

    def check(self, bits, code, *, k, where, exclude=None, every_image=False) -> None:
        exclude = exclude or Exclusion()
        snapshot = self.gallery.snapshot()
        assert (snapshot.version, len(snapshot)) == (self.version, len(self.held))
        (found,) = snapshot.search_bits(
            np.array([bits], np.uint64),
            codes=code[None],
            k=k,
            filter=where,
            exclude=[exclude],
            every_image=every_image,
        )
        told = [astuple(hit) for hit in found.hits]
        asked = {"k": k, "where": where, "exclude": exclude, "every_image": every_image}
        assert (told, found.eligible) == oracle(self.held.values(), bits, code, **asked)


def distance(code, query) -> float:
    total = 0.0
    for one, other in zip(code.tolist(), query.tolist(), strict=True):
        total += (one - other) ** 2
    return float(np.float32(math.sqrt(total)))


def is_eligible(case, *, where, exclude) -> bool:
    return (
        where.matches(case)
        and case.isic_id not in exclude.isic_ids
        and case.lesion_id not in exclude.lesion_ids
        and case.patient_id not in exclude.patient_ids
    )


def oracle(held, bits, code, *, k, where, exclude, every_image) -> tuple[list, int]:
    eligible = [
        ((int(bits) ^ own).bit_count(), distance(mine, code), case.isic_id, case.lesion_id)
        for case, own, mine in held
        if is_eligible(case, where=where, exclude=exclude)
    ]
    seen, hits = set(), []
    for differing, far, name, lesion in sorted(eligible, key=lambda each: each[:3]):
        own = lesion if lesion is not None else ("own", name)
        if every_image or own not in seen:
            seen.add(own)
            hits.append((len(hits) + 1, name, lesion, far, differing))
    return hits[:k], len(eligible)


def make_case(rng, name) -> Case:
    def maybe(values):
        place = rng.integers(len(values) + 1)
        return None if place == len(values) else values[place]

    age = maybe(range(20, 90, 5))
    return Case(
        isic_id=name,
        lesion_id=maybe([f"L{each}" for each in range(8)]),
        patient_id=maybe([f"P{each}" for each in range(5)]),
        diagnosis_1=maybe(["Benign", "Malignant", "Indeterminate"]),
        sex=maybe(["female", "male"]),
        age_approx=age,
    )


def make_bits(rng, count) -> np.ndarray:
    """Few bits differ, so that equal distances abound; the first and the last bit among them."""
    bits = rng.integers(0, 4, count).astype(np.uint64)
    return bits | (rng.integers(0, 4, count).astype(np.uint64) << np.uint64(62))


def make_codes(rng, count) -> np.ndarray:
    return rng.integers(-1, 2, (count, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="session")
def milvus_uri(tmp_path_factory, worker_id) -> str:
    """One server for all workers, as it takes long to start; who started it stops it."""
    pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")
    milvus = pytest.importorskip("milvus", reason="the wheel with Milvus's server is not installed")
    base = tmp_path_factory.getbasetemp()
    users = (base if worker_id == "master" else base.parent) / "milvus-users"
    server = milvus.MilvusServer(milvus.MilvusServerConfig(data_dir=f"{users}-server"))
    # A consistent read waits for the next tick: 200 ms unless set.
    server.config.set("proxy.timeTickInterval", 10)
    with alone(users):
        if not users.read_text():
            start(server)
            users.write_text(f"{server.listen_port}\n")
        port = users.read_text().split()[0]
        users.write_text(f"{users.read_text()}{worker_id}\n")
    yield f"http://127.0.0.1:{port}"
    while not left(users, worker_id, server=server):
        time.sleep(0.1)


def start(server) -> None:
    with warnings.catch_warnings():
        # It leaves sockets and log files to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            server.start()
        except (OSError, RuntimeError) as error:
            server.stop()
            pytest.skip(f"Milvus's server does not start here: {error}")


def left(users, worker_id, *, server) -> bool:
    """Strike this worker out; false: it started the server, and others still use it."""
    with alone(users):
        port, *names = users.read_text().split()
        names.remove(worker_id)
        if server.running and names:
            return False
        users.write_text("\n".join([port, *names, ""]))
        if server.running:
            server.stop()
            shutil.rmtree(f"{users}-server")
            users.write_text("")
    return True


@contextmanager
def alone(users) -> Iterator[None]:
    with users.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def in_milvus(milvus_uri) -> Emptied:
    made = MilvusGallery(milvus_uri, name=f"t{uuid4().hex}", dimension=DIMENSION)
    yield Emptied(made)
    made.drop()


@pytest.fixture(scope="module", params=["memory", "milvus"])
def kept(request) -> Emptied:
    if request.param == "milvus":
        return request.getfixturevalue("in_milvus")
    return Emptied(Gallery(dimension=DIMENSION))


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_search_is_brute_force_through_additions_alterations_and_removals(kept, seed) -> None:
    kept.empty()
    rng = np.random.default_rng(seed)
    for step in range(3):
        known = [*kept.held]
        altered = [key for key in known if rng.random() < 0.2]
        removed = [key for key in known if key not in altered and rng.random() < 0.2]
        fresh = range(100 * step, 100 * step + int(rng.integers(0, 40)))
        cases = {key: make_case(rng, f"C{key:04d}") for key in (*altered, *fresh)}
        bits, codes = make_bits(rng, len(cases)), make_codes(rng, len(cases))
        kept.change(cases, bits=bits, codes=codes, removed=[*removed, 10**9])
        own = make_case(rng, f"C{rng.integers(0, 300):04d}")
        exclude = Exclusion(
            isic_ids=frozenset({own.isic_id, "absent"}),
            lesion_ids=frozenset({own.lesion_id} - {None}),
            patient_ids=frozenset({own.patient_id} - {None}),
        )
        for every_image in (False, True):
            kept.check(
                make_bits(rng, 1)[0],
                make_codes(rng, 1)[0],
                k=int(rng.integers(1, 30)),
                where=WHERES[rng.integers(len(WHERES))],
                exclude=exclude if rng.random() < 0.7 else None,
                every_image=every_image,
            )


def test_each_filter_finds_and_counts_as_brute_force(kept) -> None:
    kept.empty()
    rng = np.random.default_rng(1)
    cases = {key: make_case(rng, f"C{key:04d}") for key in range(120)}
    kept.change(cases, bits=make_bits(rng, 120), codes=make_codes(rng, 120))
    exclude = Exclusion(lesion_ids=frozenset({"L1"}), patient_ids=frozenset({"P2"}))
    for where in WHERES:
        kept.check(make_bits(rng, 1)[0], make_codes(rng, 1)[0], k=9, where=where, exclude=exclude)
        counted = kept.gallery.snapshot().tally("diagnosis_1", filter=where, exclude=exclude)
        values = [
            case.diagnosis_1
            for case in cases.values()
            if is_eligible(case, where=where, exclude=exclude)
        ]
        assert counted == {value: values.count(value) for value in set(values)}


def test_values_outside_of_the_vocabulary_are_counted_too(kept) -> None:
    kept.empty()
    told = [None, "Benign", "Malignant", "Unclear", "Unclear", 'Of "another" kind', "\\"]
    cases = {
        key: Case(isic_id=f"C{key:04d}", diagnosis_1=value, sex="male" if key else None)
        for key, value in enumerate(told)
    }
    rng = np.random.default_rng(7)
    kept.change(cases, bits=make_bits(rng, len(cases)), codes=make_codes(rng, len(cases)))
    tally = kept.gallery.snapshot().tally
    assert tally("diagnosis_1") == {value: told.count(value) for value in set(told)}
    assert tally("diagnosis_1", filter=parse_where(["sex=?"])) == {None: 1}
    own = Exclusion(isic_ids=frozenset({"C0003", "C0004"}))
    assert "Unclear" not in tally("diagnosis_1", exclude=own)


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4, unique=True
    )
)
@example(texts=['"', "'", "\\", '\\" or key > 0 or isic_id == "', "\n\r\t", "=", "%", "ä😀\u2028"])
@example(texts=["\x01\x7f", " ", "null", '""', "{a}", "x" * 3000])
def test_any_text_is_found_and_left_out(kept, texts) -> None:
    kept.empty()
    rng = np.random.default_rng(2)
    cases = {
        key: Case(isic_id=text, lesion_id=f"L{text}", attribution=text)
        for key, text in enumerate(texts)
    }
    cases[len(texts)] = Case(isic_id="C0000")
    kept.change(cases, bits=make_bits(rng, len(cases)), codes=make_codes(rng, len(cases)))
    query = {"bits": make_bits(rng, 1)[0], "code": make_codes(rng, 1)[0], "k": 20}
    kept.check(**query, where=Filter((Known("attribution", known=False),)))
    for text in texts:
        kept.check(**query, where=Filter((OneOf("attribution", frozenset({text})),)))
        exclude = Exclusion(isic_ids=frozenset({text}), lesion_ids=frozenset({f"L{texts[0]}"}))
        kept.check(**query, where=Filter(), exclude=exclude)


def test_a_crowd_at_one_distance_is_searched_whole(kept) -> None:
    """Thousands tie, and the nearest are all of one lesion: the first candidates never suffice."""
    kept.empty()
    rng = np.random.default_rng(3)
    crowd = {key: Case(isic_id=f"D{key:04d}", lesion_id="crowd") for key in range(700)}
    cases = crowd | {key: make_case(rng, f"C{key:04d}") for key in range(700, 3000)}
    bits, codes = make_bits(rng, 3000), make_codes(rng, 3000)
    bits[:700] = 0
    kept.change(cases, bits=bits, codes=codes)
    if isinstance(kept.gallery, MilvusGallery):  # from the log into an indexed segment
        kept.gallery._collection.client.flush(kept.gallery._collection.name)
    for every_image in (False, True):
        for where in (Filter(), WHERES[3]):
            asked = {"k": 12, "where": where, "every_image": every_image}
            kept.check(np.uint64(0), make_codes(rng, 1)[0], **asked)
            kept.check(make_bits(rng, 1)[0], codes[800], **asked)


def test_a_batch_answers_as_its_queries_alone(kept) -> None:
    kept.empty()
    rng = np.random.default_rng(4)
    cases = {key: make_case(rng, f"C{key:04d}") for key in range(60)}
    bits, codes = make_bits(rng, 60), make_codes(rng, 60)
    kept.change(cases, bits=bits, codes=codes)
    own = [Exclusion(isic_ids=frozenset({case.isic_id})) for case in cases.values()][:5]
    snapshot = kept.gallery.snapshot()
    together = snapshot.search_bits(bits[:5], codes=codes[:5], k=7, exclude=own)
    alone = [
        snapshot.search_bits(bits[[place]], codes=codes[[place]], k=7, exclude=[own[place]])
        for place in range(5)
    ]
    assert [(found,) for found in together] == alone


def test_what_does_not_fit_is_refused(kept) -> None:
    snapshot = kept.gallery.snapshot()
    bits, codes = np.zeros(1, np.uint64), np.ones((1, DIMENSION), np.float32)
    with pytest.raises(SettingsError, match="k=0"):
        snapshot.search_bits(bits, codes=codes, k=0)
    with pytest.raises(SettingsError):
        snapshot.search_bits(bits.astype(np.int64), codes=codes, k=1)
    with pytest.raises(SettingsError):
        snapshot.search_bits(np.zeros(2, np.uint64), codes=codes, k=1)
    with pytest.raises(SettingsError, match=rf"float32\[N, {DIMENSION}\]"):
        snapshot.search_bits(bits, codes=codes[:, 1:], k=1)
    with pytest.raises(SettingsError, match="finite"):
        snapshot.search_bits(bits, codes=codes * np.nan, k=1)
    with pytest.raises(SettingsError, match="2 exclusions"):
        snapshot.search_bits(bits, codes=codes, k=1, exclude=[Exclusion()] * 2)
    with pytest.raises(SettingsError, match="3 numbers"):
        kept.gallery.apply(Entries.empty(3), version=kept.version + 1)


def test_more_than_milvus_gives_at_once_is_searched_in_parts(in_milvus, monkeypatch) -> None:
    in_milvus.empty()
    rng = np.random.default_rng(5)
    cases = {3 * key: make_case(rng, f"C{key:04d}") for key in range(400)}
    in_milvus.change(cases, bits=make_bits(rng, 400), codes=make_codes(rng, 400))
    monkeypatch.setattr(collection, "_MOST", 16)
    for k in (3, 40, 500):
        asked = {"k": k, "where": Filter(), "every_image": True}
        in_milvus.check(make_bits(rng, 1)[0], make_codes(rng, 1)[0], **asked)


def test_another_process_sees_changes_at_its_next_question(in_milvus, milvus_uri) -> None:
    in_milvus.empty()
    rng = np.random.default_rng(6)
    name = in_milvus.gallery._collection.name
    other = MilvusGallery(milvus_uri, name=name, dimension=DIMENSION)
    for step in range(10):
        cases = {key: make_case(rng, f"C{key:04d}") for key in range(10 * step, 10 * step + 10)}
        removed = [*in_milvus.held][:6]
        codes = make_codes(rng, 10)
        in_milvus.change(cases, bits=make_bits(rng, 10), codes=codes, removed=removed)
        seen = other.snapshot()
        (found,) = seen.search_bits(np.zeros(1, np.uint64), codes=codes[:1], k=99, every_image=True)
        names = {case.isic_id for case, _, _ in in_milvus.held.values()}
        assert {hit.isic_id for hit in found.hits} == names
        assert seen.version == in_milvus.version
    other.apply(removed=[*in_milvus.held], version=in_milvus.version - 1)
    assert (len(other), other.version) == (len(in_milvus.held), in_milvus.version)


def test_a_foreign_or_unfit_collection_is_refused(in_milvus, milvus_uri) -> None:
    from pymilvus import DataType

    name = in_milvus.gallery._collection.name
    with pytest.raises(GalleryError, match="holds codes of 4 numbers, not of 5"):
        MilvusGallery(milvus_uri, name=name, dimension=5)
    client = in_milvus.gallery._collection.client
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    client.create_collection("foreign", schema=schema)
    with pytest.raises(GalleryError, match="no gallery of this dermtwin"):
        MilvusGallery(milvus_uri, name="foreign", dimension=5)
    with pytest.raises(SettingsError, match="have none"):
        in_milvus.gallery.apply(Entries.empty(DIMENSION), version=10**6)
    with pytest.raises(SettingsError, match="cannot count by 'lesion_id'"):
        in_milvus.gallery.snapshot().tally("lesion_id")


def test_no_server_no_package_and_an_old_server_are_told_in_a_sentence(monkeypatch, capfd) -> None:
    pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")
    for uri in ("http://127.0.0.1:9", "nonsense"):
        with pytest.raises(GalleryError, match=f"Milvus at {uri} cannot do it") as raised:
            MilvusGallery(uri, name="none", dimension=2)
        assert "\n" not in str(raised.value)
    assert "Traceback" not in "".join(capfd.readouterr())
    for text in ("v2.3.5-lite", "2.6.1", "v3.0"):
        collection.check_server_version(text, uri="here")
    for text in ("v2.2.16", "1.9"):
        with pytest.raises(GalleryError, match=r"needs 2\.3 or newer"):
            collection.check_server_version(text, uri="here")
    with pytest.raises(GalleryError, match="is it Milvus"):
        collection.check_server_version("Elastic", uri="here")
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError, match=r"dermtwin\[milvus\]"):
        collection.Collection.opened("", name="", dimension=1, token="")
