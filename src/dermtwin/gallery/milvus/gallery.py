"""The gallery's interface on a collection of Milvus; see the room's own words."""

from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.gallery.entries import Entries
from dermtwin.gallery.filters import Filter, Value
from dermtwin.gallery.milvus.collection import Collection, Row, bytes_of
from dermtwin.gallery.milvus.expressions import both, expression, quoted, stored
from dermtwin.gallery.nearest import exact_distances
from dermtwin.gallery.snapshot import Exclusion, Found
from dermtwin.vocabulary import FIELDS, Hit, vocabulary_of

_BATCH = 2_048  # rows sent at once: with the longest codes a few MB, where 64 are allowed


class MilvusGallery:
    """Bits, codes and fields of N cases in a Milvus server; threads may share it."""

    def __init__(self, uri: str, *, name: str, dimension: int, token: str = "") -> None:
        """Open a gallery, or make it where there is none.

        Args:
            uri: of the server, such as http://localhost:19530.
            name: of the collection: letters, digits and underscores. One encoder, one gallery.
            dimension: how many numbers a code has.
            token: `user:password`, where the server asks for it.

        Raises:
            MissingExtraError: the extra `milvus` is not installed.
            GalleryError: no such server, too old a one, or the name is taken by something else.
        """
        self._dimension = dimension
        self._lock = Lock()
        self._collection = Collection.opened(uri, name=name, dimension=dimension, token=token)

    def __len__(self) -> int:
        return self._collection.count("")

    @property
    def version(self) -> int:
        """Number of the last change that is in the gallery."""
        return self._collection.version()

    def snapshot(self) -> "MilvusSnapshot":
        """A look at the present; see the top of this file."""
        return MilvusSnapshot(self._collection, dimension=self._dimension, version=self.version)

    def apply(
        self, entries: Entries | None = None, *, removed: Iterable[int] = (), version: int
    ) -> None:
        """Add, alter and remove cases; see `GalleryLike.apply`.

        Raises:
            SettingsError: codes of another length, or entries without bits.
            GalleryError: the server refuses; the next call may try anew.
        """
        if entries is not None:
            _check_entries(entries, dimension=self._dimension)
        with self._lock:
            if version < self.version:
                return
            self._collection.delete([int(key) for key in removed])
            for batch in () if entries is None else _batches(entries):
                self._collection.upsert(batch)
            self._collection.set_version(version)

    def drop(self) -> None:
        """Remove the gallery with all that it holds."""
        self._collection.drop()


