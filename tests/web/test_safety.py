"""What comes in may be anything; what goes out tells nothing that it should not."""

import contextlib
import io
import logging
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from served import Clinic, serving

import dermtwin
from dermtwin.errors import ImageError
from dermtwin.images import bare, decode
from dermtwin.web.settings import ServerSettings

SECRET = b"Jane Doe 47.3769 8.5417"
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")


def patches(seed: int = 0, *, size: tuple[int, int] = (48, 36)) -> Image.Image:
    few = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(few).resize(size, Image.Resampling.BICUBIC)


def with_everything(
    kind: str, *, orientation: int = 1, picture: Image.Image | None = None
) -> bytes:
    """A picture that says whose it is and where it was taken, in every way its kind knows."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()  # ImageDescription
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[29] = SECRET.decode()  # GPSDateStamp
    text = PngInfo()
    text.add_text("Comment", SECRET.decode())
    further = {
        "JPEG": {"comment": SECRET, "exif": exif, "icc_profile": SECRET, "xmp": SECRET},
        "PNG": {"pnginfo": text, "exif": exif},
        "TIFF": {"description": SECRET.decode(), "exif": exif},
        "BMP": {},
        "WEBP": {"exif": exif, "xmp": SECRET, "lossless": True},
    }[kind]
    file = io.BytesIO()
    (picture or patches()).save(file, kind, **further)
    return file.getvalue() + (SECRET if kind != "TIFF" else b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises very many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(10_000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def search(client, data: bytes, **form) -> Any:
    return client.post("/api/v1/search", files={"image": ("x.jpg", data)}, data=form)


# --- uploads


@settings(max_examples=60)
@given(
    kind=st.sampled_from(FORMATS),
    orientation=st.integers(1, 8),
    seed=st.integers(0, 99),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_a_bare_picture_has_the_same_pixels_and_nothing_else(kind, orientation, seed, size) -> None:
    whole = with_everything(kind, orientation=orientation, picture=patches(seed, size=size))
    left = bare(whole, name="x")
    assert SECRET not in left
    assert b"Jane" not in left
    assert np.array_equal(decode(left, name="x"), decode(whole, name="x"))
    assert bare(left, name="x") == left
    with Image.open(io.BytesIO(left)) as picture:
        assert set(picture.getexif()) <= {0x0112}


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 1}, {}])
def test_a_jpeg_keeps_its_compressed_pixels(options) -> None:
    file = io.BytesIO()
    patches().save(file, "JPEG", quality=90, comment=SECRET, **options)
    left = bare(file.getvalue(), name="x")
    assert left[:2] == b"\xff\xd8"
    assert len(left) > len(file.getvalue()) - len(SECRET) - 10
    assert np.array_equal(decode(left, name="x"), decode(file.getvalue(), name="x"))


@pytest.mark.parametrize("exif", [b"", b"II*", b"MM\0*\0\0\0\x08\xff\xff" + bytes(9)])
def test_a_damaged_exif_is_no_reason_to_keep_it(exif) -> None:
    file = io.BytesIO()
    patches().save(file, "JPEG", exif=b"Exif\0\0" + exif + SECRET)
    with contextlib.suppress(ImageError):
        assert SECRET not in bare(file.getvalue(), name="x")


def test_no_segment_hides_anything() -> None:
    """A JFIF thumbnail, something behind Adobe's segment, markers that decoding does not need."""
    file = io.BytesIO()
    patches().save(file, "JPEG")
    adobe = b"Adobe\0\x64" + bytes(4) + b"\x01"
    hiding = {0xE0: b"JFIF\0\1\1" + bytes(7), 0xEE: adobe, 0xED: b"", 0xF1: b"", 0xFE: b""}
    for marker, begin in hiding.items():
        content = begin + SECRET
        segment = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
        left = bare(file.getvalue()[:2] + segment + file.getvalue()[2:], name="x")
        assert SECRET not in left, marker
        assert decode(left, name="x").shape == (36, 48, 3)


def test_of_a_phones_two_pictures_the_second_goes() -> None:
    one, two = patches(1), patches(2)
    two.info["comment"] = SECRET
    file = io.BytesIO()
    one.save(file, "MPO", save_all=True, append_images=[two], comment=SECRET)
    left = bare(file.getvalue(), name="x")
    assert SECRET not in left
    assert len(left) < 0.6 * len(file.getvalue())
    assert np.array_equal(decode(left, name="x"), decode(file.getvalue(), name="x"))


