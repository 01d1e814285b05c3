"""The one door for changes: cases in, encoder in, cases out."""

import secrets
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, insert

from dermtwin.casebook import journal, records
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.database import told
from dermtwin.casebook.forgetting import ForgetReport, Kind, cases_of, erase
from dermtwin.casebook.placing import NewImage, Outcome, Placed, alter, place
from dermtwin.casebook.records import EncoderRecord
from dermtwin.casebook.schema import ENCODERS
from dermtwin.casebook.store import IMAGES, WriterLock, encoder_path, image_path
from dermtwin.errors import CasebookError
from dermtwin.vocabulary import Case


class Writer:
    """Someone who changes a casebook; several may at once, in several processes.

    Used as a context. Entering settles what a writer that was cut short left behind, if nobody else
    writes; leaving settles what this one began and did not finish. Only `write_image` may be called
    from other threads. Every method raises CasebookError where the casebook cannot be written.
    """

    def __init__(self, casebook: Casebook) -> None:
        self._casebook = casebook
        self._store = casebook.store
        self._owner = secrets.token_hex(8)
        self._awaited: Counter[str] = Counter()

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

    def expect(self, paths: Iterable[str]) -> None:
        """Announce image files that are going to be written; nothing may be written before."""
        paths = list(paths)
        with self._casebook.writing() as connection:
            journal.note(connection, paths, owner=self._owner)
        self._awaited.update(paths)

    def write_image(self, image: NewImage) -> None:
        """Write an image's file, announced before; it is on the disk when this returns."""
        with told(self._store.database):
            self._store.write(_path_of(image), image.data, owner=self._owner)

    def place(self, case: Case, *, image: NewImage, encoder: EncoderRecord) -> Placed:
        """Put a case in whose image was written; it is there for good when this returns."""
        path = _path_of(image)
        while True:
            with self._casebook.writing() as connection:
                # Files vanish only within such a transaction: one seen here stays.
                if is_written := self._store.exists(path):
                    placed = place(connection, case, image=image, encoder=encoder)
                    self._strike_out_if_last(connection, path, placed)
            if is_written:
                self._awaited[path] -= 1
                return placed
            # Somebody forgot the same image meanwhile: once more from the start.
            self._write(path, image.data)

    def alter(self, case: Case, *, sha256: str) -> Placed:
        """Give a case that is there new values; altered for good when this returns."""
        with self._casebook.writing() as connection:
            return alter(connection, case, sha256=sha256)

    def forget(self, kind: Kind, name: str) -> ForgetReport:
        """Erase the cases of a patient or lesion, or one case, from rows, codes and files.

        Raises:
            CasebookError: nothing of that name is here; or it is gone from every answer, but not
                yet from the disk, because that is full or another program reads all the time.
        """
        with self._casebook.writing() as connection:
            keys = cases_of(connection, kind, name)
            if not keys:
                raise CasebookError(
                    f"the casebook {self._casebook.path} holds no {kind} {name}; "
                    "nothing was forgotten."
                )
            report, paths = erase(connection, keys)
            journal.note(connection, [*paths, journal.TRACES], owner=self._owner)
        try:
            self._settle(owner=self._owner)
        except CasebookError as error:
            raise CasebookError(
                f"{kind} {name} is gone from every answer, but not yet from the disk: {error} "
                f"Then run: dermtwin check --casebook {self._casebook.path}"
            ) from error
        return report

    def _strike_out_if_last(self, connection: Connection, path: str, placed: Placed) -> None:
        """A row names the file now; but another row of ours may be about to write it too."""
        if placed.outcome is not Outcome.REFUSED and self._awaited[path] <= 1:
            journal.strike_out(connection, path, owner=self._owner)

    def _write(self, path: str, data: bytes) -> None:
        self.expect([path])
        self._awaited[path] -= 1
        with told(self._store.database):
            self._store.write(path, data, owner=self._owner)

    def _settle(self, *, owner: str | None) -> None:
        with told(self._store.database):
            journal.settle(self._casebook.database, self._store, owner=owner)
            journal.remove_traces(self._casebook.database, owner=owner)


def other_encoder(casebook: Casebook, has: EncoderRecord, *, given: EncoderRecord) -> CasebookError:
    """The refusal to compare codes of two encoders."""
    return CasebookError(
        f"the casebook {casebook.path} holds codes by the encoder {has.label}, not by "
        f"{given.label}; codes of two encoders cannot be compared. Leave the encoder out, or make "
        "another casebook."
    )


def _path_of(image: NewImage) -> str:
    return image_path(image.sha256, format=image.header.format)