class MilvusSnapshot:
    """A gallery in Milvus, ready to be asked.

    Attributes:
        version: number of the last change that was in it when it was taken.
    """

    def __init__(self, collection: "Collection", *, dimension: int, version: int) -> None:
        self.version = version
        self._collection = collection
        self._dimension = dimension

    def __len__(self) -> int:
        return self._collection.count("")

    def search_bits(  # noqa: PLR0913 - as in `SnapshotLike.search_bits`
        self,
        bits: NDArray[np.uint64],
        *,
        codes: NDArray[np.float32],
        k: int,
        filter: Filter | None = None,  # noqa: A002 - as in `SnapshotLike.search_bits`
        exclude: Sequence[Exclusion] | None = None,
        every_image: bool = False,
    ) -> tuple[Found, ...]:
        """Find the nearest cases of each query; see `SnapshotLike.search_bits`.

        Raises:
            SettingsError: bits or codes of another shape, not finite, or k below 1.
            GalleryError: the server cannot be reached, or refuses.
        """
        exclude = [Exclusion()] * len(bits) if exclude is None else exclude
        self._check(bits, codes=codes, k=k, exclude=exclude)
        return tuple(
            self._answer(
                bits[place : place + 1],
                code=codes[place],
                k=k,
                where=expression(filter, exclude=own),
                every_image=every_image,
            )
            for place, own in enumerate(exclude)
        )

    def tally(
        self,
        name: str,
        *,
        filter: Filter | None = None,  # noqa: A002 - as in `search_bits`
        exclude: Exclusion | None = None,
    ) -> dict[Value | None, int]:
        """Count the eligible cases by the values of a field that has a closed vocabulary.

        Raises:
            SettingsError: a field without such: its values cannot be asked for one by one.
            GalleryError: the server cannot be reached, or refuses.
        """
        vocabulary = vocabulary_of(name)
        if vocabulary is None:
            raise SettingsError(
                f"a gallery in Milvus cannot count by {name!r}: any value may stand there; "
                "count by a field with a closed vocabulary, such as diagnosis_1."
            )
        where = expression(filter, exclude=exclude)
        values: list[str | None] = [None, *sorted(vocabulary)]
        # A value outside of the vocabulary is kept as the table has it.
        while (other := self._collection.another(name, than=values, where=where)) is not None:
            values.append(other)
        counts: dict[Value | None, int] = {}
        for value in values:
            mine = f"{name} == {quoted(value)}"
            if count := self._collection.count(both(where, mine)):
                counts[value] = count
        return counts

    def _answer(
        self,
        bits: NDArray[np.uint64],
        *,
        code: NDArray[np.float32],
        k: int,
        where: str,
        every_image: bool,
    ) -> Found:
        eligible = self._collection.count(where)
        wanted = k + 16 if every_image else 2 * k + 16
        while True:
            nearest = self._collection.nearest(bytes_of(bits)[0], where=where, wanted=wanted)
            hits = _hits(nearest.rows, code=code, k=k, every_image=every_image)
            if len(hits) == k or nearest.is_all:
                return Found(hits, eligible)
            wanted *= 4

    def _check(
        self,
        bits: NDArray[np.uint64],
        *,
        codes: NDArray[np.float32],
        k: int,
        exclude: Sequence[Exclusion],
    ) -> None:
        if bits.ndim != 1 or bits.dtype != np.uint64:
            raise SettingsError(
                f"the query's bits are {bits.dtype}{list(bits.shape)}; expected uint64[N]."
            )
        if codes.shape != (len(bits), self._dimension) or codes.dtype != np.float32:
            raise SettingsError(
                f"the query is {codes.dtype}{list(codes.shape)}; this gallery holds codes "
                f"float32[N, {self._dimension}]."
            )
        if not np.isfinite(codes).all():
            raise SettingsError("the query's code holds a value that is not a finite number.")
        if k < 1:
            raise SettingsError(f"k={k} asks for no case; ask for at least 1.")
        if len(exclude) != len(bits):
            raise SettingsError(f"{len(exclude)} exclusions for {len(bits)} queries.")


def _hits(
    rows: Iterable[Row], *, code: NDArray[np.float32], k: int, every_image: bool
) -> tuple[Hit, ...]:
    """The first k of the rows by Hamming distance, distance and name, each lesion once."""
    rows = list(rows)
    codes = np.array([row.code for row in rows], np.float32).reshape(len(rows), len(code))
    ranked = sorted(
        zip(rows, exact_distances(codes, code).tolist(), strict=True),
        key=lambda each: (each[0].hamming, each[1], each[0].isic_id),
    )
    hits: list[Hit] = []
    seen: set[str] = set()
    for row, distance in ranked:
        if len(hits) == k:
            break
        if row.lesion_id is not None and not every_image:
            if row.lesion_id in seen:
                continue
            seen.add(row.lesion_id)
        place = len(hits) + 1
        hits.append(Hit(place, row.isic_id, row.lesion_id, distance, row.hamming))
    return tuple(hits)


def _batches(entries: Entries) -> Iterator[list[dict[str, Any]]]:
    """The entries as Milvus takes them, some at a time."""
    assert entries.bits is not None  # `_check_entries` has looked
    for start in range(0, len(entries), _BATCH):
        part = slice(start, start + _BATCH)
        columns = {name: entries.columns[name][part] for name in FIELDS}
        bits = bytes_of(entries.bits[part])
        yield [
            {"key": key, "bits": bits[place], "code": code}
            | {name: stored(name, columns[name][place]) for name in FIELDS}
            for place, (key, code) in enumerate(
                zip(entries.keys[part].tolist(), entries.codes[part].tolist(), strict=True)
            )
        ]


def _check_entries(entries: Entries, *, dimension: int) -> None:
    if entries.codes.shape[1] != dimension:
        raise SettingsError(
            f"codes have {entries.codes.shape[1]} numbers; this gallery holds codes of {dimension}."
        )
    if entries.bits is None:
        raise SettingsError(
            "a gallery in Milvus searches by bits, and these entries have none; "
            "use an encoder with the output `bits`."
        )
