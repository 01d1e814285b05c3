"""`dermtwin add`: the cases of a dataset into a casebook."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dermtwin.casebook import (
    Casebook,
    EncoderRecord,
    NewImage,
    Outcome,
    Placed,
    Record,
    Writer,
    compare,
    image_path,
)
from dermtwin.consultation import OUTPUT
from dermtwin.datasets import Dataset, Fault, FaultKind, Row, read_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import ImageError
from dermtwin.images import Header, digest, read_file, read_header
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import BASE_ENCODER

# Rows that are announced to the casebook at once, before their files are written.
_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """What became of a dataset's rows.

    Attributes:
        added: cases that are new in the casebook.
        already_there: cases that were in it with the same image and values.
        updated: cases that were given new values.
        differing: cases that were in it with other values and stayed as they are.
        faults: rows that did not go in, with their lines.
        warnings: what was noticed and kept: each of the differing cases, and each picture that was
            added without its lesion being found.
        encoder: name and beginning of the id of the casebook's encoder.
    """

    added: int
    already_there: int
    updated: int
    differing: int
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]
    encoder: str

    def __str__(self) -> str:
        parts = [f"{self.added:,} added", f"{self.already_there:,} already there"]
        further = {
            "updated": self.updated,
            "there with other values": self.differing,
            "left out": len(self.faults),
        }
        parts += [f"{count:,} {words}" for words, count in further.items() if count]
        return f"cases: {', '.join(parts)}; codes by {self.encoder}."


def add(
    dataset: str | Path | Dataset,
    *,
    casebook: str | Path,
    encoder: str | Path | None = None,
    update: bool = False,
    track: Track = untracked,
) -> AddReport:
    """Add the cases of a dataset to a casebook; adding twice changes nothing.

    A case is in for good once the next one is begun; interrupted at any moment and called again,
    it goes on where it stopped. A row that cannot be used is told, and the rest goes in.

    Args:
        dataset: its folder or table, or the dataset as it was read.
        casebook: the casebook's folder; made where there is none.
        encoder: the encoder file, which the casebook remembers; unless given, the casebook's own,
            and for a new casebook the one that comes with dermtwin.
        update: give cases that are there with other values the dataset's values.
        track: looks on while rows go by.

    Raises:
        DatasetError: there is no dataset, or none of its rows can be used.
        EncoderError: the encoder file is none, or has no output `code`.
        CasebookError: the casebook has another encoder, cannot be written, or the disk is full;
            what was added until then stays.
    """
    rows = dataset if isinstance(dataset, Dataset) else read_dataset(dataset)
    given = None if encoder is None else Encoder.open(encoder)
    if given is not None:
        given.check_output(OUTPUT)
    with Casebook.open_or_make(casebook) as opened, Writer(opened) as writer:
        used, record = _encoder_of(opened, writer, given)
        work = _Work(opened, writer, used, record, update=update)
        with closing(work.prepared(rows.rows)) as prepared:
            for each in track(prepared, label="add", total=len(rows)):
                work.take(each, table=rows.table)
    return work.report(rows)


@dataclass(frozen=True, slots=True)
class _Read:
    """A row whose file was read once.

    Attributes:
        known: the case of its name that is in the casebook.
        error: why the row cannot be used.
    """

    row: Row
    sha256: str = ""
    header: Header | None = None
    known: Record | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A row ready to be put in: its image written, its code made; or why not."""

    row: Row
    sha256: str
    image: NewImage | None = None
    known: Record | None = None
    error: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """One run of `add`."""

    casebook: Casebook
    writer: Writer
    encoder: Encoder
    record: EncoderRecord
    update: bool = field(kw_only=True)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def prepared(self, rows: Sequence[Row]) -> Generator[_Prepared, None, None]:
        """Read, encode and write on threads; everything else happens on the caller's."""
        work = partial(_prepare, encoder=self.encoder, writer=self.writer)
        yield from in_order(work, self._read(rows))

    def take(self, prepared: _Prepared, *, table: Path) -> None:
        """Put a row in and note what became of it."""
        row = prepared.row
        if prepared.error:
            self.faults.append(Fault(FaultKind.BROKEN, table, row.line, prepared.error))
            return
        placed = self._place(prepared)
        self.outcomes[placed.outcome] += 1
        if placed.outcome is Outcome.REFUSED:
            self.faults.append(Fault(FaultKind.CONTRADICTS, table, row.line, placed.message))
        elif placed.outcome is Outcome.DIFFERS:
            self.warnings.append(f"{table}:{row.line}: {placed.message}")
        elif placed.outcome is Outcome.ADDED and prepared.remarks:
            name = row.case.isic_id
            said = " ".join(prepared.remarks)
            self.warnings.append(f"{table}:{row.line}: {name}: {said}")

    def report(self, dataset: Dataset) -> AddReport:
        """All that was noted."""
        return AddReport(
            added=self.outcomes[Outcome.ADDED],
            already_there=self.outcomes[Outcome.ALREADY_THERE],
            updated=self.outcomes[Outcome.UPDATED],
            differing=self.outcomes[Outcome.DIFFERS],
            faults=(*dataset.faults, *self.faults),
            warnings=(*dataset.warnings, *self.warnings),
            encoder=self.record.label,
        )

    def _place(self, prepared: _Prepared) -> Placed:
        case = prepared.row.case
        if prepared.known is not None:
            placed = compare(case, sha256=prepared.sha256, there=prepared.known)
        else:
            assert prepared.image is not None
            placed = self.writer.place(case, image=prepared.image, encoder=self.record)
        if placed.outcome is Outcome.DIFFERS and self.update:
            return self.writer.alter(case, sha256=prepared.sha256)
        return placed

    def _read(self, rows: Sequence[Row]) -> Iterator[_Read]:
        """Read files a first time, and announce those that are going to be written."""
        for start in range(0, len(rows), _CHUNK):
            read = list(in_order(_read_row, rows[start : start + _CHUNK]))
            known = self.casebook.records([each.row.case.isic_id for each in read])
            joined = [_with_known(each, known) for each in read]
            self.writer.expect(
                image_path(each.sha256, format=each.header.format)
                for each in joined
                if each.header is not None and each.known is None
            )
            yield from joined


