"""From a picture to its nearest cases: casebook, encoder and gallery held together."""

import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dermtwin.casebook import Casebook, Record
from dermtwin.consultation.answer import Answer, FoundCase, Share
from dermtwin.datasets import DETAIL_SIDE, SmallGrey, same_photographs, small_grey
from dermtwin.encoders import Encoder
from dermtwin.errors import CasebookError, ImageError, SettingsError
from dermtwin.gallery import Exclusion, Filter, Found, Gallery, Snapshot
from dermtwin.images import decode, digest

OUTPUT = "code"
"""The encoder's output that a casebook keeps and a gallery searches."""

_ARCHIVE_NAME = re.compile(r"ISIC_\d{7}")
_TRIES = 10
_FARTHEST_USUAL = "99"
"""Percentile of the card's distances beyond which a case is not called similar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A search that can be asked again."""

    code: NDArray[np.float32]
    k: int
    filter: Filter | None
    every_image: bool
    own: Exclusion

    def ask(self, snapshot: Snapshot) -> Found:
        (found,) = snapshot.search(
            self.code,
            k=self.k,
            filter=self.filter,
            exclude=[self.own],
            every_image=self.every_image,
        )
        return found


class Consultation:
    """A casebook, its encoder and its gallery, ready to be asked; threads may share it.

    The encoder is the casebook's own copy, so that a casebook needs nothing beside it.
    """

    def __init__(self, casebook: Casebook) -> None:
        """Read the encoder and all codes.

        Raises:
            CasebookError: the casebook has no encoder yet, or cannot be read.
            EncoderError: its encoder cannot be used.
        """
        self.casebook = casebook
        record, data = casebook.encoder_data()
        self.encoder = Encoder(data, name=f"the encoder {record.label} of {casebook.path}")
        self.encoder.check_output(OUTPUT)
        self._dimension = int(np.prod(self.encoder.card.outputs[OUTPUT].shape))
        self._refreshing = Lock()
        self._gallery = Gallery(dimension=self._dimension)
        self.refresh()

    @property
    def gallery(self) -> Gallery:
        """The codes as of the last question."""
        return self._gallery

    def refresh(self) -> Snapshot:
        """Bring the gallery up to what is committed in the casebook now."""
        with self._refreshing:
            changes = self.casebook.changes(since=self._gallery.version, dimension=self._dimension)
            if changes.is_whole:
                self._gallery = Gallery(dimension=self._dimension)
            if changes.is_whole or changes.version != self._gallery.version:
                self._gallery.apply(
                    changes.entries, removed=changes.removed, version=changes.version
                )
            return self._gallery.snapshot()

    def ask(  # noqa: PLR0913 - all that may be said of a question
        self,
        data: bytes,
        *,
        name: str,
        k: int = 10,
        filter: Filter | None = None,  # noqa: A002 - the word that all of dermtwin uses
        every_image: bool = False,
        lesion_id: str | None = None,
        patient_id: str | None = None,
    ) -> Answer:
        """Find the nearest cases of a picture.

        The picture's own image, lesion and patient never come back, as far as they are known: by
        its bytes, by an archive name (`ISIC_1234567`) that is a case here, from the caller, or
        because a case that would come back shows the same photograph (smaller, saved anew, turned).

        Args:
            data: the image file's bytes.
            name: the file's name.
            k: how many cases are wanted.
            filter: which cases may come back; None: all.
            every_image: show each image of a lesion, not its nearest alone.
            lesion_id: the picture's lesion, where known.
            patient_id: the picture's patient, where known.

        Raises:
            ImageError: the bytes are no picture that dermtwin accepts.
            SettingsError: k below 1.
            CasebookError: the casebook cannot be read.
        """
        start = time.perf_counter()
        if k < 1:
            raise SettingsError(f"k={k} asks for no case; ask for at least 1.")
        look = self.encoder.look(data, name=name)
        code = self.encoder.encode_views(look.view[None]).vectors(OUTPUT)
        own = self.casebook.kin(
            self._cases_of(data, name=name), lesion_id=lesion_id, patient_id=patient_id
        )
        question = _Question(code=code, k=k, filter=filter, every_image=every_image, own=own)
        grey = small_grey(decode(data, name=name, at_least=DETAIL_SIDE))
        snapshot, found, cases = self._settled(question)
        # Each round knows more of the picture's own, so there is a last one.
        while copies := self._copies(grey, cases.values()):
            question = replace(question, own=question.own | self.casebook.kin(copies))
            snapshot, found, cases = self._settled(question)
        base = snapshot.tally("diagnosis_1", filter=filter, exclude=question.own)
        return Answer(
            query=name,
            encoder=self.encoder.id,
            version=snapshot.version,
            ms=(time.perf_counter() - start) * 1000,
            crop=look.crop,
            remarks=(*look.remarks, *self._remarks(found)),
            eligible=found.eligible,
            hits=tuple(FoundCase(hit, cases[hit.isic_id].case) for hit in found.hits),
            base=Share.of_tally(base),
            known=question.own,
        )

    def _remarks(self, found: Found) -> list[str]:
        """That nothing is similar, where the nearest case is farther than cases usually are."""
        usual = self.encoder.card.distances.get(OUTPUT, {}).get(_FARTHEST_USUAL)
        if usual is None or not found.hits or found.hits[0].distance <= usual:
            return []
        told = (
            f"Nothing similar here: the nearest case is {found.hits[0].distance:.3g} away, and of "
            f"{_FARTHEST_USUAL} % of the images that the encoder learnt from the nearest other "
            f"lesion is within {usual:.3g}."
        )
        return [told]

    def _cases_of(self, data: bytes, *, name: str) -> Collection[str]:
        """The cases here that show this picture."""
        same = {each.case.isic_id for each in self.casebook.records_of_image(digest(data))}
        stem = PurePath(name).stem
        if _ARCHIVE_NAME.fullmatch(stem):
            same |= self.casebook.records([stem]).keys()
        return same

    def _copies(self, grey: SmallGrey, hits: Iterable[Record]) -> list[str]:
        """The hits that show the very photograph that was asked about."""
        # One after the other: for a few small pictures threads wait for each other longer.
        looked_at = {hit.case.isic_id: self._grey_of(hit) for hit in hits}
        seen = {name: other for name, other in looked_at.items() if other is not None}
        same = same_photographs(grey, list(seen.values()))
        return [name for name, is_same in zip(seen, same, strict=True) if is_same]

    def _grey_of(self, record: Record) -> SmallGrey | None:
        """A case's picture, small and grey; None where it cannot be read (`check` tells of it)."""
        try:
            data = self.casebook.image_of(record)
            return small_grey(decode(data, name=record.case.isic_id, at_least=DETAIL_SIDE))
        except (CasebookError, ImageError):
            return None

    def _settled(self, question: _Question) -> tuple[Snapshot, Found, dict[str, Record]]:
        """Search, and read the hits' cases; again if one was forgotten in between."""
        for _ in range(_TRIES):
            snapshot = self.refresh()
            found = question.ask(snapshot)
            records = self.casebook.records([hit.isic_id for hit in found.hits])
            if all(hit.isic_id in records for hit in found.hits):
                return snapshot, found, records
        raise CasebookError(
            f"the casebook {self.casebook.path} is being emptied faster than it can be read; "
            "ask again when that is done."
        )
