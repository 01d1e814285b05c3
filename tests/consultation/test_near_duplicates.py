"""A copy of a photograph that is in the casebook never meets itself, whatever was done to it."""

import io
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_casebooks import Process

from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.datasets import (
    Dataset,
    draw_dataset,
    near_duplicates_between,
    same_photographs,
    small_grey,
)
from dermtwin.images import decode
from dermtwin.verbs.add import add


@pytest.fixture(scope="module")
def lesions(tmp_path_factory) -> Dataset:
    return draw_dataset(tmp_path_factory.mktemp("drawn") / "lesions", lesions=14, seed=3)


@pytest.fixture(scope="module")
def book(lesions, tmp_path_factory, encoder_file) -> Path:
    folder = tmp_path_factory.mktemp("drawn-book") / "book"
    add(lesions, casebook=folder, encoder=encoder_file)
    return folder


def saved_anew(path: Path, *, quality: int, scale: float, turn: int) -> bytes:
    with Image.open(path) as opened:
        size = (round(opened.width * scale), round(opened.height * scale))
        smaller = opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    pixels = np.rot90(np.asarray(smaller)[:, :: -1 if turn >= 4 else 1], turn % 4)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


copies = st.fixed_dictionaries(
    {
        "quality": st.integers(60, 95),
        "scale": st.floats(0.5, 1.0),
        "turn": st.integers(0, 7),
    }
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_hit_is_the_querys_own_photograph_lesion_or_patient(
    data, lesions, book, tmp_path_factory
) -> None:
    row = data.draw(st.sampled_from(lesions.rows))
    query = saved_anew(row.image, **data.draw(copies))
    k = data.draw(st.sampled_from([3, 10, len(lesions)]))
    with Casebook.open(book) as opened:
        answer = Consultation(opened).ask(query, name="copy.jpg", k=k, every_image=True)
    hits = {found.hit.isic_id: found.case for found in answer.hits}
    assert row.case.isic_id not in hits
    if k == len(lesions):  # the copy came near enough to be looked at, so all its own is known
        assert answer.known.isic_ids == {row.case.isic_id}
        assert row.case.lesion_id not in {case.lesion_id for case in hits.values()}
        assert row.case.patient_id not in {case.patient_id for case in hits.values()}
    images = {each.case.isic_id: each.image for each in lesions}
    kept = tmp_path_factory.mktemp("query") / "copy.jpg"
    kept.write_bytes(query)
    assert near_duplicates_between([kept], [images[name] for name in hits]) == []


def test_other_photographs_of_a_lesion_are_not_taken_for_copies(lesions) -> None:
    greys = [small_grey(decode(row.image.read_bytes(), name="x")) for row in lesions]
    for place, grey in enumerate(greys):
        assert np.flatnonzero(same_photographs(grey, greys)).tolist() == [place]


def test_a_case_whose_file_is_gone_is_still_found(lesions, book, tmp_path) -> None:
    spoilt = tmp_path / "book"
    shutil.copytree(book, spoilt)
    for path in (spoilt / "images").rglob("*.jpg"):
        path.unlink()
    with Process() as process:
        answer = process.ask("find", lesions.rows[0].image, casebook=spoilt, k=3)
    assert len(answer["hits"]) == 3


def test_a_copy_of_a_case_without_a_perceptual_hash_is_left_out_too(
    lesions, book, tmp_path
) -> None:
    older = tmp_path / "book"
    shutil.copytree(book, older)
    with closing(sqlite3.connect(older / "casebook.sqlite")) as record, record:
        assert record.execute("SELECT count(*) FROM images WHERE phash IS NOT NULL").fetchone()[0]
        record.execute("UPDATE images SET phash = NULL")
    row = lesions.rows[0]
    query = saved_anew(row.image, quality=80, scale=0.8, turn=3)
    with Casebook.open(older) as opened:
        answer = Consultation(opened).ask(query, name="copy.jpg", k=len(lesions))
    assert row.case.isic_id in answer.known.isic_ids
