from typing import get_args

import pytest
from isic_metadata.metadata import MetadataRow

from dermtwin.vocabulary import (
    CHALLENGE_DIAGNOSES,
    DIAGNOSIS_LEVELS,
    FIELDS,
    Case,
    Malignancy,
    Sex,
    vocabulary_of,
)


@pytest.mark.parametrize(
    "name",
    [
        "sex",
        "anatom_site_general",
        "diagnosis_confirm_type",
        "fitzpatrick_skin_type",
        "image_type",
    ],
)
def test_the_archives_schema_takes_every_word_and_no_other(name) -> None:
    for value in vocabulary_of(name):
        assert getattr(MetadataRow(**{name: value}), name) is not None
    with pytest.raises(ValueError, match=name):
        MetadataRow(**{name: "a word that no list holds"})


def test_sexes_are_the_archives() -> None:
    annotation = MetadataRow.model_fields["sex"].annotation
    literal = next(each for each in get_args(annotation) if get_args(each))
    assert set(get_args(literal)) == set(Sex) == vocabulary_of("sex")


def test_the_first_diagnosis_level_is_malignancy() -> None:
    assert vocabulary_of("diagnosis_1") == set(Malignancy)
    assert "Nevus" in vocabulary_of("diagnosis_3")
    assert vocabulary_of("lesion_id") is None


@pytest.mark.parametrize("levels", CHALLENGE_DIAGNOSES.values(), ids=CHALLENGE_DIAGNOSES)
def test_challenge_codes_are_paths_of_the_archive(levels) -> None:
    assert MetadataRow(diagnosis=":".join(levels.values())).diagnosis_1 == levels["diagnosis_1"]
    assert list(levels) == list(DIAGNOSIS_LEVELS[: len(levels)])


def test_tschandls_malignant_codes() -> None:
    malignant = {code for code, path in CHALLENGE_DIAGNOSES.items() if _malignant(path)}
    assert malignant == {"mel", "bcc", "akiec", "scc"}


def _malignant(levels) -> bool:
    return bool(Case(isic_id="x", **levels).is_malignant)


def test_a_case_says_what_it_knows() -> None:
    case = Case(isic_id="x", diagnosis_1="Benign", diagnosis_3="Nevus", age_approx=0)
    assert dict(case.known_fields()) == {
        "isic_id": "x",
        "diagnosis_1": "Benign",
        "diagnosis_3": "Nevus",
        "age_approx": 0,
    }
    assert case.diagnosis == "Nevus"
    assert case.is_malignant is False
    assert Case(isic_id="x").is_malignant is None
    assert Case(isic_id="x", diagnosis_1="Indeterminate").is_malignant is None
    assert FIELDS[0] == "isic_id"
    assert "extra" not in FIELDS


def test_drawn_pictures_carry_the_archives_word() -> None:
    assert Case(isic_id="x", extra={"image_manipulation": "synthetic"}).is_drawn
    assert not Case(isic_id="x").is_drawn
