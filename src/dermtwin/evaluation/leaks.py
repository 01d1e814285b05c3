"""Whether queries meet themselves: their lesion, patient or a near-duplicate in the gallery."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.ranking import Flags
from dermtwin.evaluation.subjects import (
    OWN_IMAGE_ONLY,
    STANDARD,
    Exclusion,
    Names,
    Subjects,
)

Neighbours = Mapping[int, frozenset[int]]
"""By row of the queries: the rows of the gallery that are near-duplicates of it."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Leaks:
    """Which queries have something of their own in the gallery, their very image apart.

    Attributes:
        lesion, patient, near_duplicate: bool [Q].
    """

    lesion: Flags
    patient: Flags
    near_duplicate: Flags

    @property
    def any(self) -> Flags:
        """At least one of the three: bool [Q]."""
        return self.lesion | self.patient | self.near_duplicate


def find_leaks(queries: Subjects, gallery: Subjects, *, near_duplicates: Neighbours) -> Leaks:
    """Look for each query's lesion, patient and near-duplicates in the gallery."""
    flagged = np.zeros(len(queries), dtype=bool)
    flagged[[row for row, found in near_duplicates.items() if found]] = True
    return Leaks(
        lesion=_shared(queries, gallery, queries.lesions, gallery.lesions),
        patient=_shared(queries, gallery, queries.patients, gallery.patients),
        near_duplicate=flagged,
    )


def neighbours(
    pairs: Iterable[tuple[int, int]], *, queries: Subjects, gallery: Subjects
) -> Neighbours:
    """Gather pairs (row of the queries, row of the gallery); a query is not its own neighbour."""
    found: dict[int, set[int]] = {}
    for query, other in pairs:
        if queries.images[query] != gallery.images[other]:
            found.setdefault(query, set()).add(other)
    return {query: frozenset(others) for query, others in found.items()}


def comparisons(near_duplicates: Neighbours) -> dict[str, Exclusion]:
    """The three rules to measure under, from the laxest to the strictest."""
    return {
        "own image left out": OWN_IMAGE_ONLY,
        "lesion and patient left out (the rule here)": STANDARD,
        "near-duplicates left out too": Exclusion(near_duplicates=near_duplicates),
    }


def _shared(queries: Subjects, gallery: Subjects, mine: Names, theirs: Names) -> Flags:
    """Whether a query's known name stands in the gallery with another image: bool [Q]."""
    images_of: dict[str, set[str]] = {}
    for name, image in zip(theirs, gallery.images, strict=True):
        images_of.setdefault(str(name), set()).add(str(image))
    return np.array(
        [
            bool(name) and bool(images_of.get(str(name), set()) - {str(image)})
            for name, image in zip(mine, queries.images, strict=True)
        ],
        dtype=bool,
    )
