"""DICOM files for tests, each with a patient whom nobody may learn of."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermtwin.images import DERMOSCOPIC

SECRETS = ("Meier^Hans", "PID-4711", "19560708", "20240305", "1.2.826.0.1.3680043.8.498.77")
"""Name, id, birth date, study date, UID."""


def dicom_file(
    path: Path,
    *,
    pixels: np.ndarray | bytes | None,
    photometric: str = "RGB",
    syntax: str = "1.2.840.10008.1.2.1",
    kind: str = DERMOSCOPIC,
    **fields: Any,
) -> Path:
    """A DICOM file with a patient; `pixels`: an array, or the bytes of a compressed frame."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, SECRETS[4]
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = SECRETS[:3]
    dataset.StudyDate = SECRETS[3]
    dataset.PhotometricInterpretation = photometric
    dataset.SamplesPerPixel = 1 if photometric == "MONOCHROME2" else 3
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if isinstance(pixels, bytes):
        with Image.open(io.BytesIO(pixels)) as picture:
            dataset.Columns, dataset.Rows = picture.size
        dataset.PixelData = encapsulate([pixels])
        dataset["PixelData"].is_undefined_length = True
    elif pixels is not None:
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def jpeg(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=92, **options)
    return file.getvalue()
