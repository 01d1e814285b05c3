"""The whole way through by keyboard alone, and always to be seen where one is."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

import dermtwin
from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Role
from dermtwin.datasets import read_dataset

pytest.importorskip("openTSNE", reason="a map is drawn by the extra 'evaluate'")

from looking import CHROMIUM, looking, opened_by, searched, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look with")

PASSWORD = "a drawn lesion"

# What has the focus: whether it is on the screen with a ring around it (or around its label).
SEEN = """(wanted) => {
    const active = document.activeElement;
    if (active === document.body) return null;
    const ringed = active.closest(".unseen") ? active.closest("label") : active;
    const box = ringed.getBoundingClientRect();
    const style = getComputedStyle(ringed);
    const across = Math.min(box.right, innerWidth) - Math.max(box.left, 0);
    const down = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0);
    return {
        what: active.outerHTML.slice(0, 160),
        isWanted: active.matches(wanted),
        isRinged: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        isOnScreen: across > 8 && down > 8,
    };
}"""


def check_focus(page) -> None:
    """Something has the focus, and anybody can see what."""
    assert _seen(page, "*") is not None, f"the focus is lost on {page.url}"


def tab_to(page, selector: str, *, back: bool = False) -> None:
    """Go on to an element as a person does; everything on the way shows where one is."""
    for _ in range(120):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if _seen(page, selector):  # nothing is seen between the last and the first
            return
    pytest.fail(f"{selector} cannot be reached by keyboard on {page.url}")


def _seen(page, wanted: str) -> bool | None:
    """Whether this has the focus; None: nothing has it."""
    found = page.evaluate(SEEN, wanted)
    if found is None:
        return None
    what = found["what"]
    assert found["isRinged"], f"no ring on {page.url}: {what}"
    assert found["isOnScreen"], f"not on the screen of {page.url}: {what}"
    return found["isWanted"]


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.fixture
def staffed_map(book) -> Path:
    dermtwin.map(casebook=book)
    with Casebook.open(book) as casebook:
        accounts.add_account(casebook, "ada", password=PASSWORD, role=Role.ADMIN)
        accounts.add_account(casebook, "vera", password=PASSWORD, role=Role.VIEWER)
    return book


def test_the_whole_way_by_keyboard_alone(staffed_map, drawn) -> None:
    photograph = read_dataset(drawn).rows[0].image
    with served(staffed_map) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/")
        _sign_in(page)
        _choose(page, photograph)
        _filter(page)
        _compare(page)
        _box(page)
        _mark(page)
        page = _look_at_the_map(page)
        _browse(page)
        _be_another(page)


def _sign_in(page) -> None:
    tab_to(page, "#name")
    page.keyboard.type("vera")
    tab_to(page, "#password")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        press(page, "Enter")
    page.wait_for_selector("#filters details", state="attached")


def _choose(page, photograph) -> None:
    tab_to(page, "#file")
    with page.expect_file_chooser() as chooser:
        press(page, "Space")
    searched(page, lambda: chooser.value.set_files(photograph))
    check_focus(page)
    _show_anyway(page)


def _show_anyway(page) -> None:
    if page.locator("#anyway").count():
        tab_to(page, "#anyway")
        press(page, "Enter")
        check_focus(page)


def _filter(page) -> None:
    tab_to(page, "#filters summary:has(+ fieldset input[value=male])")
    press(page, "Enter")
    tab_to(page, "input[value=male]")
    searched(page, lambda: press(page, "Space"))
    check_focus(page)
    assert all("· male" in each for each in page.locator(".hit .facts").all_inner_texts())


def _compare(page) -> None:
    tab_to(page, ".hit:nth-child(2) .open")
    opened = page.evaluate("document.activeElement.id")
    press(page, "Enter")
    page.wait_for_selector(".pane")
    check_focus(page)
    tab_to(page, ".pane")
    press(page, "+", "ArrowRight")
    assert "scale(1.25)" in page.get_attribute(".stage", "style")
    tab_to(page, "#heat")
    press(page, "End")
    assert page.input_value("#heat") == "100"
    press(page, "Escape")
    page.wait_for_selector("#compare", state="hidden")
    assert page.evaluate("document.activeElement.id") == opened
    check_focus(page)


def _box(page) -> None:
    tab_to(page, "#box", back=True)
    searched(page, lambda: press(page, "Enter"))
    assert page.evaluate("document.activeElement.id") == "region"
    before = page.get_attribute("#region", "aria-label")
    press(page, "ArrowLeft", "Shift+ArrowDown")
    assert page.get_attribute("#region", "aria-label") != before
    searched(page, lambda: press(page, "Enter"))
    assert page.evaluate("document.activeElement.id") == "region"
    check_focus(page)
    assert "by a part of the picture" in page.inner_text(".chips")


def _mark(page) -> None:
    _show_anyway(page)
    for kind, nth in (("like", 3), ("unlike", 1)):
        tab_to(page, f".hit:nth-child({nth}) [id^={kind}-]")
        name = page.evaluate("document.activeElement.id").partition("-")[2]
        marked = searched(page, lambda: press(page, "Enter"))
        assert f"like {name}" in page.inner_text(".chips")
        # Where one was, or, if that case is no longer among the hits, at their beginning.
        kept = f"{kind}-{name}" if name in marked else "hits-title"
        assert page.evaluate("document.activeElement.id") == kept
        check_focus(page)
    tab_to(page, ".chips [aria-label^='No longer unlike']", back=True)
    searched(page, lambda: press(page, "Enter"))
    check_focus(page)
    assert "not like" not in page.inner_text(".chips")
    tab_to(page, "#undo")
    while page.locator("#undo").count():
        searched(page, lambda: press(page, "Enter"))
        check_focus(page)
    assert page.locator("#region").count() == 0
    tab_to(page, "#box", back=True)
    searched(page, lambda: press(page, "Enter"))
    searched(page, lambda: press(page, "Escape"))
    assert page.evaluate("document.activeElement.id") == "box"


def _look_at_the_map(page):
    while page.locator("#filters input:checked").count():
        tab_to(page, "#filters input:checked", back=True)
        searched(page, lambda: press(page, "Space"))
    tab_to(page, "#made a")
    page = opened_by(page, lambda: press(page, "Enter"))
    page.wait_for_selector("#legend .n")
    tab_to(page, "#to-query")
    press(page, "Enter")
    tab_to(page, "#plane", back=True)
    press(page, "ArrowLeft")
    page.wait_for_selector("#chosen a")
    with page.expect_navigation():
        press(page, "Enter")
    page.wait_for_selector("#record dd")
    assert urlsplit(page.url).path.startswith("/cases/")
    return page


def _browse(page) -> None:
    tab_to(page, "nav a[href='/cases']")
    press(page, "Enter")
    page.wait_for_selector("#list[aria-busy=false] .hit")
    tab_to(page, "#order")
    press(page, "End")
    page.wait_for_url("**/cases?order=name")
    page.wait_for_selector("#list[aria-busy=false] .hit")
    tab_to(page, ".hit .similar a")
    searched(page, lambda: press(page, "Enter"))
    assert urlsplit(page.url).path == "/"
    tab_to(page, ".who form button")
    press(page, "Enter")
    page.wait_for_url("**/login*")


def _be_another(page) -> None:
    """Somebody else at the same tab sees nothing of the picture before."""
    assert page.evaluate("sessionStorage.getItem('place-on-map')")
    page.fill("#name", "ada")
    page.fill("#password", PASSWORD)
    with page.expect_navigation():
        press(page, "Enter")
    page.goto("/map")
    page.wait_for_selector("#legend .n")
    assert page.locator("#to-query").is_hidden()
    assert page.locator("#marks text").count() == 0