def test_nothing_beside_the_pixels_is_stored(clinic) -> None:
    client = clinic.client()
    for number, kind in enumerate(FORMATS):
        name, data = f"NEW_{number}", with_everything(kind, picture=patches(number, size=(96, 72)))
        done = client.post(
            "/api/v1/cases", files={"image": (SECRET.decode(), data)}, data={"isic_id": name}
        )
        assert done.status_code == 201, done.text
        stored = client.get(f"/api/v1/cases/{name}/image").content
        assert np.array_equal(decode(stored, name="x"), decode(data, name="x"))
    for path in clinic.book.rglob("*"):
        assert not path.is_file() or SECRET not in path.read_bytes(), path
    assert not dermtwin.check(casebook=clinic.book).problems


def test_what_is_too_large_is_refused_before_it_is_decoded(book) -> None:
    clinic = Clinic(book, ServerSettings(upload_bytes=200_000, upload_pixels=1_000_000))
    client = clinic.client()

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(20_000)

    assert search(client, bytes(600_000)).status_code == 413
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    done = client.post("/api/v1/search", content=endless(), headers=kind)
    assert (done.status_code, done.headers["content-type"]) == (413, "application/problem+json")
    lied = client.post("/api/v1/search", content=b"", headers=kind | {"Content-Length": "9" * 40})
    assert lied.status_code == 413
    assert "megapixels" in search(client, bomb(1001, 1000)).json()["detail"]
    assert search(client, bomb(60_000, 60_000)).status_code == 422
    clinic.app.state.service.close()


@pytest.mark.parametrize("kind", ["gif", "dicom", "svg", "empty", "text"])
def test_other_kinds_of_file_are_refused(clinic, kind) -> None:
    file = io.BytesIO()
    patches().convert("P").save(file, "GIF")
    data = {
        "gif": file.getvalue(),
        "dicom": bytes(128) + b"DICM" + bytes(500),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "empty": b"",
        "text": b"I am a text file",
    }[kind]
    done = search(clinic.client(), data)
    assert done.status_code == 422
    assert done.headers["content-type"] == "application/problem+json"
    assert "JPEG" in done.json()["detail"]


def test_damaged_pictures_never_break_the_server(clinic) -> None:
    client = clinic.client()
    chance = random.Random(0)
    whole = [with_everything(kind) for kind in FORMATS]
    statuses = set()
    for _ in range(70):
        data = bytearray(chance.choice(whole))
        if chance.random() < 0.4:
            data = data[: chance.randrange(len(data))]
        for _ in range(chance.randrange(1, 12)):
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        status = search(client, bytes(data), k=1).status_code
        statuses.add(status)
        assert status in (200, 422)
        with contextlib.suppress(ImageError):
            bare(bytes(data), name="x")
    assert statuses == {200, 422}


# --- what goes out


