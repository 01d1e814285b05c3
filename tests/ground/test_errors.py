import inspect
import re

import pytest

from dermtwin import errors


def classes() -> dict[str, type]:
    return {
        name: each
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.DermtwinError)
    }


def test_the_tree_at_the_top_of_the_file_is_complete() -> None:
    drawn = re.findall(r"^    \W*(\w+Error)\b", errors.__doc__, re.MULTILINE)
    assert sorted(drawn) == sorted(classes())


@pytest.mark.parametrize("name", sorted(classes()))
def test_every_error_is_a_child_of_the_root(name) -> None:
    assert classes()[name].__mro__[-4:-2] == (errors.DermtwinError, Exception)


def test_a_missing_extra_says_what_to_run() -> None:
    error = errors.MissingExtraError("training", extra="train")
    assert str(error) == "training needs more packages; run: pip install 'dermtwin[train]'"
