"""A casebook, opened: what it holds, and what changed in it."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, func, select

from dermtwin.casebook import binding, reading, records
from dermtwin.casebook.binding import IDENTITY_FILE
from dermtwin.casebook.database import Database, make_database, open_database, told
from dermtwin.casebook.location import Location
from dermtwin.casebook.migrations import applied, migrate, pending
from dermtwin.casebook.records import EncoderRecord, Record
from dermtwin.casebook.schema import CASES, CODES, IMAGES, LESIONS, PATIENTS
from dermtwin.casebook.store import (
    ENCODERS,
    THUMBNAILS,
    Store,
    encoder_path,
    image_path,
    making,
)
from dermtwin.casebook.store import IMAGES as IMAGE_FOLDER
from dermtwin.errors import CasebookError
from dermtwin.gallery import Exclusion, Gallery
from dermtwin.images import digest


class EncoderChangedError(CasebookError):
    """The casebook's codes are by another encoder now: open that, and read them all again."""


class NoSuchCaseError(CasebookError):
    """A case that the casebook does not hold, or no longer."""


class Casebook:
    """The record of cases, with its files; open one with `Casebook.open`, and close it.

    Threads may share it. Every method raises CasebookError where the record or a file cannot be
    read.
    """

    def __init__(self, store: Store, database: Database) -> None:
        self.store = store
        self.database = database

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open an existing casebook; an older one is brought to the present shape.

        Args:
            path: its folder, or `postgresql://USER@HOST/DATABASE?images=FOLDER`.

        Raises:
            CasebookError: there is none, it is newer than this program, or it cannot be read.
        """
        where = Location.of(path)
        if where.url is None and not where.file.is_file():
            raise _no_casebook(where)
        with told(where):
            casebook = cls(Store(where), open_database(where))
            try:
                casebook._bring_up_to_date()
            except BaseException:
                casebook.close()
                raise
        return casebook

    @classmethod
    def open_or_make(cls, path: str | Path) -> Self:
        """Open a casebook; make an empty one where there is none.

        Raises:
            CasebookError: see `open`; or the folder holds other things, or cannot be written.
        """
        where = Location.of(path)
        store = Store(where)
        with told(where):
            where.folder.mkdir(parents=True, exist_ok=True)
            _refuse_other_folders(where)
            with making(where.folder):
                store.make()
                make_database(where)
                casebook = cls(store, open_database(where))
                try:
                    casebook._apply_steps()
                except BaseException:
                    casebook.close()
                    raise
        return casebook

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Location:
        """Where it lies; as text, what people are told and may type: without a password."""
        return self.store.database

    def close(self) -> None:
        """Close it; what was read stays valid."""
        with suppress(OSError):
            self.database.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment of the record, however many statements ask it."""
        with told(self.store.database), self.database.reading.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that holds the only right to write."""
        with told(self.store.database), self.database.writing.begin() as connection:
            yield connection

    def version(self) -> int:
        """The number of the last change; 0 before the first."""
        with self.reading() as connection:
            return records.version(connection)

    def encoder(self) -> EncoderRecord | None:
        """The encoder whose codes are searched; None before the first `add`."""
        with self.reading() as connection:
            return records.current_encoder(connection)

    def encoder_data(self) -> tuple[EncoderRecord, bytes]:
        """The current encoder with its file, from the casebook's own copy.

        Raises:
            CasebookError: there is none yet, or its file is missing or was altered.
        """
        encoder = self.encoder()
        if encoder is None:
            raise CasebookError(
                f"the casebook {self.path} holds no case and no encoder yet; run: "
                f"dermtwin add DATASET --casebook {self.path.quoted}"
            )
        return encoder, self._checked_file(encoder_path(encoder.id), encoder.id)

    def records(self, isic_ids: Collection[str]) -> dict[str, Record]:
        """The cases of these names, those that are there."""
        if not isic_ids:
            return {}
        with self.reading() as connection:
            return records.records(connection, isic_ids)

    def all_records(self) -> list[Record]:
        """Every case as of one moment, in the order of their keys."""
        with self.reading() as connection:
            return records.all_records(connection)

    def records_of_image(self, sha256: str) -> list[Record]:
        """The cases of an image, by name; identical files may belong to several."""
        with self.reading() as connection:
            return records.records_of_image(connection, sha256)

    def image(self, isic_id: str) -> bytes:
        """The image file of a case.

        Raises:
            CasebookError: no such case, or its file is missing or was altered.
        """
        record = self.records([isic_id]).get(isic_id)
        if record is None:
            raise NoSuchCaseError(f"the casebook {self.path} holds no case {isic_id}.")
        return self.image_of(record)

    def image_of(self, record: Record) -> bytes:
        """The image file of a case whose record was read; see `image`."""
        path = image_path(record.sha256, format=record.format)
        return self._checked_file(path, record.sha256)

    def kin(
        self,
        isic_ids: Collection[str],
        *,
        lesion_id: str | None = None,
        patient_id: str | None = None,
    ) -> Exclusion:
        """What belongs to one person with a picture, as far as this casebook can tell.

        Args:
            isic_ids: cases here that show the same picture.
            lesion_id: the picture's lesion, where known.
            patient_id: its patient, where known.
        """
        if not isic_ids and lesion_id is None and patient_id is None:
            return Exclusion()
        with self.reading() as connection:
            return records.kin(
                connection, isic_ids=isic_ids, lesion_id=lesion_id, patient_id=patient_id
            )

    def refreshed(self, gallery: Gallery, *, encoder_id: str | None = None) -> Gallery:
        """The gallery, brought to what is committed by now, by the current encoder.

        Args:
            gallery: one that was filled from here, or an empty one.
            encoder_id: by which encoder the codes must be; None: by whichever is current.

        Returns:
            The same one, changed in one step; a new one where it was empty, or where another
            record lies here now.

        Raises:
            EncoderChangedError: the current encoder is another.
        """
        since, dimension = gallery.version, gallery.dimension
        with self.reading() as connection:
            version = records.version(connection)
            encoder = records.current_encoder(connection)
            if encoder_id is not None and encoder is not None and encoder.id != encoder_id:
                raise EncoderChangedError(
                    f"the casebook {self.path} has another encoder now: {encoder.label}; ask again."
                )
            if since == version:
                return gallery
            # A smaller number than was seen before: another record lies here now.
            if since == 0 or version < since or encoder is None:
                return _filled(connection, encoder=encoder, dimension=dimension, version=version)
            keys = records.changed_keys(connection, since=since)
            entries = reading.entries(connection, encoder=encoder, dimension=dimension, keys=keys)
        gone = set(keys) - set(entries.keys.tolist())
        gallery.apply(entries, removed=gone, version=version)
        return gallery

    def counts(self) -> dict[str, int]:
        """How many cases, lesions, patients, images and codes it holds, and the images' bytes."""
        tables = {
            "cases": CASES,
            "lesions": LESIONS,
            "patients": PATIENTS,
            "images": IMAGES,
            "codes": CODES,
        }
        with self.reading() as connection:
            counts = {
                name: connection.scalar(select(func.count()).select_from(table)) or 0
                for name, table in tables.items()
            }
            total = connection.scalar(select(func.coalesce(func.sum(IMAGES.c.bytes), 0)))
        return counts | {"image_bytes": total or 0}

    def _checked_file(self, relative: str, sha256: str) -> bytes:
        path = self.store.path(relative)
        try:
            data = path.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CasebookError(
                f"{path}, a file of the casebook, cannot be read: {reason}; "
                "dermtwin check tells what else is missing."
            ) from error
        if digest(data) != sha256:
            raise CasebookError(
                f"{path}, a file of the casebook, was altered; take it from a backup."
            )
        return data

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            steps = pending(connection, where=str(self.path))
            if not applied(connection):
                raise _no_casebook(self.path)
            if not steps and self.path.url is not None:
                binding.refuse_foreign(connection, self.store)
        if steps:
            with making(self.store.folder):
                self._apply_steps()

    def _apply_steps(self) -> None:
        # Another process may have been faster; then nothing is left to apply.
        list(migrate(self.database.writing, where=str(self.path)))
        if self.path.url is not None:
            with self.reading() as connection:
                binding.bind(connection, self.store)


