"""Asking in a real browser: what stands in the way of an answer, and asking by a finger."""

import re
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="no browser without playwright")

from looking import CHROMIUM, drop, looking, searched, served, show_anyway  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look with")

# What is wider than its place.
WIDE = """(within) => [...document.querySelectorAll(`${within}, ${within} *`)]
    .filter((each) => !each.closest("svg, thead") && each.scrollWidth > each.clientWidth + 1
        && getComputedStyle(each).display !== "inline")
    .map((each) => each.outerHTML.slice(0, 80))"""


def test_what_only_the_filters_or_the_browser_stand_in_the_way_of(
    book, photograph, tmp_path
) -> None:
    with Image.open(photograph) as image:
        image.save(tmp_path / "photograph.tif")
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/?where=age_approx%3D200..")
        page.wait_for_selector("#filters details", state="attached")
        page.set_input_files("#file", tmp_path / "photograph.tif")
        page.wait_for_selector("#loosen")
        assert "No case passes the filters." in page.inner_text("#trust")
        assert "should not be compared" not in page.inner_text("#trust")
        assert page.locator("#anyway").count() + page.locator("#behind:visible").count() == 0
        hits = searched(page, lambda: page.click("#loosen"))
        show_anyway(page)
        assert page.locator(".view").bounding_box()["width"] > 250, "not in the original's column"
        assert "one case at the base rate is added" in page.inner_text(".shares caption")
        assert "Malignant, together" in page.inner_text(".shares")
        page.wait_for_selector("#scale:has-text('half of the images')")
        assert re.search(r"distance 0\.\d{3}$", page.inner_text(".near >> nth=0"))

        _open_two(page)
        assert "similarity 1.000" not in page.inner_text(".sum")
        page.keyboard.press("Escape")
        searched(page, lambda: page.click(f"#like-{hits[1]}"))
        assert "from the steered search" in page.inner_text("#scale")

        page.goto("/?where=diagnosis_1%3DBenign")
        page.wait_for_selector("#filters details", state="attached")
        searched(page, lambda: drop(page, photograph))
        show_anyway(page)
        assert page.inner_text(".sentence") == "No malignant cases pass the filter."
        assert "Malignant" not in page.inner_text(".shares")


def _open_two(page) -> None:
    """Open a case while another is still being compared."""
    held = []
    page.route("**/compare", lambda route: held.append(route), times=1)  # noqa: PLW0108
    page.click(".hit .open >> nth=0")
    page.wait_for_selector("#compare:has-text('Comparing')")
    page.keyboard.press("Escape")
    page.click(".hit .open >> nth=1")
    page.wait_for_selector(".panes")
    with suppress(playwright.Error):  # nobody waits for it any more
        held[0].continue_()
        page.wait_for_timeout(1500)
    page.click("[aria-label='Zoom in']")
    assert "scale(1.4)" in page.get_attribute(".stage", "style")


def test_a_finger_scrolls_the_page_and_draws_only_where_asked(book, photograph) -> None:
    with served(book) as address, looking(address) as browser:
        page = browser.page(width=360, touch=True)
        page.goto("/")
        first = searched(page, lambda: drop(page, photograph))
        show_anyway(page)
        _swipe(page, 0, -150)
        page.wait_for_function("() => scrollY > 50")
        assert page.locator("#region, #undo").count() == 0
        page.evaluate("scrollTo(0, 0)")
        searched(page, lambda: page.tap("#box"))
        before = page.get_attribute("#region", "aria-label")
        searched(page, lambda: _swipe(page, 30, 30))
        assert page.get_attribute("#region", "aria-label") != before
        searched(page, lambda: page.tap("#undo"))
        assert searched(page, lambda: page.tap("#undo")) == first
        for size in (16, 24):
            page.evaluate(f"document.documentElement.style.fontSize = '{size}px'")
            assert page.evaluate(WIDE, "#neighbours") == [], f"at {size} px"


def _swipe(page, across: int, down: int) -> None:
    """Move a finger from the middle of the compared view."""
    place = page.locator(".view").bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", {"x": x, "y": y})
    for share in np.linspace(0.1, 1, 10):
        touch("touchMove", {"x": x + share * across, "y": y + share * down})
    touch("touchEnd")
