"""The map: through the API, and in a real browser with and without WebGL."""

import base64
import gzip
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dermtwin
from dermtwin.casebook import Casebook
from dermtwin.casebook.accounts import Role
from dermtwin.datasets import read_dataset

pytest.importorskip("openTSNE", reason="a map is drawn by the extra 'evaluate'")


@pytest.fixture(scope="module")
def mapped_book(tmp_path_factory, drawn_book) -> Path:
    book = shutil.copytree(drawn_book, tmp_path_factory.mktemp("mapped") / "book")
    dermtwin.map(casebook=book)
    return book


@pytest.fixture
def book(mapped_book, tmp_path) -> Path:
    return shutil.copytree(mapped_book, tmp_path / "book")


def points_of(content) -> np.ndarray:
    """Float [N, 2], from the answer alone."""
    x0, y0, x1, y1 = content["box"]
    steps = np.frombuffer(base64.b64decode(content["points"]), "<u2").reshape(-1, 2)
    return np.array([x0, y0]) + steps / 65535 * np.array([x1 - x0, y1 - y0])


def looks_at_the_map(book) -> int:
    return sum(bool(each.details.get("map")) for each in dermtwin.audit(casebook=book).entries)


def test_the_api_tells_every_place_once_and_enters_each_look(clinic, book) -> None:
    client = clinic.client()
    answer = client.get("/api/v1/map")
    content = answer.json()
    with Casebook.open(book) as opened:
        cases = sorted(opened.all_records(), key=lambda each: each.case.isic_id)
        rows = dict(
            opened.database.reading.connect()
            .exec_driver_sql("SELECT isic_id, point FROM map_points JOIN cases ON case_key = key")
            .all()
        )
    assert content["isic_ids"] == [each.case.isic_id for each in cases]
    letters = {"Malignant": "m", "Benign": "b"}
    assert content["classes"] == "".join(letters.get(each.case.diagnosis_1, "o") for each in cases)
    kept = np.array([np.frombuffer(rows[name], "<f8") for name in content["isic_ids"]])
    side = np.ptp(kept, axis=0).max()
    np.testing.assert_allclose(points_of(content), kept, atol=side / 65535)
    assert content["unplaced"] == 0
    assert looks_at_the_map(book) == 1

    packed = client.build_request("GET", "/api/v1/map", headers={"Accept-Encoding": "gzip"})
    raw = b"".join(client.send(packed, stream=True).iter_raw())
    assert json.loads(gzip.decompress(raw)) == content
    plain = client.get("/api/v1/map", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == content


def test_the_tag_holds_until_the_casebook_or_its_map_changes(clinic, book) -> None:
    client = clinic.client()

    def tag() -> str:
        return client.get("/api/v1/map").headers["etag"]

    first = tag()
    seen = looks_at_the_map(book)
    unchanged = client.get("/api/v1/map", headers={"If-None-Match": first})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert looks_at_the_map(book) == seen
    name = client.get("/api/v1/map").json()["isic_ids"][0]
    assert client.delete(f"/api/v1/cases/{name}").json()["receipt"]["is_gone"]
    after = client.get("/api/v1/map", headers={"If-None-Match": first})
    assert name not in after.json()["isic_ids"]
    second = after.headers["etag"]
    dermtwin.map(casebook=book, anew=True, seed=4)
    assert len({first, second, tag()}) == 3


def test_the_next_question_drops_a_kept_map_that_names_the_forgotten(clinic, book) -> None:
    from dermtwin.web.api.map import _KEPT

    client = clinic.client()
    name, other, *_ = client.get("/api/v1/map").json()["isic_ids"]
    kept = _KEPT._by_casebook[str(book)]
    assert name.encode() in gzip.decompress(kept.content)
    dermtwin.forget(case=name, casebook=book)
    assert client.post("/api/v1/search", data={"case": other}).status_code == 200
    assert str(book) not in _KEPT._by_casebook


def test_a_query_lies_among_its_nearest_cases(clinic, drawn) -> None:
    client = clinic.client()
    place = dict(
        zip(
            (content := client.get("/api/v1/map").json())["isic_ids"],
            points_of(content),
            strict=True,
        )
    )
    step = np.ptp(list(place.values()), axis=0).max() / 65535
    for row, k in zip(read_dataset(drawn).rows, (5, 10, 20), strict=False):
        answer = client.post("/api/v1/search", data={"case": row.case.isic_id, "k": k}).json()
        nearest = [place[hit["isic_id"]] for hit in answer["hits"]][:10]
        by_hand = [statistics.median(each[axis] for each in nearest) for axis in (0, 1)]
        assert [answer["map"]["x"], answer["map"]["y"]] == pytest.approx(by_hand, abs=step)


def test_without_a_map_a_sentence_says_what_to_do(drawn_book, tmp_path) -> None:
    from served import Clinic

    clinic = Clinic(shutil.copytree(drawn_book, tmp_path / "bare"))
    client = clinic.client()
    answer = client.get("/api/v1/map")
    assert answer.status_code == 404
    assert "dermtwin map" in answer.json()["detail"]
    name = client.get("/api/v1/cases").json()["cases"][0]["isic_id"]
    assert client.post("/api/v1/search", data={"case": name}).json()["map"] is None
    clinic.add_users()
    assert client.get("/api/v1/map").status_code == 401
    assert client.get("/map").headers["location"] == "/login?next=%2Fmap"
    assert clinic.signed_in(Role.VIEWER).get("/map").status_code == 200
    clinic.app.state.service.close()


# --- in a browser

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra 'dev'")

from looking import CHROMIUM, drop, looking, opened_by, searched, served, show_anyway  # noqa: E402

sees = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look with")

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# How many pixels of the canvas have each colour.
INKED = """async () => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const canvas = document.querySelector("#plane canvas");
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height);
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    const seen = {};
    for (const each of pixels) if (each) seen[each & 0xffffff] = (seen[each & 0xffffff] ?? 0) + 1;
    return seen;
}"""


def opened(page) -> None:
    page.goto("/map")
    page.wait_for_selector("#legend .n")


def chosen(page) -> str:
    page.wait_for_selector("#chosen a")
    return page.inner_text("#chosen a")


@sees
def test_from_a_query_to_its_place_and_to_a_case(drawn, book) -> None:
    images = [row.image for row in read_dataset(drawn).rows]
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/")
        searched(page, lambda: drop(page, images[0]))
        show_anyway(page)
        page = opened_by(page, lambda: page.click("text=Its place on the map"))
        page.wait_for_selector("#marks text")
        assert page.inner_text("h1") == "The casebook as a map"
        assert page.url == f"{address}/map"
        assert f"Map of {len(images)} cases" in page.inner_text("#plane-label")
        page.click("#to-query")
        box = page.locator("#plane").bounding_box()
        mark = page.locator(".query-mark >> nth=1").bounding_box()
        for start, length in (("x", "width"), ("y", "height")):
            middle = box[start] + box[length] / 2
            assert abs(mark[start] + mark[length] / 2 - middle) < 3

        # By keyboard: what is in the middle is told, and opened.
        page.focus("#plane")
        page.keyboard.press("ArrowLeft")
        name = chosen(page)
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.url.endswith(f"/cases/{name}")

        # By mouse: rest on the point that is ringed, then click it.
        opened(page)
        page.focus("#plane")
        page.keyboard.press("0")
        name = chosen(page)
        ring = page.locator(".ring").bounding_box()
        spot = (ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2)
        page.reload()
        page.wait_for_selector("#legend .n")
        assert page.locator("#chosen a").count() == 0
        with page.expect_response(f"**/api/v1/cases/{name}/thumbnail"):
            page.mouse.move(*spot)
        assert chosen(page) == name
        with page.expect_navigation():
            page.mouse.click(*spot)
        assert page.url.endswith(f"/cases/{name}")

        opened(page)
        before = page.locator("#marks text").bounding_box()["x"]
        page.mouse.move(600, 400)
        page.mouse.down()
        page.mouse.move(500, 400, steps=4)
        page.mouse.up()
        assert page.url == f"{address}/map"  # a drag opens nothing
        page.evaluate(INKED)
        assert page.locator("#marks text").bounding_box()["x"] < before


@sees
def test_only_a_plain_answer_that_is_shown_has_a_place(drawn, book, tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    place, chip = "#made a", "#made .drawn"
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/?where=diagnosis_1%3DMalignant")
        page.wait_for_selector("#filters details", state="attached")
        hits = searched(page, lambda: drop(page, read_dataset(drawn).rows[0].image))
        show_anyway(page)
        assert page.locator(place).count() == 0
        searched(page, lambda: page.click("#clear-filters"))
        assert page.locator(place).is_visible()
        searched(page, lambda: page.click(f"#like-{hits[0]}"))
        assert page.locator(place).count() == 0
        searched(page, lambda: page.set_input_files("#file", tmp_path / "noise.png"))
        assert page.locator(f"{place}, {chip}").count() == 0
        page.click("#anyway")
        assert page.locator(place).is_visible()
        assert page.locator(chip).is_visible()


@sees
def test_a_touched_case_is_seen(book) -> None:
    with served(book) as address, looking(address) as browser:
        page = browser.page(width=360, height=740, touch=True)
        opened(page)
        page.focus("#plane")
        page.keyboard.press("0")
        chosen(page)
        ring = page.locator(".ring").bounding_box()
        page.reload()
        page.wait_for_selector("#legend .n")
        page.touchscreen.tap(ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2)
        chosen(page)
        page.wait_for_function(
            "() => document.querySelector('#chosen').getBoundingClientRect().bottom <= innerHeight"
        )


@sees
def test_the_page_is_fit_for_everybody(book, drawn_book) -> None:
    inks = {}
    with served(book) as address, looking(address) as browser:
        for theme, width in (("light", 1280), ("dark", 360)):
            page = browser.page(theme=theme, width=width)
            opened(page)
            page.focus("#plane")
            page.keyboard.press("ArrowUp")
            chosen(page)
            inks[theme] = page.evaluate(INKED)
            assert page.evaluate(SIDEWAYS) == 0
            found = axe.Axe().run(page, options={"runOnly": WCAG}).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        page.emulate_media(color_scheme="light")
        assert page.evaluate(INKED).keys() == inks["light"].keys() != inks["dark"].keys()
        assert len(inks["light"]) == len(set(page.locator("#legend .n").all_inner_texts()) - {"0"})
    with served(drawn_book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/map")
        page.wait_for_selector("#problem:not([hidden])")
        assert "dermtwin map" in page.inner_text("#problem")
        assert page.locator("#map").is_hidden()
