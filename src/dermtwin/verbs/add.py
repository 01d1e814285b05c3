"""`dermtwin add`: the cases of a dataset into a casebook."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dermtwin.casebook import Casebook, EncoderRecord, KeyName, Outcome, Writer, keep_key
from dermtwin.consultation import OUTPUT
from dermtwin.datasets import Dataset, Fault, read_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import SettingsError
from dermtwin.running import Track, untracked
from dermtwin.verbs.adding import OnDuplicate
from dermtwin.verbs.adding.rows import choose, read_rows
from dermtwin.verbs.adding.work import Work
from dermtwin.vocabulary import BASE_ENCODER


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """What became of a dataset's rows.

    Attributes:
        added: cases that are new in the casebook.
        already_there: cases that were in it with the same image and values.
        updated: cases that were given new values.
        differing: cases that were in it with other values and stayed as they are.
        repeating: cases that were added though they show the photograph of another lesion's case.
        skipped: rows that were left out because of that.
        faults: rows that did not go in, with their lines.
        warnings: what was noticed and kept: each of the differing cases and of the repeats, and
            each picture that was added without its lesion being found.
        encoder: name and beginning of the id of the casebook's encoder.
    """

    added: int
    already_there: int
    updated: int
    differing: int
    repeating: int
    skipped: int
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]
    encoder: str

    def __str__(self) -> str:
        parts = [f"{self.added:,} added", f"{self.already_there:,} already there"]
        further = {
            "updated": self.updated,
            "there with other values": self.differing,
            "of them showing another case's photograph": self.repeating,
            "skipped as showing another case's photograph": self.skipped,
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
    on_duplicate: str = OnDuplicate.REPORT,
    pseudonym_key: str | Path | None = None,
    track: Track = untracked,
) -> AddReport:
    """Add the cases of a dataset to a casebook; adding twice changes nothing.

    A case is in for good when it is counted; interrupted at any moment and called again, it goes on
    where it stopped. A row that cannot be used is told, and the rest goes in.

    Args:
        dataset: its folder or table, or the dataset as it was read.
        casebook: the casebook's folder or PostgreSQL URL; made where there is none.
        encoder: the encoder file, which the casebook remembers; unless given, the casebook's own,
            and for a new casebook the one that comes with dermtwin.
        update: give cases that are there with other values the dataset's values.
        on_duplicate: what becomes of a new image that shows the photograph of another lesion's
            case: `report` adds and tells it, `skip` leaves it out and tells it, `refuse` makes its
            row a bad one.
        pseudonym_key: a file whose bytes are the key of the pseudonyms that patients of DICOM
            files are given, which the casebook keeps; unless given, the casebook's own.
        track: looks on while rows are committed.

    Raises:
        DatasetError: there is no dataset, or none of its rows can be used.
        EncoderError: the encoder file is none, or has no output `code`.
        SettingsError: `on_duplicate` is none of the three, or the key cannot be used, or is not
            the casebook's.
        CasebookError: the casebook has another encoder, cannot be written, or the disk is full;
            what was added until then stays.
    """
    chosen = choose(on_duplicate)
    rows, own_key = read_rows(dataset, casebook=casebook, key_file=pseudonym_key)
    given = None if encoder is None else Encoder.open(encoder)
    if given is not None:
        given.check_output(OUTPUT)
    with Casebook.open_or_make(casebook) as opened, Writer(opened) as writer:
        kept = own_key and keep_key(opened, KeyName.PSEUDONYMS, own_key)
        if kept != own_key and pseudonym_key is not None:
            raise SettingsError(
                f"{opened.path} names patients of DICOM files by another key than "
                f"{pseudonym_key}; leave it out, or add to another casebook."
            )
        if kept != own_key and not isinstance(dataset, Dataset):
            # Another process made the casebook meanwhile, with a key of its own.
            rows = read_dataset(dataset, pseudonyms=kept)
        used, record = _encoder_of(opened, writer, given)
        work = Work(opened, writer, used, record, update=update, on_duplicate=chosen)
        with closing(work.committed(rows.rows, table=rows.table)) as committed:
            for _ in track(committed, label="add", total=len(rows)):
                pass
    return _report(rows, work)


def _report(dataset: Dataset, work: Work) -> AddReport:
    return AddReport(
        added=work.outcomes[Outcome.ADDED],
        already_there=work.outcomes[Outcome.ALREADY_THERE],
        updated=work.outcomes[Outcome.UPDATED],
        differing=work.outcomes[Outcome.DIFFERS],
        repeating=work.repeating,
        skipped=work.skipped,
        faults=(*dataset.faults, *work.faults),
        warnings=(*dataset.warnings, *work.warnings),
        encoder=work.record.label,
    )


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
