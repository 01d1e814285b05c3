"""Many cases at once: the same record as one after the other, and read back as it was given."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_casebooks import all_entries, make_cases

from dermtwin.casebook import Casebook, NewImage, Placed, reading
from dermtwin.casebook.bulk import place_all
from dermtwin.casebook.placing import Outcome
from dermtwin.casebook.records import EncoderRecord, changed_keys, current_encoder
from dermtwin.casebook.schema import CASES, CHANGES, CODES, ENCODERS, IMAGES, LESIONS, PATIENTS
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.gallery import Entries, Gallery
from dermtwin.images import Header
from dermtwin.vocabulary import FIELDS, Case

Rows = list[tuple[Case, NewImage]]


def image_of(number: int, *, has_bits: bool = True) -> NewImage:
    rng = np.random.default_rng(number)
    return NewImage(
        data=bytes(number % 7),
        sha256=f"{number:064x}",
        header=Header("JPEG", 40 + number, 30),
        thumbnail=b"",
        vector=rng.normal(size=5).astype(np.float32) * (number % 5 > 0),  # also nothing but zeros
        bits=rng.bytes(8) if has_bits else None,
        phash=int(rng.integers(0, 2**64, dtype=np.uint64)),
    )


def emptied(book: Casebook) -> EncoderRecord:
    with book.writing() as connection:
        for table in ("changes", "codes", "cases", "images", "lesions", "patients", "encoders"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.execute(ENCODERS.insert().values(id="e", card='{"name": "e"}', is_current=True))
        encoder = current_encoder(connection)
    assert encoder is not None
    return encoder


def held(book: Casebook) -> dict[str, object]:
    """All that must not depend on the way in; keys and secrets do."""
    entries = all_entries(book)
    names = [str(name) for name in entries.columns["isic_id"]]
    with book.reading() as connection:
        images = connection.execute(IMAGES.select().order_by(IMAGES.c.sha256)).all()
        secrets = [*connection.scalars(CASES.select().with_only_columns(CASES.c.audit_key))]
        kinds = connection.scalars(CHANGES.select().with_only_columns(CHANGES.c.kind)).all()
        owners = [sorted(connection.scalars(each)) for each in (
            LESIONS.select().with_only_columns(LESIONS.c.lesion_id),
            PATIENTS.select().with_only_columns(PATIENTS.c.patient_id),
        )]  # fmt: skip
    assert len({*secrets}) == len(names)
    return {
        "records": {name: (each.case, each.sha256) for name, each in book.records(names).items()},
        "codes": dict(zip(names, entries.codes.tolist(), strict=True)),
        "bits": None if entries.bits is None else dict(zip(names, entries.bits, strict=True)),
        "images": [row[1:] for row in images],
        "owners": owners,
        "kinds": kinds,
    }


def told(placed: list[Placed]) -> list[tuple[str, str, bool]]:
    return [(each.outcome, each.message, each.case_key is not None) for each in placed]


ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 2), st.integers(0, 9)),
    max_size=14,
)


def test_many_at_once_are_as_one_after_the_other(place, tmp_path) -> None:
    """Also with repeated names, shared images, and lesions of two patients among them."""
    one_by_one = Casebook.open_or_make(tmp_path / "plain")

    @settings(max_examples=25)
    @given(ROWS, st.integers(0, 14))
    def run(drawn: list[tuple[int, int, int, int]], cut: int) -> None:
        rows = [
            (
                replace(
                    make_cases(1, start=name)[0],
                    lesion_id=f"L{lesion}" if lesion else None,
                    patient_id=f"P{patient}" if patient else None,
                    extra={"note": f"ä\t{image}\\N"} if image % 2 else {},
                ),
                image_of(image, has_bits=image != 5),
            )
            for name, lesion, patient, image in drawn
        ]
        encoder, other = emptied(at_once), emptied(one_by_one)
        outcomes = []
        for part in (rows[:cut], rows[cut:]):
            with at_once.writing() as connection:
                outcomes += place_all(connection, part, encoder=encoder)
        with one_by_one.writing() as connection:
            expected = [place_all(connection, [row], encoder=other)[0] for row in rows]
        assert told(outcomes) == told(expected)
        assert held(at_once) == held(one_by_one)

    with Casebook.open_or_make(place) as at_once, one_by_one:
        run()


ODD = (None, "", 'a "b", ü', "\\u0041", '",', "null", "\x01\n\t\x7f\u2028", "[\U0001f600]", "0")


def test_all_fields_are_read_as_they_stand(place, monkeypatch) -> None:
    """Columns against the records, each read by itself; the whole, and only what changed."""
    cases = [
        replace(case, attribution=ODD[number % len(ODD)])
        for number, case in enumerate(make_cases(60))
    ]
    cases += [replace(case, isic_id=f"one-{case.isic_id}", sex="male") for case in cases[:9]]
    monkeypatch.setattr(reading, "_AT_ONCE", 7)  # several parts, some fields of one value only
    with Casebook.open_or_make(place) as book:
        encoder = emptied(book)
        for part in (cases[:45], cases[45:]):
            version = book.version()
            with book.writing() as connection:
                rows = [(case, image_of(int(case.isic_id[-7:]))) for case in part]
                place_all(connection, rows, encoder=encoder)
        whole = all_entries(book)
        with book.reading() as connection:
            keys = changed_keys(connection, since=version)
            delta = reading.entries(connection, encoder=encoder, dimension=5, keys=keys)
        for entries, expected in ((whole, cases), (delta, cases[45:])):
            images = [image_of(int(case.isic_id[-7:])) for case in expected]
            assert np.array_equal(entries.codes, [image.vector for image in images])
            bits = [int.from_bytes(image.bits or b"", "big") for image in images]
            assert entries.bits is not None
            assert entries.bits.tolist() == bits
            assert_columns(entries, expected)


def test_a_name_with_any_letter_is_found_again(tmp_path) -> None:
    names = ["a\0b", "a", 'q"\\\n', "\\u0000", "\U0001f600\u2028"]
    rows = [
        (Case(isic_id=name, lesion_id=name, patient_id=name), image_of(number))
        for number, name in enumerate(names)
    ]
    with Casebook.open_or_make(tmp_path / "cases") as book:
        encoder = emptied(book)
        for expected in (Outcome.ADDED, Outcome.ALREADY_THERE):
            with book.writing() as connection:
                placed = place_all(connection, rows, encoder=encoder)
            assert {each.outcome for each in placed} == {expected}
        assert list(all_entries(book).columns["lesion_id"]) == names


@pytest.mark.parametrize("values", [{"attribution": "a\0b"}, {"age_approx": 2**31}])
def test_what_postgresql_cannot_keep_is_told_and_nothing_of_it_is_there(
    postgres_url, values
) -> None:
    good, bad = make_cases(2)
    with Casebook.open_or_make(postgres_url) as book:
        encoder = emptied(book)
        rows = [(good, image_of(0)), (replace(bad, **values), image_of(1))]
        refused = pytest.raises(SettingsError, match="type it anew")
        with refused, book.writing() as connection:
            place_all(connection, rows, encoder=encoder)
        assert book.counts()["cases"] == book.counts()["images"] == 0
        with book.writing() as connection:
            place_all(connection, [(good, image_of(0)), (bad, image_of(1))], encoder=encoder)
        assert book.counts()["cases"] == 2


def assert_columns(entries: Entries, cases: list[Case]) -> None:
    values = [asdict(case) for case in cases]
    for name in FIELDS:
        assert list(entries.columns[name]) == [each[name] for each in values], name


def test_a_gallery_is_brought_up_to_the_record(place, monkeypatch) -> None:
    """In parts, by what changed, and anew where another record lies there; always the same."""
    monkeypatch.setattr(reading, "_AT_ONCE", 7)
    cases = make_cases(40)

    def names(gallery: Gallery) -> set[str]:
        query = np.zeros((1, 5), np.float32)
        (found,) = gallery.search(query, k=len(cases), every_image=True)
        return {hit.isic_id for hit in found.hits}

    def put(part: list[Case]) -> None:
        with book.writing() as connection:
            rows = [(case, image_of(int(case.isic_id[-7:]))) for case in part]
            place_all(connection, rows, encoder=encoder)

    with Casebook.open_or_make(place) as book:
        encoder = emptied(book)
        empty = Gallery(dimension=5)
        assert len(book.refreshed(empty)) == 0
        put(cases[:30])
        first = book.refreshed(empty)
        assert names(first) == {case.isic_id for case in cases[:30]}
        assert book.refreshed(first) is first
        put(cases[30:])
        assert book.refreshed(first) is first
        assert first.version == book.version()
        assert names(first) == {case.isic_id for case in cases}
        ahead = Gallery(dimension=5)
        ahead.apply(version=book.version() + 5)
        anew = book.refreshed(ahead)
        assert anew is not ahead
        assert names(anew) == names(first)


def test_a_code_of_another_length_is_told_and_the_record_stays_readable(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 7)
    cases = make_cases(40)
    with Casebook.open_or_make(tmp_path / "cases") as book:
        encoder = emptied(book)
        with book.writing() as connection:
            rows = [(case, image_of(number)) for number, case in enumerate(cases)]
            keys = [each.case_key or 0 for each in place_all(connection, rows, encoder=encoder)]
            short = CODES.update().where(CODES.c.case_key == keys[16])
            connection.execute(short.values(vector=b"1234"))
        with pytest.raises(CasebookError, match="has not the 5 numbers"):
            book.refreshed(Gallery(dimension=5))
        assert len(book.all_records()) == len(cases)
