"""Which images look alike: their perceptual hashes, and whom they belong to."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select

from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import CASES, CHANGES, IMAGES, LESIONS
from dermtwin.casebook.store import image_path, thumbnail_path

_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class ImageHashes:
    """Images and their perceptual hashes, by key.

    Attributes:
        keys: int64 [n], ascending.
        hashes: uint64 [n].
    """

    keys: NDArray[np.int64]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Shown:
    """A case, as far as it matters whose image is repeated."""

    image_key: int
    isic_id: str
    lesion_id: str | None
    sha256: str
    format: str


def image_hashes(casebook: Casebook, *, above: int = 0) -> ImageHashes:
    """The hashes of the next images above some key, at most 100,000; none: there are no more.

    Images from before hashes were kept have none and are passed over.
    """
    wanted = (
        select(IMAGES.c.key, IMAGES.c.phash)
        .where(IMAGES.c.key > above, IMAGES.c.phash.is_not(None))
        .order_by(IMAGES.c.key)
        .limit(_PAGE)
    )
    return _hashes(casebook, wanted)


def _hashes(casebook: Casebook, wanted: Select[tuple[int, int | None]]) -> ImageHashes:
    with casebook.reading() as connection:
        rows = np.array([tuple(row) for row in connection.execute(wanted)], dtype=np.int64)
    keys, hashes = rows.reshape(-1, 2).T
    return ImageHashes(keys, np.ascontiguousarray(hashes).view(np.uint64))


def changed_images(casebook: Casebook, *, since: int) -> ImageHashes:
    """The hashes of the images of all cases that changed after a change."""
    changed = select(CHANGES.c.case_key).where(CHANGES.c.seq > since)
    wanted = (
        select(IMAGES.c.key, IMAGES.c.phash)
        .join(CASES, CASES.c.image_key == IMAGES.c.key)
        .where(CASES.c.key.in_(changed), IMAGES.c.phash.is_not(None))
        .order_by(IMAGES.c.key)
        .distinct()
    )
    return _hashes(casebook, wanted)


def cases_of_images(casebook: Casebook, keys: Collection[int]) -> dict[int, list[Shown]]:
    """The cases that show some images, by the images' keys; each list by `isic_id`."""
    columns = (CASES.c.image_key, CASES.c.isic_id, LESIONS.c.lesion_id)
    wanted = (
        select(*columns, IMAGES.c.sha256, IMAGES.c.format)
        .select_from(CASES.join(IMAGES).outerjoin(LESIONS))
        .order_by(CASES.c.isic_id)
    )
    found: dict[int, list[Shown]] = {}
    with casebook.reading() as connection:
        for part in chunks(sorted(keys), size=MANY):
            for row in connection.execute(wanted.where(IMAGES.c.key.in_(part))):
                found.setdefault(row.image_key, []).append(Shown(*row))
    return found


def small_copy(casebook: Casebook, shown: Shown) -> bytes | None:
    """A case's thumbnail; or its image, where it is older than thumbnails; None: neither is there.

    `check` tells what is missing.
    """
    for path in (thumbnail_path(shown.sha256), image_path(shown.sha256, format=shown.format)):
        with suppress(OSError):
            return casebook.store.path(path).read_bytes()
    return None
