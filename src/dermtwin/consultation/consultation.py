"""From a picture to its nearest cases: casebook, encoder and gallery held together."""

import re
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dermtwin.casebook import Casebook, EncoderChangedError, Record, auditing
from dermtwin.consultation.answer import Answer, FoundCase, Share
from dermtwin.datasets import DETAIL_SIDE, SmallGrey, same_photographs, small_grey
from dermtwin.encoders import Card, Encoder
from dermtwin.errors import CasebookError, ImageError, SettingsError
from dermtwin.gallery import Exclusion, Filter, Found, Gallery, Snapshot
from dermtwin.images import decode, digest

T = TypeVar("T")

OUTPUT = "code"
"""The encoder's output that a casebook keeps and a gallery searches."""

_ARCHIVE_NAME = re.compile(r"ISIC_\d{7}")
_TRIES = 10
_FARTHEST_USUAL = "99"
"""Percentile of the card's distances beyond which a case is not called similar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A search that can be asked again."""

    k: int
    filter: Filter | None
    every_image: bool
    own: Exclusion

    def ask(self, snapshot: Snapshot, *, code: NDArray[np.float32]) -> Found:
        (found,) = snapshot.search(
            code,
            k=self.k,
            filter=self.filter,
            exclude=[self.own],
            every_image=self.every_image,
        )
        return found


class _Source:
    """An encoder of a casebook and the codes by it, never by another; threads may share it."""

    def __init__(self, casebook: Casebook) -> None:
        """Read the encoder and all codes; errors as in `Consultation`."""
        self._casebook = casebook
        record, data = casebook.encoder_data()
        self.encoder = Encoder(data, name=f"the encoder {record.label} of {casebook.path}")
        self.encoder.check_output(OUTPUT)
        self._dimension = int(np.prod(self.encoder.card.outputs[OUTPUT].shape))
        self._refreshing = Lock()
        self.gallery = Gallery(dimension=self._dimension)
        self.refresh()

    def refresh(self) -> Snapshot:
        """Bring the gallery up to what is committed; raises EncoderChangedError."""
        with self._refreshing:
            changes = self._casebook.changes(
                since=self.gallery.version, dimension=self._dimension, encoder_id=self.encoder.id
            )
            if changes.is_whole:
                self.gallery = Gallery(dimension=self._dimension)
            if changes.is_whole or changes.version != self.gallery.version:
                self.gallery.apply(
                    changes.entries, removed=changes.removed, version=changes.version
                )
            return self.gallery.snapshot()


