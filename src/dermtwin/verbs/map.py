"""`dermtwin map`: the casebook's codes laid out in a plane."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dermtwin.casebook import Casebook
from dermtwin.casebook.mapping import Material, Points, keep, material
from dermtwin.evaluation.layout import SMALLEST, continued, lay_out, place
from dermtwin.running import Track, untracked


@dataclass(frozen=True, slots=True, kw_only=True)
class MapReport:
    """What became of a casebook's map.

    Attributes:
        cases: how many cases have a place now.
        placed: how many of them were placed into the map as it was; the others are drawn.
        is_anew: whether the whole map was drawn in this run.
        seed: by which it was drawn.
        encoder: by which encoder the codes are, for people.
    """

    cases: int
    placed: int
    is_anew: bool
    seed: int
    encoder: str

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def __str__(self) -> str:
        if self.is_anew:
            return (
                f"a map of {self.cases:,} cases was drawn from their codes by {self.encoder} "
                f"(seed {self.seed})."
            )
        if not self.placed:
            return f"each of the {self.cases:,} cases has its place already; --anew starts over."
        return (
            f"{self.placed:,} new cases were placed into the map, which has {self.cases:,} now; "
            "--anew draws all of it again."
        )


def map(  # noqa: A001 - a verb's name
    *, casebook: str | Path, anew: bool = False, seed: int = 0, track: Track = untracked
) -> MapReport:
    """Lay a casebook's codes out by t-SNE, or place new cases into the map there is.

    The same cases and seed give the same map.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        anew: draw all of it again.
        seed: of a map that is drawn; into one that is there, cases are placed by its own.
        track: looks on while it is drawn.

    Raises:
        SettingsError: fewer than 8 cases, or all codes are equal.
        MissingExtraError: openTSNE is not installed.
        CasebookError: there is no casebook or no case in it, it cannot be read or written, or
            another process made a map meanwhile.
    """
    with Casebook.open(casebook) as opened:
        made = material(opened)
        is_new = ~np.isfinite(made.points).all(axis=1)
        if anew or made.state is None or (~is_new).sum() < SMALLEST:
            points = lay_out(made.codes, seed=seed, track=track).points
            count = keep(opened, made, points=points, seed=seed, anew=True)
            return _report(made, cases=count, placed=0, is_anew=True, seed=seed)
        seed, before, placed = made.state.seed, int((~is_new).sum()), 0
        if is_new.any():
            points = _extended(made, seed=seed, track=track)
            placed = keep(opened, made, points=points, seed=seed, anew=False)
        return _report(made, cases=before + placed, placed=placed, is_anew=False, seed=seed)


def _extended(made: Material, *, seed: int, track: Track) -> Points:
    """The places of all, those without one placed among the others."""
    is_new = ~np.isfinite(made.points).all(axis=1)
    layout = continued(made.points[~is_new], made.codes[~is_new], seed=seed, track=track)
    points = made.points.copy()
    points[is_new] = place(layout, made.codes[is_new])
    return points


def _report(made: Material, *, cases: int, placed: int, is_anew: bool, seed: int) -> MapReport:
    return MapReport(
        cases=cases, placed=placed, is_anew=is_anew, seed=seed, encoder=made.encoder.label
    )
