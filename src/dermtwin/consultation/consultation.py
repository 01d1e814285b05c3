"""From a picture to its nearest cases: casebook, encoder and gallery held together."""

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from threading import Lock
from typing import Any, TypedDict, TypeVar, Unpack

import numpy as np

from dermtwin.casebook import Casebook, EncoderChangedError, Record, auditing
from dermtwin.consultation import trust
from dermtwin.consultation.answer import Answer, FoundCase, Share
from dermtwin.consultation.comparison import SHOWN_SIDE, Comparison, compare, shown
from dermtwin.consultation.measured import of_encoder
from dermtwin.consultation.neighbours import Eligible, Neighbours, together
from dermtwin.consultation.source import (
    OUTPUT,
    TRIES,
    Question,
    Source,
    open_source,
    refuse_without_bits,
)
from dermtwin.consultation.steering import Region, Steering
from dermtwin.consultation.trust import Reason, Trust
from dermtwin.datasets import (
    DETAIL_SIDE,
    SmallGrey,
    may_be_copies,
    same_photographs,
    small_grey,
)
from dermtwin.encoders import Codes, Encoder, Look
from dermtwin.errors import CasebookError, ImageError, SettingsError
from dermtwin.gallery import Exclusion, Filter, Found, Gallery, Snapshot
from dermtwin.images import Rgb, decode, digest
from dermtwin.vocabulary import SearchBy

T = TypeVar("T")

