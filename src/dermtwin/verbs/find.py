"""`dermtwin find`: a picture in, its nearest cases out."""

from collections.abc import Iterable
from pathlib import Path

from dermtwin.casebook import Casebook, EncoderRecord, KeyName, kept_key, other_encoder
from dermtwin.consultation import Answer, Consultation
from dermtwin.datasets import describe_dicom, is_dicom
from dermtwin.encoders import Encoder
from dermtwin.errors import SettingsError
from dermtwin.gallery import parse_where
from dermtwin.images import read_file
from dermtwin.verbs.asking import ServerAnswer, ask_server
from dermtwin.vocabulary import SearchBy


def find(
    image: str | Path,
    *,
    casebook: str | Path | None = None,
    server: str | None = None,
    token: str | None = None,
    k: int = 10,
    where: Iterable[str] = (),
    every_image: bool = False,
    by: str = SearchBy.CODE,
    views: int = 1,
    encoder: str | Path | None = None,
    lesion_id: str | None = None,
    patient_id: str | None = None,
) -> Answer | ServerAnswer:
    """Find the nearest cases of a picture; its own image, lesion and patient are left out.

    Args:
        image: the image file.
        casebook: the casebook's folder or PostgreSQL URL.
        server: a server to ask instead, for example `https://cases.example.org`.
        token: by which the server knows who asks.
        k: how many cases are wanted.
        where: conditions that a case must meet, such as `sex=female` or `age_approx=40..60`; see
            `dermtwin.gallery.filters`.
        every_image: show each image of a lesion, not its nearest alone.
        by: what tells how near a case is: `code`, by the distance of codes; `bits`, by how many of
            the encoder's 64 bits differ, and among equals by the distance of codes.
        views: of the picture: 1, 4 (turned by quarters) or 8 (mirrored too). A case is as near as
            it is to the nearest of them.
        encoder: refuse unless the casebook's codes are by this encoder.
        lesion_id: the picture's lesion, where known.
        patient_id: the picture's patient, where known. A DICOM file names its own to a casebook
            that is looked in here, but not to a server, whose key of pseudonyms is not known here.

    Raises:
        SettingsError: a condition is not understood, k is below 1, `by` is neither, the picture
            cannot be asked in so many views, or there are no bits to search by; or not exactly one
            of casebook and server is named.
        CasebookError: there is no casebook, it cannot be read, or has another encoder.
        ImageError: the file is no picture that dermtwin accepts.
        ServerError: the server cannot be reached, or refuses.
    """
    if server is not None:
        if casebook is not None or encoder is not None:
            raise SettingsError("a server has its own casebook and encoder; leave those out.")
        fields = [("k", str(k)), ("every_image", str(every_image).lower()), ("by", by)]
        fields.append(("views", str(views)))
        fields += [("where", each) for each in where]
        known = {"lesion_id": lesion_id, "patient_id": patient_id}
        fields += [(name, value) for name, value in known.items() if value is not None]
        data = read_file(Path(image))
        return ask_server(server, data, name=Path(image).name, token=token, fields=fields)
    if casebook is None:
        raise SettingsError("name a casebook to look in, or a server to ask.")
    conditions, chosen = parse_where(where), _choose(by)
    with Casebook.open(casebook) as opened:
        if encoder is not None:
            _refuse_other(opened, Encoder.open(encoder))
        return Consultation(opened).ask(
            read_file(Path(image)),
            name=str(image),
            k=k,
            filter=conditions,
            every_image=every_image,
            by=chosen,
            views=views,
            lesion_id=lesion_id,
            patient_id=patient_id or _patient_of(Path(image), opened),
        )


def _choose(by: str) -> SearchBy:
    try:
        return SearchBy(by)
    except ValueError as error:
        known = ", ".join(SearchBy)
        raise SettingsError(f"--by {by} is unknown; choose one of {known}.") from error


def _patient_of(image: Path, casebook: Casebook) -> str | None:
    """The name that a DICOM file's patient has in a casebook that holds such files."""
    key = kept_key(casebook, KeyName.PSEUDONYMS) if is_dicom(image) else None
    return None if key is None else describe_dicom(image, key=key).get("patient_id")


def _refuse_other(casebook: Casebook, encoder: Encoder) -> None:
    current = casebook.encoder()
    if current is not None and current.id != encoder.id:
        given = EncoderRecord(0, encoder.id, encoder.card.name)
        raise other_encoder(casebook, current, given=given)
