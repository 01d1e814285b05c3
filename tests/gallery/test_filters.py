"""Filters: what is understood, what is refused and with which help, and what passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermtwin.errors import SettingsError
from dermtwin.gallery import Between, Filter, Known, OneOf, parse_where
from dermtwin.vocabulary import FIELDS, Case, vocabulary_of


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("sex=female", OneOf("sex", frozenset({"female"}))),
        (" sex = female , male ", OneOf("sex", frozenset({"female", "male"}))),
        ("diagnosis_3=Melanoma, NOS", OneOf("diagnosis_3", frozenset({"Melanoma, NOS"}))),
        (
            "diagnosis_3=Nevus,Melanoma, NOS,Squamous cell carcinoma, NOS",
            OneOf(
                "diagnosis_3", frozenset({"Nevus", "Melanoma, NOS", "Squamous cell carcinoma, NOS"})
            ),
        ),
        ("isic_id=ISIC_1,ISIC_2", OneOf("isic_id", frozenset({"ISIC_1", "ISIC_2"}))),
        ("attribution=Clinic A, Town=B", OneOf("attribution", frozenset({"Clinic A, Town=B"}))),
        ("age_approx=45", OneOf("age_approx", frozenset({45}))),
        ("age_approx=40, 45", OneOf("age_approx", frozenset({40, 45}))),
        ("age_approx=40..60", Between("age_approx", 40, 60)),
        ("age_approx=40..", Between("age_approx", 40, None)),
        ("age_approx=..60", Between("age_approx", None, 60)),
        ("sex=?", Known("sex", known=False)),
        ("lesion_id=*", Known("lesion_id", known=True)),
    ],
)
def test_the_syntax(text, condition) -> None:
    assert parse_where([text]) == Filter((condition,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sex", "field=value"),
        ("=female", "field=value"),
        ("sex=", "field=value"),
        ("sexe=female", "'sex'"),
        ("Age=40", "'age_approx'"),
        ("sex=femal", "'female'"),
        ("sex=Female", "'female'"),
        ("diagnosis_1=malignant", "'Malignant'"),
        ("diagnosis_3=Nevvus", "'Nevus'"),
        ("diagnosis_3=Nevus,Melanoma NOS", "'Melanoma, NOS'"),
        ("age_approx=old", "whole number"),
        ("age_approx=40..old", "whole number"),
        ("age_approx=-5", "whole number"),
        ("age_approx=60..40", "40..60"),
        ("age_approx=99999999999999999999", "3 digits at most, 20 were given"),
        (f"age_approx=40..{'9' * 5000}", "3 digits at most, 5000 were given"),
        ("age_approx=..", "no end"),
        ("lesion_id=,", "no value"),
    ],
)
def test_what_is_refused_names_the_nearest_or_the_way_to_write_it(text, words) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_where([text])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneOf("weight", frozenset({"1"})),
        lambda: OneOf("sex", frozenset({"f"})),
        lambda: OneOf("sex", frozenset({1})),
        lambda: OneOf("age_approx", frozenset({"40"})),
        lambda: OneOf("sex", frozenset()),
        lambda: Between("sex", 1, 2),
        lambda: Known("weight"),
    ],
)
def test_conditions_made_in_code_are_checked_alike(make) -> None:
    with pytest.raises(SettingsError):
        make()


@pytest.mark.parametrize("name", [name for name in FIELDS if vocabulary_of(name)])
def test_every_name_of_a_vocabulary_can_be_asked_for(name) -> None:
    vocabulary = sorted(vocabulary_of(name) or ())
    for value in vocabulary:
        assert parse_where([f"{name}={value}"]).conditions == (OneOf(name, frozenset({value})),)
    together = parse_where([f"{name}={','.join(vocabulary)}"])
    assert all(together.matches(Case(isic_id="x", **{name: value})) for value in vocabulary)


@given(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True), st.booleans())
def test_unknown_passes_only_where_it_is_asked_for(names, known) -> None:
    sign = "*" if known else "?"
    asked = parse_where([f"{name}={sign}" for name in names])
    bare = Case(isic_id="x")
    assert asked.matches(bare) is all(known is (name == "isic_id") for name in names)


def test_conditions_hold_together_and_unknown_values_meet_none() -> None:
    asked = parse_where(["sex=female", "age_approx=40..60"])
    assert asked.matches(Case(isic_id="x", sex="female", age_approx=40))
    assert asked.matches(Case(isic_id="x", sex="female", age_approx=60))
    assert not asked.matches(Case(isic_id="x", sex="female", age_approx=61))
    assert not asked.matches(Case(isic_id="x", sex="male", age_approx=50))
    assert not asked.matches(Case(isic_id="x", sex="female"))
    assert not asked.matches(Case(isic_id="x", age_approx=50))
