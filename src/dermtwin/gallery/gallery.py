"""The gallery: codes and fields in memory, kept up to date by changes, searched exactly."""

from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.gallery.entries import Entries
from dermtwin.gallery.filters import Filter
from dermtwin.gallery.snapshot import Exclusion, Found, Snapshot
from dermtwin.gallery.table import Table


class Gallery:
    """Codes of N cases with their fields.

    Threads may search while another applies changes: each search sees one moment, whole.
    """

    def __init__(self, *, dimension: int) -> None:
        """Start without cases.

        Args:
            dimension: how many numbers a code has.
        """
        self._table = Table(dimension)
        self._lock = Lock()
        self._snapshot = Snapshot(self._table.view(), version=0)

    def __len__(self) -> int:
        return len(self._snapshot)

    @property
    def dimension(self) -> int:
        """How many numbers a code has."""
        return self._table.dimension

    @property
    def version(self) -> int:
        """Number of the last change that is in the gallery."""
        return self._snapshot.version

    def snapshot(self) -> Snapshot:
        """The gallery as it is now, for several questions about one moment."""
        return self._snapshot

    def apply(
        self, entries: Entries | None = None, *, removed: Iterable[int] = (), version: int
    ) -> None:
        """Add, alter and remove cases in one step.

        Args:
            entries: cases that are new or altered; an altered one replaces that of its key.
            removed: keys of cases that are gone; unknown ones are passed over.
            version: number of the change that this brings the gallery to. An older one than it
                is at changes nothing: another thread was faster.

        Raises:
            SettingsError: codes of another length.
        """
        if entries is not None and entries.codes.shape[1] != self._table.dimension:
            raise SettingsError(
                f"codes have {entries.codes.shape[1]} numbers; this gallery holds codes of "
                f"{self._table.dimension}."
            )
        with self._lock:
            if version < self.version:
                return
            gone = np.fromiter(removed, dtype=np.int64)
            if entries is not None and len(entries):
                gone = np.concatenate([gone, entries.keys])
            if len(gone):
                self._table.remove(gone)
            if entries is not None and len(entries):
                self._table.append(entries)
            self._snapshot = Snapshot(self._table.view(), version=version)

    def search(
        self,
        codes: NDArray[np.float32],
        *,
        k: int,
        filter: Filter | None = None,  # noqa: A002 - as in `Snapshot.search`
        exclude: Sequence[Exclusion] | None = None,
        every_image: bool = False,
    ) -> tuple[Found, ...]:
        """Find the nearest cases of each query; see `Snapshot.search`."""
        return self.snapshot().search(
            codes, k=k, filter=filter, exclude=exclude, every_image=every_image
        )

    def search_bits(  # noqa: PLR0913 - as in `Snapshot.search_bits`
        self,
        bits: NDArray[np.uint64],
        *,
        codes: NDArray[np.float32],
        k: int,
        filter: Filter | None = None,  # noqa: A002 - as in `Snapshot.search_bits`
        exclude: Sequence[Exclusion] | None = None,
        every_image: bool = False,
    ) -> tuple[Found, ...]:
        """Find the nearest cases of each query by their bits; see `Snapshot.search_bits`."""
        return self.snapshot().search_bits(
            bits, codes=codes, k=k, filter=filter, exclude=exclude, every_image=every_image
        )
