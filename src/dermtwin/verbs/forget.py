"""`dermtwin forget`: a patient, a lesion or an image, gone."""

from pathlib import Path

from dermtwin.casebook import Casebook, ForgetReport, Kind, Writer
from dermtwin.errors import SettingsError


def forget(
    *,
    casebook: str | Path,
    patient: str | None = None,
    lesion: str | None = None,
    image: str | None = None,
) -> ForgetReport:
    """Erase cases from rows, codes, files and every later answer.

    A patient's lesions go with all their images. An image file that another case shares stays.

    Args:
        casebook: the casebook's folder.
        patient: erase everything of this patient.
        lesion: erase every image of this lesion.
        image: erase the one case of this isic_id.

    Raises:
        SettingsError: not exactly one of patient, lesion and image.
        CasebookError: nothing of that name is there, or the casebook cannot be written.
    """
    asked: dict[Kind, str | None] = {"patient": patient, "lesion": lesion, "image": image}
    named = [(kind, name) for kind, name in asked.items() if name is not None]
    if len(named) != 1:
        raise SettingsError("name exactly one of patient, lesion and image to forget.")
    ((kind, name),) = named
    with Casebook.open(casebook) as opened, Writer(opened) as writer:
        return writer.forget(kind, name)