class Consultation:
    """A casebook, its encoder and its gallery, ready to be asked; threads may share it.

    The encoder is the casebook's own copy, so that a casebook needs nothing beside it. When
    another process gives the casebook a new encoder, the next question is answered by that.
    """

    def __init__(self, casebook: Casebook) -> None:
        """Read the encoder and all codes.

        Raises:
            CasebookError: the casebook has no encoder yet, or cannot be read.
            EncoderError: its encoder cannot be used.
        """
        self.casebook = casebook
        self._changing = Lock()
        self._source = _open_source(casebook)

    @property
    def encoder(self) -> Encoder:
        """The encoder as of the last question."""
        return self._source.encoder

    @property
    def gallery(self) -> Gallery:
        """The codes as of the last question."""
        return self._source.gallery

    def refresh(self) -> Snapshot:
        """Bring encoder and gallery up to what is committed in the casebook now."""
        return self._by_current(_Source.refresh)

    def _by_current(self, action: Callable[[_Source], T]) -> T:
        """Do something by the casebook's encoder; from the start if that changes meanwhile."""
        for _ in range(_TRIES):
            source = self._source
            try:
                return action(source)
            except EncoderChangedError:
                with self._changing:
                    # Another thread may have been faster.
                    if self._source is source:
                        self._source = _open_source(self.casebook)
        raise CasebookError(
            f"the casebook {self.casebook.path} is given one encoder after the other; "
            "ask again when that is done."
        )

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
        who: str | None = None,
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
            who: who asks, for the audit log; None: the operating system's user.

        Raises:
            ImageError: the bytes are no picture that dermtwin accepts.
            SettingsError: k below 1.
            CasebookError: the casebook cannot be read.
        """
        start = time.perf_counter()
        if k < 1:
            raise SettingsError(f"k={k} asks for no case; ask for at least 1.")
        own = self.casebook.kin(
            self._cases_of(data, name=name), lesion_id=lesion_id, patient_id=patient_id
        )
        question = _Question(k=k, filter=filter, every_image=every_image, own=own)
        answer = self._by_current(partial(self._answer, question, data=data, name=name))
        answer = self._noted(answer, filter=filter, who=who)
        return replace(answer, ms=(time.perf_counter() - start) * 1000)

    def _noted(self, answer: Answer, *, filter: Filter | None, who: str | None) -> Answer:  # noqa: A002
        """Enter in the audit log which cases came back, before anybody sees them."""
        conditions = () if filter is None else filter.conditions
        details = {
            "cases": len(answer.hits),
            "eligible": answer.eligible,
            "filter": sorted({each.field for each in conditions}),
        }
        try:
            with self.casebook.writing() as connection:
                auditing.note(
                    connection,
                    verb="find",
                    who=who,
                    cases=auditing.keys_of(connection, [each.hit.isic_id for each in answer.hits]),
                    encoder=answer.encoder,
                    version=answer.version,
                    details=details,
                )
        except CasebookError as error:
            # A casebook on a read-only disk answers all the same.
            told = f"This look could not be entered in the audit log: {error}"
            return replace(answer, remarks=(*answer.remarks, told))
        return answer

    def _answer(self, question: _Question, source: _Source, *, data: bytes, name: str) -> Answer:
        """Ask by one encoder from beginning to end; raises EncoderChangedError."""
        look = source.encoder.look(data, name=name)
        code = source.encoder.encode_views(look.view[None]).vectors(OUTPUT)
        grey = small_grey(decode(data, name=name, at_least=DETAIL_SIDE))
        snapshot, found, cases = self._settled(question, source, code=code)
        # Each round knows more of the picture's own, so there is a last one.
        while copies := self._copies(grey, cases.values()):
            question = replace(question, own=question.own | self.casebook.kin(copies))
            snapshot, found, cases = self._settled(question, source, code=code)
        base = snapshot.tally("diagnosis_1", filter=question.filter, exclude=question.own)
        return Answer(
            query=name,
            encoder=source.encoder.id,
            version=snapshot.version,
            ms=0.0,
            crop=look.crop,
            remarks=(*look.remarks, *_remarks(found, card=source.encoder.card)),
            eligible=found.eligible,
            hits=tuple(FoundCase(hit, cases[hit.isic_id].case) for hit in found.hits),
            base=Share.of_tally(base),
            known=question.own,
        )

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

    def _settled(
        self, question: _Question, source: _Source, *, code: NDArray[np.float32]
    ) -> tuple[Snapshot, Found, dict[str, Record]]:
        """Search, and read the hits' cases; again if one was forgotten in between."""
        for _ in range(_TRIES):
            snapshot = source.refresh()
            found = question.ask(snapshot, code=code)
            records = self.casebook.records([hit.isic_id for hit in found.hits])
            if all(hit.isic_id in records for hit in found.hits):
                return snapshot, found, records
        raise CasebookError(
            f"the casebook {self.casebook.path} is being emptied faster than it can be read; "
            "ask again when that is done."
        )


def _open_source(casebook: Casebook) -> _Source:
    """Open the current encoder with its codes; again if it is changed while it is read."""
    for _ in range(_TRIES):
        current = casebook.encoder()
        try:
            return _Source(casebook)
        except CasebookError:
            if casebook.encoder() == current:
                raise
    return _Source(casebook)


def _remarks(found: Found, *, card: Card) -> list[str]:
    """That nothing is similar, where the nearest case is farther than cases usually are."""
    usual = card.distances.get(OUTPUT, {}).get(_FARTHEST_USUAL)
    if usual is None or not found.hits or found.hits[0].distance <= usual:
        return []
    told = (
        f"Nothing similar here: the nearest case is {found.hits[0].distance:.3g} away, and of "
        f"{_FARTHEST_USUAL} % of the images that the encoder learnt from the nearest other "
        f"lesion is within {usual:.3g}."
    )
    return [told]
