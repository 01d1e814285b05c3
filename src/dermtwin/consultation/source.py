"""An encoder of a casebook with the codes by it, and a question put to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dermtwin.casebook import (
    Casebook,
    EncoderChangedError,
    NoSuchCaseError,
    auditing,
    reading,
    records,
)
from dermtwin.consultation.steering import Steering, moved, of_region, regions_of
from dermtwin.consultation.trust import FAMILY
from dermtwin.encoders import Codes, Encoder, refuse_views
from dermtwin.errors import CasebookError, SettingsError
from dermtwin.gallery import Exclusion, Filter, Found, Gallery, Snapshot
from dermtwin.vocabulary import Hit, SearchBy

OUTPUT = "code"
"""The encoder's output that a casebook keeps and a gallery searches."""

BITS = "bits"
"""The output whose signs a casebook keeps beside the code, and a gallery searches too."""

TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A search that can be asked again."""

    k: int
    filter: Filter | None
    every_image: bool
    by: SearchBy
    own: Exclusion
    steering: Steering
    views: int

    @property
    def is_own_code(self) -> bool:
        """Whether it goes by the picture's own code: how far usual cases are is known of that."""
        return self.by is SearchBy.CODE and not self.steering

    @property
    def is_plain(self) -> bool:
        """Whether it goes by that alone."""
        return self.is_own_code and self.views == 1

    def check(self) -> None:
        """Raise SettingsError where it contradicts itself."""
        if self.k < 1:
            raise SettingsError(f"k={self.k} asks for no case; ask for at least 1.")
        refuse_views(self.views)
        self.steering.check(by=self.by)
        if self.steering and self.views > 1:
            raise SettingsError(
                "a region and cases marked as like or unlike steer the picture as it is; ask in "
                "one view."
            )

    def ask(self, snapshot: Snapshot, *, codes: Codes) -> tuple[Found, Found]:
        """The nearest cases, and the nearest lesions; at least `FAMILY`, where there are as many.

        Args:
            snapshot: where to look.
            codes: of each view, the picture's own first.

        Returns:
            The cases of all views, a case being as near as to the nearest; and those of the first
            view, each lesion once.
        """
        by_view = self._search(snapshot, codes=codes)
        found = by_view[0]
        if self.views > 1:
            found = _of_nearest_view(by_view, k=self._wanted, every_image=self.every_image)
        if not self.every_image:
            return found, by_view[0]
        # The nearest images may all be of a few lesions.
        plain = replace(self, k=FAMILY, every_image=False, views=1)
        return found, plain.ask(snapshot, codes=codes)[1]

    @property
    def _wanted(self) -> int:
        return max(self.k, FAMILY)

    def _search(self, snapshot: Snapshot, *, codes: Codes) -> tuple[Found, ...]:
        """The nearest cases of each view."""
        vectors = codes.vectors(OUTPUT)[: self.views]
        search = partial(snapshot.search, vectors)
        if self.by is SearchBy.BITS:
            bits = _whole_bits(codes)[: self.views]
            search = partial(snapshot.search_bits, bits, codes=vectors)
        return search(
            k=self._wanted,
            filter=self.filter,
            exclude=[self.own] * self.views,
            every_image=self.every_image,
        )


