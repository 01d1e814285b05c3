"""`dermtwin forget`: a patient, a lesion, a case or an image, gone."""

import json
import re
from pathlib import Path

from dermtwin.casebook import Casebook, ForgetPlan, ForgetReport, Kind, Writer
from dermtwin.casebook.forgetting import cases_of, plan
from dermtwin.errors import CasebookError, DermtwinError, ImageError, SettingsError
from dermtwin.files import replacing
from dermtwin.images import digest, read_file

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class UnwrittenReceiptError(CasebookError):
    """All was done as asked, but the receipt's file could not be written.

    Attributes:
        report: the receipt.
    """

    def __init__(self, report: ForgetReport, *, why: DermtwinError) -> None:
        super().__init__(f"it is forgotten, but its receipt is kept nowhere: copy that. {why}")
        self.report = report


def forget(
    *,
    casebook: str | Path,
    patient: str | None = None,
    lesion: str | None = None,
    case: str | None = None,
    image: str | Path | None = None,
    dry_run: bool = False,
    receipt: str | Path | None = None,
    who: str | None = None,
) -> ForgetReport | ForgetPlan:
    """Erase cases from rows, codes, files and every later answer; then look whether all is gone.

    A patient's lesions go with all their images. An image file that another case shares stays.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        patient: erase everything of this patient.
        lesion: erase every case of this lesion.
        case: erase the one case of this isic_id.
        image: erase all cases that show this image: its file, or its SHA-256.
        dry_run: only tell what would go, by name; nothing is changed.
        receipt: write the receipt here too, as JSON; it names nobody.
        who: who asks, for the audit log; None: the operating system's user.

    Returns:
        The receipt, written after looking; what would go, with `dry_run`.

    Raises:
        SettingsError: not exactly one of patient, lesion, case and image; or both `dry_run` and
            `receipt`.
        ImageError: `image` is neither a readable file nor a SHA-256.
        HeldError: a hold forbids it.
        CasebookError: nothing of that name is there, or the casebook cannot be written.
        UnwrittenReceiptError: it is forgotten, but `receipt` could not be written after all.
        DermtwinError: `receipt` can never be written; nothing is forgotten.
    """
    asked: dict[Kind, str | Path | None] = {
        "patient": patient,
        "lesion": lesion,
        "case": case,
        "image": image,
    }
    named = [(kind, given) for kind, given in asked.items() if given is not None]
    if len(named) != 1:
        raise SettingsError("name exactly one of patient, lesion, case and image to forget.")
    if dry_run and receipt is not None:
        raise SettingsError(
            "a dry run changes nothing and gives no receipt; leave one of them out."
        )
    ((kind, given),) = named
    name = _sha256_of(given) if kind == "image" else str(given)
    with Casebook.open(casebook) as opened:
        if dry_run:
            return _plan(opened, kind, name)
        if receipt is None:
            return _forget(opened, kind, name, who=who)
        return _forget_with_receipt(opened, kind, name, who=who, path=Path(receipt))


def _forget(casebook: Casebook, kind: Kind, name: str, *, who: str | None) -> ForgetReport:
    with Writer(casebook) as writer:
        return writer.forget(kind, name, who=who)


def _forget_with_receipt(
    casebook: Casebook, kind: Kind, name: str, *, who: str | None, path: Path
) -> ForgetReport:
    report = None
    try:
        # The receipt's place is tried before anything is erased.
        with replacing(path) as temporary:
            report = _forget(casebook, kind, name, who=who)
            told = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
            temporary.write_text(f"{told}\n", encoding="utf-8")
    except DermtwinError as error:
        if report is None:
            raise
        raise UnwrittenReceiptError(report, why=error) from error
    return report


def _plan(casebook: Casebook, kind: Kind, name: str) -> ForgetPlan:
    with casebook.reading() as connection:
        keys = cases_of(connection, kind, name)
        if not keys:
            raise CasebookError(f"the casebook {casebook.path} holds no {kind} {name}.")
        wanted, _ = plan(connection, keys)
    return wanted


def _sha256_of(given: str | Path) -> str:
    if _SHA256.fullmatch(str(given)):
        return str(given).lower()
    try:
        return digest(read_file(Path(given)))
    except ImageError as error:
        raise ImageError(
            f"{error} An image to forget is named by its file or its SHA-256, a case by --case."
        ) from error