def test_every_answer_is_dressed(clinic) -> None:
    client = clinic.client()
    for path in ("/", "/nowhere", "/api/v1/fields", "/api/v1/cases/none", "/healthz", "/login"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_no_name_reaches_the_log(staffed, caplog) -> None:
    client = staffed.signed_in("admin")
    case = client.get("/api/v1/cases?limit=1").json()["cases"][0]
    with caplog.at_level(logging.DEBUG):
        client.get(f"/api/v1/cases/{case['isic_id']}")
        client.get(f"/cases/{case['isic_id']}?x={case['patient_id']}")
        client.get(f"/nowhere/{case['patient_id']}")
        client.post("/api/v1/audit", data={"patient": case["patient_id"]})
        search(client, b"none", patient_id=case["patient_id"])
    told = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert any("/api/v1/cases/{isic_id} 200" in line for line in told)
    assert not any(case[name] in line for line in told for name in ("isic_id", "patient_id"))


def test_no_name_reaches_the_log_when_a_case_cannot_be_erased_from_the_disk(
    foldered, caplog
) -> None:
    clinic, name = Clinic(foldered), "benign/IMG_0"
    # A database that lets go of no entry, as one on a full disk.
    with clinic.casebook.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE DELETE ON unsettled BEGIN "
            "SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    done = clinic.client().delete("/api/v1/cases/benign%2FIMG_0")
    assert done.status_code == 503
    assert f"case {name} is gone from every answer" in done.json()["detail"]
    assert str(clinic.book) not in done.text
    told = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert any("case CASE is gone from every answer" in line for line in told)
    assert not any(name in line for line in told)
    clinic.app.state.service.close()


def test_a_case_that_went_meanwhile_is_not_found(clinic, caplog) -> None:
    def ask() -> None:
        """As if another process forgot it between a request's two looks."""
        clinic.casebook.image("benign/IMG_0")

    clinic.app.add_api_route("/healthz/gone", ask)
    done = clinic.client().get("/healthz/gone")
    assert done.status_code == 404
    assert done.json()["detail"] == "the casebook holds no case benign/IMG_0."
    assert "IMG_0" not in caplog.text


def test_a_patient_is_told_to_admins_alone_and_never_in_an_address(staffed) -> None:
    admin, viewer = staffed.signed_in("admin"), staffed.signed_in("viewer")
    case = admin.get("/api/v1/cases?limit=1").json()["cases"][0]
    name, patient = case["isic_id"], case["patient_id"]
    assert patient
    for path in (f"/api/v1/cases/{name}", "/api/v1/cases", f"/api/v1/cases/{name}/lesion"):
        assert patient in admin.get(path).text or path.endswith("lesion")
        assert patient not in viewer.get(path).text, path
    found = {who: who.post("/api/v1/search", data={"case": name}) for who in (admin, viewer)}
    assert patient in found[admin].text
    assert patient not in found[viewer].text
    for path in ("/api/v1/cases", "/api/v1/count"):
        refused = admin.get(path, params={"where": f"patient_id={patient}"})
        assert refused.status_code == 422
        assert "never named in an address" in refused.json()["detail"]
    assert viewer.get(f"/api/v1/cases/{name}").json()["history"] != []
    verbs = {each["verb"] for each in viewer.get(f"/api/v1/cases/{name}").json()["history"]}
    assert verbs == {"add"}
    seen = {each["verb"] for each in admin.get(f"/api/v1/cases/{name}").json()["history"]}
    assert {"add", "look"} <= seen


def test_no_path_leads_out(clinic) -> None:
    client = clinic.client()
    for name in ("..%2f..%2fcasebook.sqlite", "%00", "..", "a%5c..%5cb", "x" * 5000):
        for what in ("", "/image", "/thumbnail"):
            assert client.get(f"/api/v1/cases/{name}{what}").status_code in (200, 404, 303)
    for path in ("/static/../service.py", "/static/%2e%2e/service.py", "/static//etc/passwd"):
        assert client.get(path).status_code == 404
    form = {"isic_id": "../evil"}
    files = {"image": ("../../evil.jpg", with_everything("JPEG"))}
    assert client.post("/api/v1/cases", files=files, data=form).status_code == 422


def test_an_unexpected_error_tells_nothing(clinic, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(clinic.app.state.service.looks, "note", broken)
    done = clinic.client().get("/api/v1/cases")
    assert done.status_code == 500
    assert done.headers["content-type"] == "application/problem+json"
    assert "secret" not in done.text


# --- several processes


def test_forgotten_in_one_process_gone_in_all(book) -> None:
    """Two workers and the command line on one casebook; then a stop in the middle of a search."""
    with serving(book, "--workers", 2) as client:
        name = client.get("/api/v1/cases?limit=1").json()["cases"][0]["isic_id"]
        data = client.get(f"/api/v1/cases/{name}/image").content
        dermtwin.forget(casebook=book, case=name)
        for _ in range(12):  # whichever worker is asked
            with_it = httpx_search(client, data)
            assert name not in [hit["isic_id"] for hit in with_it["hits"]]
            assert client.get(f"/api/v1/cases/{name}").status_code == 404
        counted = client.get("/metrics").text
        assert 'dermtwin_requests_total{method="POST",route="/api/v1/search",status="200"} 12' in (
            counted
        )
        answers = []
        asking = threading.Thread(target=lambda: answers.append(slowly(client, data)))
        asking.start()
        time.sleep(0.5)
        client.process.terminate()
        asking.join()
        assert answers[0].startswith(b"HTTP/1.1 200")


def httpx_search(client, data: bytes) -> dict:
    done = client.post("/api/v1/search", files={"image": data}, data={"k": 50}, headers=own(client))
    assert done.status_code == 200, done.text
    return done.json()


def own(client) -> dict[str, str]:
    return {"Origin": str(client.base_url).rstrip("/")}


def slowly(client, data: bytes) -> bytes:
    """Send a search in two pieces, a second apart; whatever comes back."""
    request = client.build_request("POST", "/api/v1/search", files={"image": data})
    body = request.read()
    lines = [b"POST /api/v1/search HTTP/1.1", b"Connection: close"]
    lines += [f"{name}: {value}".encode() for name, value in request.headers.items()]
    head = b"\r\n".join(line for line in lines if not line.lower().startswith(b"connection: keep"))
    with socket.create_connection((client.base_url.host, client.base_url.port)) as wire:
        wire.sendall(head + b"\r\n\r\n" + body[: len(body) // 2])
        time.sleep(1.5)
        wire.sendall(body[len(body) // 2 :])
        return b"".join(iter(lambda: wire.recv(65536), b""))
