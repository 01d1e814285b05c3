"""Every kind of picture enters upright, 8-bit and RGB, or is refused with a sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from dermtwin.errors import ImageError
from dermtwin.images import MAX_PIXELS, bare, decode, digest, load, read_file, read_header

GRADIENT = np.dstack(
    [np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1)) + np.uint8(k) for k in range(3)]
)  # 20 high, 30 wide


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_formats_come_back_exactly(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(GRADIENT), kind, **options)
    np.testing.assert_array_equal(decode(data, name="x"), GRADIENT)
    assert read_header(data, name="x").format == kind


def test_jpeg_comes_back_nearly() -> None:
    data = encoded(Image.fromarray(GRADIENT), "JPEG", quality=95)
    assert np.abs(decode(data, name="x").astype(int) - GRADIENT).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_turned_upright(orientation: int) -> None:
    # How a camera held that way stores the upright scene (EXIF 2.32, tag 0x0112).
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 3),
    }[orientation](GRADIENT)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(data, name="x"), GRADIENT)


def test_cmyk_grey_and_palette_become_rgb() -> None:
    picture = Image.fromarray(GRADIENT)
    for mode, kind in [("CMYK", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("P", "PNG")]:
        image = decode(encoded(picture.convert(mode), kind), name="x")
        assert image.shape == (20, 30, 3)
        assert image.dtype == np.uint8
    cmyk = decode(encoded(picture.convert("CMYK"), "JPEG", quality=95), name="x")
    assert np.abs(cmyk.astype(int) - GRADIENT).mean() < 8  # not inverted


def test_transparency_is_laid_over_white() -> None:
    clear = np.dstack([GRADIENT, np.zeros((20, 30), np.uint8)])
    assert (decode(encoded(Image.fromarray(clear), "PNG"), name="x") == 255).all()


def test_sixteen_bit_grey_keeps_its_upper_bits() -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    image = decode(encoded(Image.fromarray(deep), "PNG"), name="x")
    np.testing.assert_array_equal(image[:, :, 1], deep >> 8)


def grey_tiff(greys: np.ndarray, *, bits: int, black: int) -> bytes:
    """A TIFF of one strip (TIFF 6.0); `black`: 1 where 0 is black, 0 where it is white."""
    height, width = greys.shape
    rows = [[f"{grey:0{bits}b}" for grey in row] for row in greys]
    strip = b"".join(int("".join(row), 2).to_bytes(width * bits // 8, "big") for row in rows)
    if bits == 16:
        strip = greys.astype("<u2").tobytes()
    values = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: black,
        273: 110,
        277: 1,
        279: len(strip),
    }
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in values.items()]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(entries) + bytes(4)
    assert len(head) == 110
    return head + strip


def test_deep_greys_of_a_tiff_are_as_they_look_or_refused() -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    image = decode(grey_tiff(deep, bits=16, black=1), name="x")
    np.testing.assert_array_equal(image[:, :, 1], deep >> 8)
    with pytest.raises(ImageError, match="x has greys of 12 bits; export it with 8 or 16 bits"):
        decode(grey_tiff(deep >> 4, bits=12, black=1), name="x")
    with pytest.raises(ImageError, match="x has 16-bit greys with white as 0"):
        read_header(grey_tiff(deep, bits=16, black=0), name="x")
    shallow = (deep >> 8).astype(np.uint8)
    image = decode(grey_tiff(shallow, bits=8, black=0), name="x")
    np.testing.assert_array_equal(image[:, :, 1], 255 - shallow)


def test_a_colour_profile_is_passed_over() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = encoded(Image.fromarray(GRADIENT), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decode(data, name="x"), GRADIENT)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(5, struct.pack(">II", 6, 1)), (11, struct.pack(">f", 6)), (12, struct.pack(">d", 6.5))],
    ids=["rational", "float", "between"],
)
def test_an_orientation_that_is_no_whole_number_stays_as_it_is_taken(kind, value) -> None:
    entry = struct.pack(">HHI", 0x0112, kind, 1)
    inside = value if len(value) == 4 else struct.pack(">I", 26)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + inside + bytes(4) + value
    whole = encoded(Image.fromarray(GRADIENT), "JPEG", exif=exif)
    left = bare(whole, name="x")
    np.testing.assert_array_equal(decode(left, name="x"), decode(whole, name="x"))
    assert decode(left, name="x").shape[:2] == ((20, 30) if kind == 12 else (30, 20))
    assert left.startswith(b"\xff\xd8")


def test_first_photo_of_a_multi_picture_jpeg() -> None:
    photo, preview = Image.fromarray(GRADIENT), Image.new("RGB", (8, 8))
    data = encoded(photo, "MPO", save_all=True, append_images=[preview])
    assert decode(data, name="x").shape == (20, 30, 3)
    assert read_header(data, name="x").format == "JPEG"


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def huge_png_header() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


JPEG = encoded(Image.fromarray(GRADIENT), "JPEG")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture dermtwin reads"),
        (b"I am a text file", "not a picture dermtwin reads"),
        (encoded(Image.fromarray(GRADIENT), "GIF"), "not a picture dermtwin reads"),
        (encoded(Image.fromarray(GRADIENT), "PPM"), "not a picture dermtwin reads"),
        (JPEG[: len(JPEG) // 2], "or is cut short"),
        (JPEG[:-40], "is damaged"),
        (huge_png_header(), "megapixels"),
        (animated("WEBP"), "holds 3 pictures"),
        (animated("TIFF"), "holds 3 pictures"),
        (animated("PNG"), "holds 3 pictures"),
        (encoded(Image.new("F", (9, 9)), "TIFF"), "32 bits a channel"),
    ],
    ids=["empty", "text", "gif", "ppm", "cut", "torn", "huge", "webp3", "tiff3", "png3", "float"],
)
def test_refused_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        decode(data, name="album/one.jpg")
    assert "album/one.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_just_beyond_the_limit_is_refused_by_the_header() -> None:
    width = MAX_PIXELS // 8 + 1
    data = encoded(Image.new("1", (width, 8)), "PNG")
    with pytest.raises(ImageError, match=f"{width}x8 pixels"):
        read_header(data, name="x")


def test_missing_file_says_so(tmp_path) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg cannot be read: no such file"):
        load(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a directory"):
        read_file(tmp_path)


def test_reduced_decoding_keeps_the_side_asked_for() -> None:
    data = encoded(Image.new("RGB", (1200, 900), "tan"), "JPEG")
    assert decode(data, name="x", at_least=200).shape == (225, 300, 3)
    assert decode(data, name="x", at_least=2000).shape == (900, 1200, 3)


@given(st.data())
def test_no_damage_escapes_as_another_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP"]))
    raw = bytearray(encoded(Image.fromarray(GRADIENT), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(1, len(raw)))])
    try:
        image = decode(cut, name="x")
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3


def test_digest_is_sha256_of_the_bytes() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
