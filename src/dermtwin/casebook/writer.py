"""The one door for changes: cases in, encoder in, cases out."""

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, insert

from dermtwin.casebook import auditing, bulk, journal, records
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.copies import copies
from dermtwin.casebook.database import told
from dermtwin.casebook.forgetting import Kind, cases_of, erase, plan
from dermtwin.casebook.holding import refuse_held
from dermtwin.casebook.placing import NewImage, Outcome, Placed, alter
from dermtwin.casebook.receipt import ForgetReport
from dermtwin.casebook.records import EncoderRecord
from dermtwin.casebook.schema import ENCODERS
from dermtwin.casebook.store import IMAGES, WriterLock, encoder_path
from dermtwin.casebook.traces import Looked, Marks, look
from dermtwin.errors import CasebookError
from dermtwin.vocabulary import Case


class Writer:
    """Someone who changes a casebook; several may at once, in several processes.

    Used as a context. Entering settles what a writer that was cut short left behind, if nobody else
    writes; leaving settles what this one began and did not finish. One thread at a time
    may call it. Every method raises CasebookError where the casebook cannot be written.
    """

    def __init__(self, casebook: Casebook, *, who: str | None = None) -> None:
        """Write into a casebook; in the audit log by `who`, None: the operating system's user."""
        self._casebook = casebook
        self._who = who
        self._store = casebook.store
        self._owner = secrets.token_hex(8)

    def __enter__(self) -> Self:
        with told(self._store.database):
            self._store.make()
            self._lock = WriterLock(self._store.path(IMAGES))
            try:
                if self._lock.take_alone():
                    self._settle(owner=None)
                self._lock.share()
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._settle(owner=self._owner)
            else:
                # The first error is the one to tell; what stays unsettled, the next writer settles.
                with suppress(CasebookError), told(self._store.database):
                    journal.settle(self._casebook.database, self._store, owner=self._owner)
        finally:
            self._lock.release()

    def keep_encoder(self, *, encoder_id: str, card: str, data: bytes) -> EncoderRecord:
        """Make an encoder the casebook's, with a copy of its file, unless it is already.

        Raises:
            CasebookError: the casebook has another encoder.
        """
        current = self._casebook.encoder()
        if current is None:
            path = encoder_path(encoder_id)
            self._write(path, data)
            with self._casebook.writing() as connection:
                current = records.current_encoder(connection)
                if current is None:
                    connection.execute(
                        insert(ENCODERS).values(id=encoder_id, card=card, is_current=True)
                    )
                    journal.strike_out(connection, path, owner=self._owner)
                    current = records.current_encoder(connection)
        assert current is not None
        if current.id != encoder_id:
            raise other_encoder(
                self._casebook, current, given=EncoderRecord(0, encoder_id, records.card_name(card))
            )
        return current

    def write_images(self, images: Sequence[NewImage]) -> None:
        """Announce the files of images, and write them; they are on the disk when this returns."""
        files = {path: data for image in images for path, data in image.files().items()}
        with self._casebook.writing() as connection:
            journal.note(connection, files, owner=self._owner)
        with told(self._store.database):
            self._store.write_all(files, owner=self._owner)

    def place_all(
        self,
        rows: Sequence[tuple[Case, NewImage]],
        *,
        encoder: EncoderRecord,
        leave_out: Callable[[], Collection[str]] = frozenset,
    ) -> dict[str, Placed]:
        """Put cases in whose images were written; all are there for good when this returns.

        Args:
            rows: cases of different names, with their images.
            encoder: whose codes the images have.
            leave_out: asked when nobody else can change the casebook any more: the names of those
                that are not to go in after all.

        Returns:
            What became of the others, by name.

        Raises:
            CasebookError: the casebook was given another encoder meanwhile.
        """
        while True:
            with self._casebook.writing() as connection:
                self._refuse_unless_current(connection, encoder)
                left_out = leave_out()
                going = [row for row in rows if row[0].isic_id not in left_out]
                # Files vanish only within such a transaction: those seen here stay.
                lost = [image for _, image in going if not self._is_written(image)]
                if not lost:
                    placed = self._place_all(connection, going, encoder=encoder)
                    return {
                        case.isic_id: each for (case, _), each in zip(going, placed, strict=True)
                    }
            # Somebody forgot the same image meanwhile: once more from the start.
            self.write_images(lost)

    def alter(self, case: Case, *, sha256: str) -> Placed:
        """Give a case that is there new values; altered for good when this returns."""
        with self._casebook.writing() as connection:
            placed = alter(connection, case, sha256=sha256)
            if placed.case_key is not None:
                auditing.note(
                    connection,
                    verb="add",
                    who=self._who,
                    cases=[placed.case_key],
                    details={"cases": 1},
                )
            return placed

    def forget(self, kind: Kind, name: str, *, who: str | None = None) -> ForgetReport:
        """Erase the cases of a patient, lesion or image, or one case; then look for what is left.

        Args:
            kind: what is named.
            name: its name; of an image its SHA-256.
            who: who asks; None: `auditing.user()`.

        Raises:
            HeldError: a hold forbids it.
            CasebookError: nothing of that name is here; or it is gone from every answer, but not
                yet from the disk, because that is full or another program reads all the time; or
                could not be looked for.
        """
        who = who or self._who or auditing.user()
        with self._casebook.writing() as connection:
            keys = cases_of(connection, kind, name)
            if keys:
                refuse_held(connection, keys)
                gone, marks = plan(connection, keys)
                owners, paths = erase(connection, keys)
                journal.note(connection, [*paths, journal.TRACES], owner=self._owner)
                # Those patients who stay are told that something of theirs went.
                auditing.note(
                    connection,
                    verb="forget",
                    who=who,
                    patients=owners.patients,
                    details={"by": kind, "cases": len(keys), "images": len(gone.images)},
                )
                audit = auditing.head(connection)
        if not keys:
            raise self._nothing_left(kind, name)
        with self._telling_gone(f"{kind} {name}", but="not yet from the disk"):
            self._settle(owner=self._owner)
        with self._telling_gone(f"{kind} {name}", but="could not be looked for"):
            looked, known = self._look(marks), tuple(copies(self._casebook))
        return ForgetReport(
            kind=kind,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            who=who,
            cases=len(gone.cases),
            lesions=len(gone.lesions),
            patients=len(gone.patients),
            images=len(gone.images),
            thumbnails=len(gone.images),
            codes=gone.codes,
            points=gone.points,
            audit_keys=gone.audit_keys,
            looked=looked,
            copies=known,
            audit=audit,
        )

    @contextmanager
    def _telling_gone(self, what: str, *, but: str) -> Iterator[None]:
        """Say, of an error after the rows went for good, that they did."""
        try:
            yield
        except CasebookError as error:
            raise CasebookError(
                f"{what} is gone from every answer, but {but}: {error} "
                f"Then run: dermtwin check --casebook {self._casebook.path.quoted}"
            ) from error

    def _look(self, marks: Marks) -> Looked:
        with told(self._store.database):
            return look(self._casebook.database, self._store, marks)

    def _nothing_left(self, kind: Kind, name: str) -> CasebookError:
        """That there is nothing to forget, told only after looking."""
        is_digest = kind == "image"
        marks = Marks.of(digests=[name]) if is_digest else Marks.of(names=[name])
        looked = self._look(marks)
        also = "".join(
            f" It is part of {count:,} values in {at}." for at, count in looked.elsewhere.items()
        )
        return CasebookError(
            f"the casebook {self._casebook.path} holds no {kind} {name}; nothing was forgotten. "
            f"{_found(looked, marks)}{also}"
        )

    def _place_all(
        self,
        connection: Connection,
        rows: Sequence[tuple[Case, NewImage]],
        *,
        encoder: EncoderRecord,
    ) -> list[Placed]:
        placed = bulk.place_all(connection, rows, encoder=encoder)
        named = {
            path
            for each, (_, image) in zip(placed, rows, strict=True)
            if each.outcome is not Outcome.REFUSED
            for path in image.files()
        }
        for path in sorted(named):
            journal.strike_out(connection, path, owner=self._owner)
        if added := [each for each in placed if each.outcome is Outcome.ADDED]:
            auditing.note(
                connection,
                verb="add",
                who=self._who,
                subjects=[name for each in added for name in each.subjects],
                encoder=encoder.id,
                details={"cases": len(added)},
            )
        return placed

    def _is_written(self, image: NewImage) -> bool:
        return all(self._store.exists(path) for path in image.files())

    def _refuse_unless_current(self, connection: Connection, encoder: EncoderRecord) -> None:
        current = records.current_encoder(connection)
        if current is None or current.id != encoder.id:
            raise CasebookError(
                f"the casebook {self._casebook.path} was given another encoder meanwhile; "
                "run the same again."
            )

    def _write(self, path: str, data: bytes) -> None:
        with self._casebook.writing() as connection:
            journal.note(connection, [path], owner=self._owner)
        with told(self._store.database):
            self._store.write(path, data, owner=self._owner)

    def _settle(self, *, owner: str | None) -> None:
        with told(self._store.database):
            journal.settle(self._casebook.database, self._store, owner=owner)
            journal.remove_traces(self._casebook.database, owner=owner)


def _found(looked: Looked, marks: Marks) -> str:
    """What came of the look for a name, in a sentence."""
    if not marks.all:
        return "Its name is too short to be looked for in bytes."
    if looked.left:
        return f"But its name stands in {', '.join(looked.left)}; look at that by hand."
    if looked.unread:
        return f"But {', '.join(looked.unread)} could not be read; look there by hand."
    return (
        f"Nothing left of it: its name was looked for in {looked.files:,} files' names and "
        f"{looked.bytes:,} bytes."
    )


def other_encoder(casebook: Casebook, has: EncoderRecord, *, given: EncoderRecord) -> CasebookError:
    """The refusal to compare codes of two encoders."""
    return CasebookError(
        f"the casebook {casebook.path} holds codes by the encoder {has.label}, not by "
        f"{given.label}; codes of two encoders cannot be compared. Leave the encoder out, or make "
        "another casebook."
    )
