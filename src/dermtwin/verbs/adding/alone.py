"""One case, from the bytes of its image, into a casebook that is open."""

from dataclasses import dataclass
from pathlib import Path

from dermtwin.casebook import Casebook, Outcome, Writer
from dermtwin.datasets import Row
from dermtwin.encoders import Encoder
from dermtwin.verbs.adding import OnDuplicate
from dermtwin.verbs.adding.pictures import make_ready_of
from dermtwin.verbs.adding.work import Work
from dermtwin.vocabulary import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedAlone:
    """What became of a case.

    Attributes:
        outcome: whether it was added, was there, or was refused.
        remarks: what was noticed, or why it was refused, in sentences.
    """

    outcome: Outcome
    remarks: tuple[str, ...]


def add_alone(
    casebook: Casebook,
    case: Case,
    data: bytes,
    *,
    encoder: Encoder,
    name: str,
    on_duplicate: OnDuplicate = OnDuplicate.REPORT,
    who: str | None = None,
) -> AddedAlone:
    """Put one case in; it is in for good when this returns.

    Args:
        casebook: where to; it has an encoder.
        case: the case.
        data: its image file's bytes, kept as they are.
        encoder: the casebook's encoder.
        name: what to call the image in sentences.
        on_duplicate: as in `dermtwin.add`.
        who: who adds it, for the audit log.

    Raises:
        ImageError: the bytes are no picture that dermtwin accepts.
        CasebookError: the casebook has another encoder meanwhile, or cannot be written.
    """
    record, _ = casebook.encoder_data()
    row = Row(case, Path(name), 0)
    known = casebook.records([case.isic_id]).get(case.isic_id)
    ready = make_ready_of(row, data, known, encoder=encoder)
    with Writer(casebook, who=who) as writer:
        work = Work(casebook, writer, encoder, record, update=False, on_duplicate=on_duplicate)
        work.commit([ready], table=row.image)
    refused = bool(work.faults) or bool(work.skipped)
    outcome = Outcome.REFUSED if refused else next(iter(work.outcomes))
    said = (*(fault.message for fault in work.faults), *work.warnings)
    return AddedAlone(
        outcome=outcome, remarks=tuple(each.removeprefix(f"{row.image}:0: ") for each in said)
    )
