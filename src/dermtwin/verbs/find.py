"""`dermtwin find`: a picture in, its nearest cases out."""

from collections.abc import Iterable
from pathlib import Path

from dermtwin.casebook import Casebook, EncoderRecord, KeyName, kept_key, other_encoder
from dermtwin.consultation import Answer, Consultation
from dermtwin.datasets import describe_dicom, is_dicom
from dermtwin.encoders import Encoder
from dermtwin.gallery import parse_where
from dermtwin.images import read_file


def find(
    image: str | Path,
    *,
    casebook: str | Path,
    k: int = 10,
    where: Iterable[str] = (),
    every_image: bool = False,
    encoder: str | Path | None = None,
    lesion_id: str | None = None,
    patient_id: str | None = None,
) -> Answer:
    """Find the nearest cases of a picture; its own image, lesion and patient are left out.

    Args:
        image: the image file.
        casebook: the casebook's folder.
        k: how many cases are wanted.
        where: conditions that a case must meet, such as `sex=female` or `age_approx=40..60`; see
            `dermtwin.gallery.filters`.
        every_image: show each image of a lesion, not its nearest alone.
        encoder: refuse unless the casebook's codes are by this encoder.
        lesion_id: the picture's lesion, where known.
        patient_id: the picture's patient, where known; a DICOM file names its own.

    Raises:
        SettingsError: a condition is not understood, or k is below 1.
        CasebookError: there is no casebook, it cannot be read, or has another encoder.
        ImageError: the file is no picture that dermtwin accepts.
    """
    conditions = parse_where(where)
    with Casebook.open(casebook) as opened:
        if encoder is not None:
            _refuse_other(opened, Encoder.open(encoder))
        return Consultation(opened).ask(
            read_file(Path(image)),
            name=str(image),
            k=k,
            filter=conditions,
            every_image=every_image,
            lesion_id=lesion_id,
            patient_id=patient_id or _patient_of(Path(image), opened),
        )


def _patient_of(image: Path, casebook: Casebook) -> str | None:
    """The name that a DICOM file's patient has in a casebook that holds such files."""
    key = kept_key(casebook, KeyName.PSEUDONYMS) if is_dicom(image) else None
    return None if key is None else describe_dicom(image, key=key).get("patient_id")


def _refuse_other(casebook: Casebook, encoder: Encoder) -> None:
    current = casebook.encoder()
    if current is not None and current.id != encoder.id:
        given = EncoderRecord(0, encoder.id, encoder.card.name)
        raise other_encoder(casebook, current, given=given)