class Source:
    """An encoder of a casebook and the codes by it, never by another; threads may share it."""

    def __init__(self, casebook: Casebook) -> None:
        """Read the encoder and all codes; errors as in `Consultation`."""
        self._casebook = casebook
        self._record, data = casebook.encoder_data()
        name = f"the encoder {self._record.label} of {casebook.path}"
        self.encoder = Encoder(data, name=name)
        self.encoder.check_output(OUTPUT)
        self._dimension = int(np.prod(self.encoder.card.outputs[OUTPUT].shape))
        self._refreshing = Lock()
        self.gallery = Gallery(dimension=self._dimension)
        self.refresh()

    def refresh(self) -> Snapshot:
        """Bring the gallery up to what is committed; raises EncoderChangedError."""
        with self._refreshing:
            self.gallery = self._casebook.refreshed(self.gallery, encoder_id=self.encoder.id)
            return self.gallery.snapshot()

    def steered(self, codes: Codes, steering: Steering) -> Codes:
        """One picture's codes as a search is steered: another code, all else as it is.

        Raises:
            EncoderError: a region was asked for, and the encoder has none.
            CasebookError: a marked case is not here.
            EncoderChangedError: the casebook has another encoder now.
        """
        code = codes.vectors(OUTPUT)
        if steering.region is not None:
            code = of_region(self.regions(codes), steering.region)
        if steering.marked:
            marked = self._codes_of(steering.marked)
            liked, unliked = (
                [marked[name] for name in names] for names in (steering.like, steering.unlike)
            )
            code = moved(code, liked=liked, unliked=unliked)
        shaped = code.reshape(codes.by_output[OUTPUT].shape)
        return Codes({**codes.by_output, OUTPUT: shaped})

    def regions(self, codes: Codes) -> NDArray[np.float32]:
        """One picture's regions: float32 [h, w, D]; raises EncoderError."""
        return regions_of(codes.by_output, code=OUTPUT, encoder=self.encoder.card.name)

    def _codes_of(self, isic_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Cases' codes by their names, float32 [1, D]."""
        with self._casebook.reading() as connection:
            current = records.current_encoder(connection)
            keys = auditing.keys_of(connection, isic_ids)
            entries = reading.entries(
                connection, encoder=self._record, dimension=self._dimension, keys=keys
            )
        if current is not None and current.id != self.encoder.id:
            raise EncoderChangedError(
                f"the casebook {self._casebook.path} has another encoder now: {current.label}; "
                "ask again."
            )
        names = [str(name) for name in entries.columns["isic_id"]]
        if absent := sorted(set(isic_ids) - set(names)):
            raise NoSuchCaseError(
                f"the casebook {self._casebook.path} holds no case {absent[0]}; unmark it."
            )
        return {name: code[None] for name, code in zip(names, entries.codes, strict=True)}


def _of_nearest_view(by_view: Sequence[Found], *, k: int, every_image: bool) -> Found:
    """The k nearest, where a case is as near as to the nearest of several views.

    Exact: what is among the k nearest so is among those of the view that it is nearest to.
    """
    best: dict[tuple[bool, str], Hit] = {}
    for hit in (hit for found in by_view for hit in found.hits):
        is_image = every_image or hit.lesion_id is None
        name = (is_image, hit.isic_id if is_image else str(hit.lesion_id))
        best[name] = min(best.get(name, hit), hit, key=_nearness)
    nearest = sorted(best.values(), key=_nearness)[:k]
    hits = tuple(replace(hit, rank=rank) for rank, hit in enumerate(nearest, start=1))
    return Found(hits, by_view[0].eligible)


def _nearness(hit: Hit) -> tuple[int, float, str]:
    """What hits are ordered by."""
    return hit.hamming or 0, hit.distance, hit.isic_id


def open_source(casebook: Casebook) -> Source:
    """Open the current encoder with its codes; again if it is changed while it is read."""
    for _ in range(TRIES):
        current = casebook.encoder()
        try:
            return Source(casebook)
        except CasebookError:
            if casebook.encoder() == current:
                raise
    return Source(casebook)


def _whole_bits(codes: Codes) -> NDArray[np.uint64]:
    """The bits of N pictures as a gallery holds them: uint64 [N], the first one highest."""
    packed = np.packbits(codes.by_output[BITS] > 0, axis=1)
    return packed.view(">u8").astype(np.uint64).ravel()


def refuse_without_bits(encoder: Encoder) -> None:
    """Raise SettingsError unless cases can be searched by bits."""
    output = encoder.card.outputs.get(BITS)
    if output is None or output.shape != (64,):
        raise SettingsError(
            f"the encoder {encoder.card.name} has no output `{BITS}` of 64 numbers, so nothing "
            "here can be searched by bits; search by code."
        )
