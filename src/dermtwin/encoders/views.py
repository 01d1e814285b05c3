"""Test-time views: a picture as it is, turned by quarters, and mirrored.

A lesion has no right way up. The eight symmetries of the square (the dihedral group D4) only move
pixels, so each view is as good a picture as the first. A query may be asked in several: where they
disagree, the picture stands between kinds of cases.
"""

import numpy as np

from dermtwin.errors import SettingsError
from dermtwin.images import Rgb

VIEWS = (1, 4, 8)
"""A picture as it is, turned by quarters, or mirrored too."""

_QUARTER_TURNS = 4


def refuse_views(views: int) -> None:
    """Raise SettingsError unless a picture can be asked in so many views."""
    if views not in VIEWS:
        raise SettingsError(
            f"a picture cannot be asked in {views} views; choose 1 (as it is), 4 (turned by "
            "quarters) or 8 (mirrored too)."
        )


def symmetric_views(view: Rgb, *, views: int) -> Rgb:
    """The view, its three quarter turns, and the same of its mirror image: the first so many.

    Args:
        view: uint8 [size, size, 3].
        views: one of `VIEWS`.

    Returns:
        uint8 [views, size, size, 3].

    Raises:
        SettingsError: `views` is another number.
    """
    refuse_views(views)
    both = (view, view[:, ::-1])
    turned = [np.rot90(each, turn) for each in both for turn in range(_QUARTER_TURNS)]
    return np.stack(turned[:views])
