"""Photographs that are in the casebook already, under another lesion's name.

The steps of `datasets.duplicates`, against all images of the casebook: those whose perceptual
hashes are near in any of the eight ways are candidates, and the nearest few are compared on
pixels. Two pictures of one known lesion may well be copies and are passed over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dermtwin.casebook import (
    Casebook,
    ImageHashes,
    Shown,
    cases_of_images,
    changed_images,
    image_hashes,
    small_copy,
)
from dermtwin.datasets import (
    DETAIL_SIDE,
    HASH_DISTANCE,
    SmallGrey,
    same_photographs,
    small_grey,
)
from dermtwin.errors import ImageError
from dermtwin.images import decode
from dermtwin.verbs.adding.pictures import Picture
from dermtwin.vocabulary import Case

# Of a million lesions a thousand have a near hash; a copy is among the nearest.
_LOOKED_AT = 16
_REMEMBERED = 4096
# Hashes that are compared at once, so that the work stays in the cache.
_BLOCK = 2**13


@dataclass(frozen=True, slots=True)
class Repeat:
    """A case, and the one whose photograph it shows too."""

    case: Case
    isic_id: str
    lesion_id: str | None

    def __str__(self) -> str:
        own, other = self.case.lesion_id, self.lesion_id
        told = f"{self.case.isic_id} shows the photograph of {self.isic_id}"
        if own is None or other is None:
            return f"{told}; whether they are of one lesion is not known."
        return f"{told}, which is of another lesion ({other}, here {own})."


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A case of the same batch, which is not in the casebook yet."""

    shown: Shown
    phash: np.uint64
    grey: SmallGrey


class Repeats:
    """Finds whose photographs new pictures repeat, in a casebook that others may change.

    Most of the work is done while others may write; what they wrote meanwhile is looked at by
    `missed`, when they no longer may.
    """

    def __init__(self, casebook: Casebook) -> None:
        self._casebook = casebook
        self._keys = np.zeros(0, dtype=np.int64)
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._version = 0
        self._read_grey = lru_cache(maxsize=_REMEMBERED)(self._grey_of)

    def among(self, new: Sequence[tuple[Case, Picture]]) -> dict[str, Repeat]:
        """Which new cases repeat the photograph of one there, or of one before it in the batch.

        Returns:
            By the new cases' names.
        """
        # Asked first: what comes in between is looked at twice, never not at all.
        self._version = self._casebook.version()
        self._refresh()
        return self._look(new, ImageHashes(self._keys, self._hashes))

    def missed(self, new: Sequence[tuple[Case, Picture]]) -> dict[str, Repeat]:
        """Which of the same new cases repeat what others put in, or changed, since `among`."""
        if self._casebook.version() == self._version:
            return {}
        return self._look(new, changed_images(self._casebook, since=self._version))

    def _look(self, new: Sequence[tuple[Case, Picture]], images: ImageHashes) -> dict[str, Repeat]:
        near = [_near(picture.hashes, images) for _, picture in new]
        cases = cases_of_images(self._casebook, {key for keys in near for key in keys})
        repeats: dict[str, Repeat] = {}
        fresh: list[_Fresh] = []
        for (case, picture), keys in zip(new, near, strict=True):
            there = [shown for key in keys for shown in cases.get(key, ())]
            others = self._greys(there) | _greys_of_fresh(fresh, picture)
            if (other := _same(case, picture, others)) is not None:
                repeats[case.isic_id] = Repeat(case, other.isic_id, other.lesion_id)
            image = picture.image
            shown = Shown(0, case.isic_id, case.lesion_id, image.sha256, image.header.format)
            fresh.append(_Fresh(shown, picture.hashes[0], picture.grey))
        return repeats

    def _greys(self, there: Iterable[Shown]) -> dict[Shown, SmallGrey]:
        greys = {shown: self._read_grey(shown) for shown in there}
        return {shown: grey for shown, grey in greys.items() if grey is not None}

    def _refresh(self) -> None:
        """Take in the images that are new in the casebook, whoever added them."""
        last = int(self._keys[-1]) if len(self._keys) else 0
        while len((page := image_hashes(self._casebook, above=last)).keys):
            last = int(page.keys[-1])
            self._keys = np.concatenate([self._keys, page.keys])
            self._hashes = np.concatenate([self._hashes, page.hashes])

    def _grey_of(self, shown: Shown) -> SmallGrey | None:
        data = small_copy(self._casebook, shown)
        if data is None:
            return None
        try:
            return small_grey(decode(data, name=shown.isic_id, at_least=DETAIL_SIDE))
        except ImageError:
            return None


def _near(hashes: NDArray[np.uint64], images: ImageHashes) -> list[int]:
    """The keys of the images with the nearest hashes, the nearest first."""
    found = _distances(hashes, images.hashes)
    near = np.flatnonzero(found <= HASH_DISTANCE)
    nearest = near[np.argsort(found[near], kind="stable")[:_LOOKED_AT]]
    return [int(key) for key in images.keys[nearest]]


def _greys_of_fresh(fresh: Sequence[_Fresh], picture: Picture) -> dict[Shown, SmallGrey]:
    hashes = np.array([each.phash for each in fresh], dtype=np.uint64)
    near = np.flatnonzero(_distances(picture.hashes, hashes) <= HASH_DISTANCE)
    return {fresh[place].shown: fresh[place].grey for place in near.tolist()}


def _same(case: Case, picture: Picture, others: Mapping[Shown, SmallGrey]) -> Shown | None:
    """The first of some cases that shows a picture's photograph and may be of another lesion."""
    asked = [shown for shown in others if _may_differ(case, shown)]
    same = same_photographs(picture.grey, [others[shown] for shown in asked])
    for shown, is_same in zip(asked, same, strict=True):
        if is_same or shown.sha256 == picture.image.sha256:
            return shown
    return None


def _may_differ(case: Case, shown: Shown) -> bool:
    is_known = case.lesion_id is not None and shown.lesion_id is not None
    is_of_another = not is_known or case.lesion_id != shown.lesion_id
    return is_of_another and case.isic_id != shown.isic_id


def _distances(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Bits in which a picture, in the best of its ways, differs from others: [8], [n] to [n]."""
    found = np.empty(len(others), dtype=np.uint8)
    for start in range(0, len(others), _BLOCK):
        part = others[start : start + _BLOCK]
        distance = np.bitwise_count(hashes[:, None] ^ part)
        found[start : start + len(part)] = distance.min(axis=0)
    return found
