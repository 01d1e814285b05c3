"""What a DICOM file says of its picture, in the words of a table; nobody's name, and no dates."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dermtwin.datasets.folder import list_files
from dermtwin.images import DERMOSCOPIC, read_dicom_header

if TYPE_CHECKING:
    from pydicom import Dataset

# Columns that are named like the header's fields, as they stand there.
_KEPT = {
    "manufacturer": "Manufacturer",
    "manufacturer_model": "ManufacturerModelName",
    "contact_method": "ContactMethod",
    "light_source_polarization": "LightSourcePolarization",
    "immersion_media": "ImmersionMedia",
}
_SEXES = {"F": "female", "M": "male"}
_TYPES = {
    ("CONTACT", "POLARIZED"): "contact polarized",
    ("CONTACT", "NON_POLARIZED"): "contact non-polarized",
    ("NON_CONTACT", "POLARIZED"): "non-contact polarized",
}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
# The archive rounds ages to five years and tells none above 85 apart.
_STEP, _OLDEST = 5, 85
_AGE_DIGITS = 3  # as the standard has them; more are a broken file


def is_dicom(path: Path) -> bool:
    """Whether a file is named like a DICOM file."""
    return path.suffix.lower() == ".dcm"


def list_dicom(folder: Path) -> list[Path]:
    """The DICOM files in a folder and below it, in order; hidden ones are passed over."""
    return [path for path in list_files(folder) if is_dicom(path)]


def pseudonym(word: str, *, key: bytes, kind: str) -> str:
    """A name that stands for another and cannot be traced back without the key.

    Args:
        word: a name that tells who somebody is.
        key: whoever has it can try names, so it stays with the casebook or with its owner.
        kind: `patient` or `image`: equal words of two kinds get two names.

    Returns:
        The first 64 bits of HMAC-SHA256(key, kind and word), in hexadecimal.
    """
    return hmac.new(key, f"{kind}\n{word}".encode(), hashlib.sha256).hexdigest()[:16]


def describe_dicom(path: Path, *, key: bytes) -> Mapping[str, str]:
    """The columns that a DICOM file fills: name, patient, sex, age, site, device, how it was taken.

    Args:
        path: the file.
        key: what `patient_id` and `isic_id` are made with; see `pseudonym`.

    Raises:
        ImageError: it cannot be read, or is no DICOM file of one photograph.
        MissingExtraError: the extra `dicom` is not installed.
    """
    header = read_dicom_header(path)
    said = {name: _text(header, word) for name, word in _KEPT.items()}
    seen_by = (said["contact_method"], said["light_source_polarization"])
    is_dermoscopic = header.SOPClassUID == DERMOSCOPIC
    columns = said | {
        "isic_id": _name(header, key=key, path=path),
        "patient_id": _patient(header, key=key),
        "sex": _SEXES.get(_text(header, "PatientSex"), ""),
        "age_approx": _age(_text(header, "PatientAge")),
        "localization": _text(header, "BodyPartExamined").lower(),
        "image_type": "dermoscopic" if is_dermoscopic else "",
        "dermoscopic_type": _TYPES.get(seen_by, "") if is_dermoscopic else "",
    }
    return {name: value for name, value in columns.items() if value}


def _name(header: "Dataset", *, key: bytes, path: Path) -> str:
    # Files are often named after the patient, and a UID leads back to the archive it comes from.
    uid = _text(header, "SOPInstanceUID") or path.name
    return f"DICOM_{pseudonym(uid, key=key, kind='image')}"


def _patient(header: "Dataset", *, key: bytes) -> str:
    patient = _text(header, "PatientID")
    if not patient:
        return ""
    # Numbers of two hospitals may be equal.
    word = "\n".join((_text(header, "IssuerOfPatientID"), patient))
    return f"P_{pseudonym(word, key=key, kind='patient')}"


def _age(text: str) -> str:
    """Years as the archive tells them, of an Age String such as `047Y`; empty where unknown."""
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or len(number) > _AGE_DIGITS or unit not in _YEARS:
        return ""
    years = round(int(number) * _YEARS[unit] / _STEP) * _STEP
    return str(min(years, _OLDEST))


def _text(header: "Dataset", word: str) -> str:
    try:
        value = header.get(word)
    except Exception:  # noqa: BLE001 - a field that cannot be parsed is unknown
        return ""
    return "" if value is None else str(value).strip()
