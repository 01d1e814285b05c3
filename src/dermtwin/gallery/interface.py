"""What every gallery can do, wherever its codes lie: in memory, or in Milvus.

Both answer to the last bit alike; tests/gallery/test_contract.py asks both the same.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dermtwin.gallery.entries import Entries
from dermtwin.gallery.filters import Filter, Value
from dermtwin.gallery.snapshot import Exclusion, Found

if TYPE_CHECKING:
    from dermtwin.gallery.gallery import Gallery
    from dermtwin.gallery.milvus import MilvusGallery


class SnapshotLike(Protocol):
    """A gallery that can be asked."""

    @property
    def version(self) -> int:
        """Number of the last change that is in it."""

    def __len__(self) -> int: ...

    def search_bits(  # noqa: PLR0913 - all that may be said of a search
        self,
        bits: NDArray[np.uint64],
        *,
        codes: NDArray[np.float32],
        k: int,
        filter: Filter | None = None,  # noqa: A002 - the word that all of dermtwin uses
        exclude: Sequence[Exclusion] | None = None,
        every_image: bool = False,
    ) -> tuple[Found, ...]:
        """Find the nearest cases of each query by Hamming distance, exactly.

        Equal ones are ordered by the Euclidean distance of their codes, then by `isic_id`.

        Args:
            bits: uint64 [Q], the queries' bits, the first in the highest.
            codes: float32 [Q, D], the queries' codes.
            k: hits wanted, at least 1; fewer come back when fewer are eligible.
            filter: which cases may come back; None: all.
            exclude: for each query, what must not come back.
            every_image: let a lesion come back with each of its images; else only with its
                nearest. An image without a lesion counts as a lesion of its own.

        Raises:
            SettingsError: bits or codes of another shape, not finite, or k below 1.
        """

    def tally(
        self,
        name: str,
        *,
        filter: Filter | None = None,  # noqa: A002 - as in `search_bits`
        exclude: Exclusion | None = None,
    ) -> dict[Value | None, int]:
        """Count the eligible cases by the values of one field; None counts the unknown."""


class GalleryLike(Protocol):
    """Codes and fields of cases, brought up to date by changes."""

    @property
    def version(self) -> int:
        """Number of the last change that is in the gallery."""

    def __len__(self) -> int: ...

    def snapshot(self) -> SnapshotLike:
        """The gallery as it is now."""

    def apply(
        self, entries: Entries | None = None, *, removed: Iterable[int] = (), version: int
    ) -> None:
        """Add, alter and remove cases, and bring the gallery to this change's number.

        An older number than it is at changes nothing.
        """


if TYPE_CHECKING:
    _IMPLEMENTATIONS: tuple[type[GalleryLike], ...] = (Gallery, MilvusGallery)