def _encoder_of(
    casebook: Casebook, writer: Writer, given: Encoder | None
) -> tuple[Encoder, EncoderRecord]:
    """The encoder that was given, the casebook's own, or the one that comes with dermtwin."""
    if given is None and casebook.encoder() is not None:
        record, data = casebook.encoder_data()
        return Encoder(data, name=f"the encoder {record.label} of {casebook.path}"), record
    given = given or Encoder.open(BASE_ENCODER)
    record = writer.keep_encoder(encoder_id=given.id, card=given.card.to_json(), data=given.data)
    return given, record


def _read_row(row: Row) -> _Read:
    try:
        data = read_file(row.image)
        return _Read(row, digest(data), read_header(data, name=str(row.image)))
    except ImageError as error:
        return _Read(row, error=str(error))


def _with_known(read: _Read, known: dict[str, Record]) -> _Read:
    return _Read(read.row, read.sha256, read.header, known.get(read.row.case.isic_id), read.error)


def _prepare(read: _Read, *, encoder: Encoder, writer: Writer) -> _Prepared:
    if read.error or read.known is not None:
        return _Prepared(read.row, read.sha256, known=read.known, error=read.error)
    try:
        image, remarks = _encode(read, encoder=encoder)
    except ImageError as error:
        return _Prepared(read.row, read.sha256, error=str(error))
    writer.write_image(image)
    return _Prepared(read.row, read.sha256, image, remarks=remarks)


def _encode(read: _Read, *, encoder: Encoder) -> tuple[NewImage, tuple[str, ...]]:
    """A row's image with its code; and, where its lesion was not found, what is said of it."""
    # Read again rather than kept: a chunk of large images would fill the memory.
    data, name = read_file(read.row.image), str(read.row.image)
    if digest(data) != read.sha256 or read.header is None:
        raise ImageError(f"{name} was altered while it was being added; add it again.")
    look = encoder.look(data, name=name)
    vector = encoder.encode_views(look.view[None]).vectors(OUTPUT)[0]
    image = NewImage(data=data, sha256=read.sha256, header=read.header, vector=vector)
    lost = look.findings is not None and look.findings.lesion is None
    return image, look.remarks if lost else ()
