"""DICOM files: the picture comes in as it is, the header stays outside, and bad files are told."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from dicom_files import SECRETS, dicom_file, jpeg
from PIL import Image

from dermtwin.datasets import draw_lesion
from dermtwin.errors import ImageError
from dermtwin.images import (
    DERMOSCOPIC,
    MAX_PIXELS,
    decode,
    read_dicom_header,
    read_file,
    read_header,
)
from dermtwin.images.dicom import picture_in

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")

PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return np.ascontiguousarray(draw_lesion(1).rgb[:151, :203])


def without_marks(data: bytes) -> bytes:
    """A JPEG without its JFIF and Adobe segments: nothing in it tells its colours."""
    place, kept = 2, [data[:2]]
    while data[place + 1] != 0xDA:
        length = 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] not in (0xE0, 0xEE):
            kept.append(data[place : place + length])
        place += length
    return b"".join([*kept, data[place:]])


def planes_first(array) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(2, 0, 1)).reshape(array.shape)


@pytest.mark.parametrize("configuration", [0, 1])
@pytest.mark.parametrize(
    "syntax", [pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian]
)
def test_uncompressed_pixels_come_in_as_they_are(tmp_path, rgb, syntax, configuration) -> None:
    pixels = planes_first(rgb) if configuration else rgb
    path = dicom_file(
        tmp_path / "a.dcm", pixels=pixels, syntax=syntax, PlanarConfiguration=configuration
    )
    data = read_file(path)
    assert read_header(data, name="a").format == "PNG"
    assert (decode(data, name="a") == rgb).all()


def test_grey_and_luminance_are_turned_into_rgb(tmp_path, rgb) -> None:
    grey = np.ascontiguousarray(rgb[..., 1])
    path = dicom_file(tmp_path / "a.dcm", pixels=grey, photometric="MONOCHROME2")
    assert (decode(read_file(path), name="a") == grey[..., None]).all()
    luminance = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    path = dicom_file(tmp_path / "b.dcm", pixels=luminance, photometric="YBR_FULL")
    assert np.abs(decode(read_file(path), name="b").astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("kind", [DERMOSCOPIC, PHOTOGRAPH])
@pytest.mark.parametrize("marked", [True, False])
def test_a_jpeg_frame_keeps_its_pixels_and_its_colours(tmp_path, rgb, kind, marked) -> None:
    """As YCbCr and as RGB, whether the frame tells which or only the header does."""
    frames = {"YBR_FULL_422": jpeg(rgb, subsampling=1), "RGB": jpeg(rgb, keep_rgb=True)}
    for photometric, frame in frames.items():
        path = dicom_file(
            tmp_path / f"{photometric}.dcm",
            pixels=frame if marked else without_marks(frame),
            photometric=photometric,
            syntax=pydicom.uid.JPEGBaseline8Bit,
            kind=kind,
        )
        data = read_file(path)
        assert read_header(data, name="a").format == "JPEG"
        assert (decode(data, name="a") == decode(frame, name="frame")).all()
        # The same scan: nothing was compressed a second time.
        assert data[data.index(b"\xff\xda") :] == frame[frame.index(b"\xff\xda") :]


def test_a_lossless_jpeg_becomes_a_png(tmp_path) -> None:
    from pydicom.data import get_testdata_file

    dataset = pydicom.dcmread(get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))
    plain = pydicom.dcmread(get_testdata_file("SC_rgb_small_odd.dcm"))
    assert plain.file_meta.TransferSyntaxUID != dataset.file_meta.TransferSyntaxUID
    dataset.SOPClassUID = DERMOSCOPIC
    dataset.save_as(tmp_path / "a.dcm")
    data = read_file(tmp_path / "a.dcm")
    assert read_header(data, name="a").format == "PNG"
    for at_least in (None, 10):
        assert decode(data, name="a", at_least=at_least).shape == (dataset.Rows, dataset.Columns, 3)


def test_nothing_of_header_and_comments_comes_along(tmp_path, rgb) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0132] = SECRETS[0], SECRETS[3]
    exif[0x0112] = 6  # turned: the header of the DICOM file, not this, says how it lies
    frame = jpeg(rgb, exif=exif, comment=SECRETS[1])
    path = dicom_file(
        tmp_path / "a.dcm",
        pixels=frame,
        photometric="YBR_FULL_422",
        syntax=pydicom.uid.JPEGBaseline8Bit,
    )
    assert all(secret.encode() in path.read_bytes() for secret in SECRETS)
    data = read_file(path)
    assert not [secret for secret in SECRETS if secret.encode() in data]
    assert (decode(data, name="a") == decode(jpeg(rgb), name="frame")).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"NumberOfFrames": 3}, "holds 3 frames"),
        ({"kind": "1.2.840.10008.5.1.4.1.1.2"}, r"\(CT Image Storage\)"),
        ({"kind": "1.2.3.4"}, r"\(1\.2\.3\.4\)"),
        ({"pixels": None}, "without pixels"),
        ({"BitsAllocated": 16}, "16 bits a sample"),
        ({"photometric": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"Rows": 30000, "Columns": 30000}, "80 megapixels"),
        ({"Rows": 400}, "is damaged"),
        ({"syntax": pydicom.uid.JPEG2000Lossless}, "JPEG 2000"),
        ({"syntax": pydicom.uid.JPEGBaseline8Bit}, "is damaged"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(tmp_path, rgb, change, words) -> None:
    options = {"pixels": jpeg(rgb[:16, :16]) if "syntax" in change else rgb} | change
    path = dicom_file(tmp_path / "a.dcm", **options)
    if "damaged" in words and "syntax" in change:
        path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff\xe0", b"\xff\xd9\xff\xe0"))
    with pytest.raises(ImageError, match=words) as caught:
        read_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def picture_of(path: Path) -> bytes:
    return picture_in(path.read_bytes(), name=str(path), most_pixels=MAX_PIXELS)


@pytest.mark.parametrize("read", [picture_of, read_dicom_header])
def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path, read) -> None:
    path = dicom_file(
        tmp_path / "a.dcm",
        pixels=np.zeros((4000, 4000, 3), np.uint8),
        syntax=pydicom.uid.DeflatedExplicitVRLittleEndian,
    )
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="is deflated, which is not read") as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)


def test_a_file_cut_anywhere_is_told(tmp_path, rgb) -> None:
    whole = dicom_file(tmp_path / "a.dcm", pixels=rgb).read_bytes()
    for length in (132, 140, 200, 400, len(whole) // 2, len(whole) - 5):
        (tmp_path / "a.dcm").write_bytes(whole[:length])
        with pytest.raises(ImageError):
            decode(read_file(tmp_path / "a.dcm"), name="a")