_UNENTERED = "This look could not be entered in the audit log."
_ARCHIVE_NAME = re.compile(r"ISIC_\d{7}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """What a search found in one moment.

    Attributes:
        snapshot: that moment's gallery.
        found: the nearest cases, as many as were asked for.
        distances: of the lesions nearest to the picture as it is, nearest first, at least `FAMILY`
            if there are as many.
        cases: the records of the nearest cases.
    """

    snapshot: Snapshot
    found: Found
    distances: tuple[float, ...]
    cases: Mapping[str, Record]


class Asked(TypedDict, total=False):
    """All that may be said of a question, as `Consultation.ask` explains it."""

    k: int
    filter: Filter | None
    every_image: bool
    by: SearchBy
    views: int
    lesion_id: str | None
    patient_id: str | None
    who: str | None
    region: Region | None
    like: Sequence[str]
    unlike: Sequence[str]


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
        self._source = open_source(casebook)

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
        return self._by_current(Source.refresh)

    def _by_current(self, action: Callable[[Source], T]) -> T:
        """Do something by the casebook's encoder; from the start if that changes meanwhile."""
        for _ in range(TRIES):
            source = self._source
            try:
                return action(source)
            except EncoderChangedError:
                with self._changing:
                    # Another thread may have been faster.
                    if self._source is source:
                        self._source = open_source(self.casebook)
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
        by: SearchBy = SearchBy.CODE,
        views: int = 1,
        lesion_id: str | None = None,
        patient_id: str | None = None,
        who: str | None = None,
        region: Region | None = None,
        like: Sequence[str] = (),
        unlike: Sequence[str] = (),
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
            by: what tells how near a case is: its code, or its bits and then its code.
            views: 1, 4 or 8: the picture is asked turned by quarters (4) and mirrored too (8); a
                case is as near as it is to the nearest of them.
            lesion_id: the picture's lesion, where known.
            patient_id: the picture's patient, where known.
            who: who asks, for the audit log; None: the operating system's user.
            region: compare this part of the picture alone; None: all of it.
            like: names of cases to move towards; see `steering`.
            unlike: names of cases to move away from.

        Raises:
            ImageError: the bytes are no picture that dermtwin accepts.
            SettingsError: k below 1, another number of views, the encoder or a case has no bits to
                search by, or the steering contradicts itself.
            EncoderError: a region was asked for, and the encoder has none.
            CasebookError: the casebook cannot be read, or does not hold a marked case.
        """
        start = time.perf_counter()
        question = Question(
            k=k,
            filter=filter,
            every_image=every_image,
            by=by,
            own=Exclusion(),
            steering=Steering(region=region, like=tuple(like), unlike=tuple(unlike)),
            views=views,
        )
        question.check()
        own = self.casebook.kin(
            self._cases_of(data, name=name), lesion_id=lesion_id, patient_id=patient_id
        )
        question = replace(question, own=own)
        answer = self._by_current(partial(self._answer, question, data=data, name=name))
        unentered = self._note_answer(answer, question, who=who)
        took = (time.perf_counter() - start) * 1000
        remarks = (*answer.remarks, *(() if unentered is None else (_UNENTERED,)))
        return replace(answer, ms=took, remarks=remarks, unentered=unentered)

    def ask_case(self, isic_id: str, **asked: Unpack[Asked]) -> Answer:
        """Find the nearest cases of a case; its own image, lesion and patient are left out.

        Args:
            isic_id: the case.
            asked: as in `ask`.

        Raises:
            CasebookError: there is no such case, or its image cannot be read.
        """
        return self.ask(self.casebook.image(isic_id), name=isic_id, **asked)

    def compare(  # noqa: PLR0913 - all that may be said of it
        self,
        data: bytes | None,
        *,
        name: str = "",
        case: str | None = None,
        other: str,
        region: Region | None = None,
        who: str | None = None,
    ) -> Comparison:
        """See which regions make a picture and a case near.

        Args:
            data: the image file's bytes; None: `case` is asked about.
            name: the file's name.
            case: the name of a case, where there are no bytes.
            other: the name of the case to compare with.
            region: compare this part of the picture alone; None: all of it.
            who: who asks, for the audit log; None: the operating system's user.

        Raises:
            ImageError: the bytes are no picture that dermtwin accepts.
            SettingsError: neither bytes nor a case are given.
            EncoderError: the encoder has no regions.
            CasebookError: there is no such case, or its image cannot be read.
        """
        if data is None:
            if case is None:
                raise SettingsError("give a picture or a case to compare.")
            data, name = self.casebook.image(case), case
        against = self.casebook.image(other)

        def work(source: Source) -> Comparison:
            source.refresh()
            return compare(source, (data, name), (against, other), region=region)

        compared = self._by_current(work)
        unentered = self._note(
            [each for each in (case, other) if each is not None],
            verb="compare",
            who=who,
            encoder=compared.encoder,
            details={"region": region is not None},
        )
        return compared if unentered is None else replace(compared, remarks=(_UNENTERED,))

    def _note_answer(self, answer: Answer, question: Question, *, who: str | None) -> str | None:
        """Enter which cases came back and which were marked, before anybody sees them."""
        conditions = () if question.filter is None else question.filter.conditions
        steering = question.steering
        details = {
            "cases": len(answer.hits),
            "eligible": answer.eligible,
            "filter": sorted({each.field for each in conditions}),
        }
        if steering:
            details |= {
                "region": steering.region is not None,
                "liked": len(steering.like),
                "unliked": len(steering.unlike),
            }
        return self._note(
            {*(each.hit.isic_id for each in answer.hits), *steering.marked},
            verb="find",
            who=who,
            encoder=answer.encoder,
            version=answer.version,
            details=details,
        )

    def _note(self, isic_ids: Collection[str], **entry: Any) -> str | None:  # noqa: ANN401
        """Enter a look in the audit log; why it cannot be, or None."""
        try:
            with self.casebook.writing() as connection:
                keys = auditing.keys_of(connection, isic_ids)
                auditing.note(connection, cases=keys, **entry)
        except CasebookError as error:
            # A casebook on a read-only disk answers all the same.
            return str(error)
        return None

    def _answer(self, question: Question, source: Source, *, data: bytes, name: str) -> Answer:
        """Ask by one encoder from beginning to end; raises EncoderChangedError."""
        if question.by is SearchBy.BITS:
            refuse_without_bits(source.encoder)
        look = source.encoder.look(data, name=name)
        codes = source.encoder.encode_view(look.view, views=question.views)
        if question.steering:
            codes = source.steered(codes, question.steering)
        pixels = _whole(look, data, name=name)
        grey = small_grey(pixels)
        settled = self._settled(question, source, codes=codes)
        # Each round knows more of the picture's own, so there is a last one.
        while copies := self._copies(grey, settled.cases.values()):
            question = replace(question, own=question.own | self.casebook.kin(copies))
            settled = self._settled(question, source, codes=codes)
        snapshot, found = settled.snapshot, settled.found
        base = snapshot.tally("diagnosis_1", filter=question.filter, exclude=question.own)
        usual = _usual(source.encoder) if question.is_plain else {}
        return Answer(
            query=name,
            k=question.k,
            views=question.views,
            encoder=source.encoder.id,
            version=snapshot.version,
            ms=0.0,
            crop=look.crop,
            remarks=look.remarks,
            eligible=found.eligible,
            hits=tuple(
                FoundCase(
                    hit, settled.cases[hit.isic_id].case, trust.nearness(hit.distance, usual=usual)
                )
                for hit in found.hits
            ),
            base=Share.of_tally(base),
            known=question.own,
            left_out=_left_out(snapshot, question, eligible=base),
            neighbours=_together(settled, question, encoder_id=source.encoder.id),
            trust=Trust.of(
                [
                    *trust.of_picture(pixels, look),
                    *_by_distance(settled, question, encoder=source.encoder),
                    *trust.of_number(len(found.hits), k=question.k),
                ]
            ),
            view=shown(data, look, encoder=source.encoder, name=name, pixels=pixels),
        )

    def _cases_of(self, data: bytes, *, name: str) -> Collection[str]:
        """The cases here that show this picture."""
        same = {each.case.isic_id for each in self.casebook.records_of_image(digest(data))}
        stem = PurePath(name).stem
        if _ARCHIVE_NAME.fullmatch(stem):
            same |= self.casebook.records([stem]).keys()
        return same

    def _copies(self, grey: SmallGrey, hits: Collection[Record]) -> list[str]:
        """The hits that show the very photograph that was asked about."""
        hashes = np.array([hit.phash or 0 for hit in hits], dtype=np.uint64)
        suspects = [
            hit
            for hit, may_be in zip(hits, may_be_copies(grey, hashes), strict=True)
            if may_be or hit.phash is None
        ]
        # One after the other: for a few small pictures threads wait for each other longer.
        looked_at = {hit.case.isic_id: self._grey_of(hit) for hit in suspects}
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

    def _settled(self, question: Question, source: Source, *, codes: Codes) -> _Settled:
        """Search, and read the hits' cases; again if one was forgotten in between."""
        for _ in range(TRIES):
            snapshot = source.refresh()
            wide, lesions = question.ask(snapshot, codes=codes)
            found = replace(wide, hits=wide.hits[: question.k])
            records = self.casebook.records([hit.isic_id for hit in found.hits])
            if all(hit.isic_id in records for hit in found.hits):
                distances = tuple(hit.distance for hit in lesions.hits)
                return _Settled(snapshot=snapshot, found=found, distances=distances, cases=records)
        raise CasebookError(
            f"the casebook {self.casebook.path} is being emptied faster than it can be read; "
            "ask again when that is done."
        )


def _whole(look: Look, data: bytes, *, name: str) -> Rgb:
    """The whole picture, decoded no smaller than it is shown."""
    if look.decoded is not None and min(look.decoded.shape[:2]) >= SHOWN_SIDE:
        return look.decoded
    return decode(data, name=name, at_least=SHOWN_SIDE)


def _left_out(snapshot: Snapshot, question: Question, *, eligible: Mapping[Any, int]) -> int:
    """How many cases are the picture's own; a name that no case has leaves out none."""
    if not question.own:
        return 0
    # Without a filter the eligible cases are all others.
    others = (
        eligible if question.filter is None else snapshot.tally("diagnosis_1", exclude=question.own)
    )
    return len(snapshot) - sum(others.values())


def _usual(encoder: Encoder) -> Mapping[str, float]:
    return encoder.card.distances.get(OUTPUT, {})


def _by_distance(settled: _Settled, question: Question, *, encoder: Encoder) -> Iterable[Reason]:
    """How far usual cases are is known of pictures' own codes alone."""
    if not question.is_own_code:
        return ()
    return trust.of_distances(
        settled.distances, usual=_usual(encoder), unfamiliar=of_encoder(encoder.id).unfamiliar
    )


def _together(settled: _Settled, question: Question, *, encoder_id: str) -> Neighbours:
    hits, measured = settled.found.hits, of_encoder(encoder_id)
    cases = [settled.cases[hit.isic_id].case for hit in hits]
    is_whole = question.filter is None or not question.filter.conditions
    as_measured = question.is_plain and is_whole and not question.every_image
    is_real = not any(case.is_drawn for case in cases)
    return together(
        cases,
        [hit.distance for hit in hits],
        eligible=Eligible(settled.snapshot, question.filter, question.own),
        correlation=measured.correlation,
        is_calibrated=measured.is_calibrated and as_measured and is_real,
    )