def _refuse_other_folders(where: Location) -> None:
    mark = where.file if where.url is None else where.folder / IDENTITY_FILE
    if mark.exists():
        return
    # What was begun and cut short has its folders, and nothing in them yet.
    ours = {IMAGE_FOLDER, THUMBNAILS, ENCODERS}
    others = [each.name for each in where.folder.iterdir() if each.name not in ours]
    if others := sorted([*others, *Store(where).files()]):
        raise CasebookError(
            f"{where.folder} is no casebook and is not empty (it holds {others[0]}); "
            "name a new folder."
        )


def _no_casebook(where: Location) -> CasebookError:
    return CasebookError(
        f"there is no casebook at {where}; name another place, or make one with: "
        f"dermtwin add DATASET --casebook {where.quoted}"
    )


def _filled(
    connection: Connection, *, encoder: EncoderRecord | None, dimension: int, version: int
) -> Gallery:
    """A new gallery of all that is committed; None: there is no encoder yet, and so no code."""
    gallery = Gallery(dimension=dimension)
    if encoder is not None:
        parts = reading.all_entries(connection, encoder=encoder, dimension=dimension)
        with closing(parts):
            for part in parts:
                gallery.apply(part, version=0)  # nobody else sees it before all are in
    gallery.apply(version=version)
    return gallery
