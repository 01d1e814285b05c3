"""The pages in a real browser, over a real server and a casebook of drawn lesions."""

import re
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import dermtwin
from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Role
from dermtwin.datasets import read_dataset

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra 'dev'")

from looking import (  # noqa: E402
    CHROMIUM,
    drop,
    looking,
    opened_by,
    searched,
    served,
    settled,
    show_anyway,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look with")

PASSWORD = "a drawn lesion"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
NEW = "PAGE_0000001"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_from_a_dropped_picture_to_a_forgotten_case(drawn, book, photograph) -> None:
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/")
        assert "gives no diagnosis" in page.inner_text("footer")
        first = searched(page, lambda: drop(page, photograph))
        show_anyway(page)
        assert len(first) == 10
        assert re.search(
            r"\d+ of 10 nearest cases were malignant \(.+ of 10 expected by chance",
            page.inner_text(".sentence"),
        )
        assert "drawn, not real" in page.inner_text(".hit >> nth=0")

        _name_the_patient(page, read_dataset(drawn).rows, first)
        _filter(page, read_dataset(drawn).rows, photograph)
        assert searched(page, lambda: page.click("#clear-filters")) == first
        assert urlsplit(page.url).query == ""

        _compare(page)
        _box(page, first)
        _like(page, first)

        _see_others(page)

        # A case opens beside the search, which stays: the picture is kept nowhere else.
        asking, page = page, opened_by(page, lambda: page.click(f".hit a >> text={first[0]}"))
        page.wait_for_selector("#record dd")
        assert settled(asking) == first
        assert first[0] in page.inner_text("#record")
        assert first[0] not in searched(page, lambda: page.click("text=Find similar cases"))
        assert urlsplit(page.url).query == f"case={first[0]}"

        _add(page, photograph)
        everything = "/?k=50&every_image=1"
        page.goto(f"{everything}&case={first[0]}")
        assert NEW in settled(page)

        other = browser.page()
        other.goto(f"/cases/{NEW}")
        other.wait_for_selector("#record dd")
        _forget(page)
        other.reload()
        other.wait_for_selector("#problem:not([hidden])")
        assert "no case of this name" in other.inner_text("#problem")
        other.goto(f"{everything}&case={first[0]}")
        assert NEW not in settled(other)


def _see_others(page) -> None:
    more = page.locator(".hit button[aria-expanded]").first
    more.dblclick()
    page.wait_for_selector(".hit .thumbnails img")
    page.wait_for_function("() => !document.querySelector('.hit [aria-busy=true]')")
    assert page.locator(".hit .thumbnails").count() == 1
    wanted = int(more.inner_text().split()[0])
    assert page.locator(".hit .thumbnails img").count() == wanted
    more.click()
    assert page.locator(".hit .thumbnails").count() == 0


def test_what_cannot_be_compared_is_refused_in_words(book, tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (tmp_path / "letter.jpg").write_text("This is no picture.")
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/")
        page.set_input_files("#file", tmp_path / "letter.jpg")
        page.wait_for_selector("#problem:not([hidden])")
        assert "letter.jpg" in page.inner_text("#problem")
        page.set_input_files("#file", tmp_path / "noise.png")
        settled(page)
        assert page.locator("#problem").is_hidden()
        assert page.get_attribute("#trust section", "data-level") == "refused"
        assert page.locator(".hit").first.is_hidden()
        page.click("#anyway")
        assert page.locator(".hit").first.is_visible()


def test_no_cases_of_another_picture_stand_beside_one_that_failed(
    book, photograph, tmp_path
) -> None:
    (tmp_path / "letter.jpg").write_text("This is no picture.")
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/")
        page.wait_for_selector("#filters details", state="attached")
        first = searched(page, lambda: drop(page, photograph))
        show_anyway(page)
        # The same picture's cases stay while it is asked about anew, and if that fails.
        page.context.set_offline(True)
        page.check("#every-image")
        _see_failed(page, "does not answer")
        assert "cases of the question before" in page.inner_text("#problem")
        assert page.locator(".hit").first.is_visible()
        page.context.set_offline(False)
        searched(page, lambda: page.click("#again"))
        assert page.locator("#problem").is_hidden()
        page.wait_for_selector("#count:has-text('pass the filters')")
        assert searched(page, lambda: page.uncheck("#every-image")) == first
        _steer_without_answer(page, book, first)

        page.click(".hit .open >> nth=0")
        page.wait_for_selector(".panes")
        drop(page, tmp_path / "letter.jpg")
        _see_failed(page, "letter.jpg")
        _see_nothing_found(page)
        assert searched(page, lambda: drop(page, photograph)) == first
        assert page.locator("#answer").is_visible()
        page.context.set_offline(True)
        drop(page, photograph)
        _see_failed(page, "does not answer")
        _see_nothing_found(page)
        page.context.set_offline(False)


def _steer_without_answer(page, book, first) -> None:
    """A step that gets no answer is not taken; it can be tried again."""
    pressed = ".hit [aria-pressed=true], #undo"
    page.context.set_offline(True)
    page.click(f"#like-{first[4]}")
    _see_failed(page, "does not answer")
    assert "question before" not in page.inner_text("#problem")
    assert page.locator("#again").is_visible()
    assert page.evaluate("document.querySelector('#problem').getBoundingClientRect().top") >= 0
    assert page.locator(pressed).count() == 0
    page.click("#box")
    _see_failed(page, "does not answer")
    page.wait_for_selector("#region", state="detached")
    page.context.set_offline(False)
    searched(page, lambda: page.click("#again"))
    assert page.locator("#region").count() == 1
    assert searched(page, lambda: page.click("#undo")) == first
    dermtwin.forget(case=first[5], casebook=book)
    page.click(f"#like-{first[5]}")
    _see_failed(page, "not in the casebook")
    assert page.locator(pressed).count() + page.locator("#again").count() == 0
    searched(page, lambda: page.click(f"#like-{first[4]}"))
    assert page.locator(".chips button").count() == 2
    first[:] = searched(page, lambda: page.click("#undo"))


def test_the_form_says_what_became_of_a_case(drawn, book) -> None:
    (row, *_) = read_dataset(drawn).rows
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/add")
        for told in ("Added", "There already"):
            page.set_input_files("#image", row.image)
            page.fill("#isic_id", NEW)
            page.check("[name=on_duplicate]")
            page.click("text=Add the case")
            page.wait_for_selector(f"#done:has-text('{told}: {NEW}')")
            is_new = told == "Added"
            assert ("found from now on" in page.inner_text("#done")) is is_new
            # Another lesion's photograph: worth a look, although it was wanted.
            seen = page.locator("#done li").all_inner_texts()
            assert any(row.case.isic_id in each for each in seen) is is_new


def _see_failed(page, words: str) -> None:
    page.wait_for_selector(f"#problem:has-text('{words}')")
    page.wait_for_selector("#results[aria-busy=false]")


def _see_nothing_found(page) -> None:
    """A picture that was not compared, and where to give another one."""
    assert not page.locator("#answer").is_visible()
    assert not page.locator("#compare").is_visible()
    assert page.inner_text("#query figcaption") == "Not compared"
    assert page.locator("#drop").is_visible()
    assert page.evaluate("document.activeElement !== document.body")


def _name_the_patient(page, rows, first) -> None:
    patient_of = {row.case.isic_id: row.case.patient_id for row in rows}
    page.click("#own summary")
    page.fill("#patient_id", patient_of[first[0]])
    others = searched(page, lambda: page.keyboard.press("Enter"))
    assert patient_of[first[0]] not in {patient_of[each] for each in others}
    assert patient_of[first[0]] not in page.url
    page.fill("#patient_id", "")
    assert searched(page, lambda: page.keyboard.press("Enter")) == first


def _filter(page, rows, photograph) -> None:
    women = sum(row.case.sex == "female" for row in rows)
    page.click("summary:has-text('Sex')")
    searched(page, lambda: page.check("input[value=female]"))
    page.wait_for_selector(f"#count:text-matches('^{women} case')")
    facts = page.locator(".hit .facts").all_inner_texts()
    assert facts
    assert all("female" in each for each in facts)
    assert urlsplit(page.url).query == "where=sex%3Dfemale"
    page.reload()
    page.wait_for_selector("input[value=female]:checked", state="attached")
    # The address holds the filter, never the picture.
    assert page.locator(".hit").count() == 0
    page.set_input_files("#file", photograph)
    settled(page)


def _compare(page) -> None:
    show_anyway(page)
    page.click(".hit .open >> nth=2")
    page.wait_for_selector(".panes")
    page.focus(".pane >> nth=0")
    for key in ("+", "+", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    moved = page.locator(".stage").evaluate_all("each => each.map((one) => one.style.transform)")
    assert moved[0] == moved[1]
    assert "scale(1.5" in moved[0]
    painted = "each => each.map((one) => one.getContext('2d').getImageData(0, 0, 320, 320).data"
    assert all(page.locator(".stage canvas").evaluate_all(f"{painted}.some((value) => value > 0))"))
    page.keyboard.press("Escape")
    page.wait_for_selector("#compare", state="hidden")
    assert page.evaluate("document.activeElement.className") == "open"


def _box(page, first) -> None:
    page.focus("#box")
    searched(page, lambda: page.keyboard.press("Enter"))
    before = page.get_attribute("#region", "aria-label")
    page.focus("#region")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert page.get_attribute("#region", "aria-label") != before
    searched(page, lambda: page.keyboard.press("Enter"))
    assert "by a part of the picture" in page.inner_text(".chips")
    searched(page, lambda: page.click("#undo"))
    assert page.get_attribute("#region", "aria-label") == before
    assert searched(page, lambda: page.click("#undo")) == first
    # The same by pointer.
    place = page.locator(".view").bounding_box()
    page.mouse.move(place["x"] + 20, place["y"] + 20)
    page.mouse.down()
    page.mouse.move(place["x"] + 60, place["y"] + 70, steps=4)
    searched(page, page.mouse.up)
    assert page.locator("#region").count() == 1
    assert searched(page, lambda: page.click("#undo")) == first


def _like(page, first) -> None:
    show_anyway(page)
    searched(page, lambda: page.click(f"#like-{first[4]}"))
    assert f"like {first[4]}" in page.inner_text(".chips")
    steered = searched(page, lambda: page.click(f"#unlike-{first[0]}"))
    assert steered != first
    searched(page, lambda: page.click("#undo"))
    assert searched(page, lambda: page.click("#undo")) == first


def _add(page, photograph) -> None:
    page.goto("/add")
    page.set_input_files("#image", photograph)
    page.fill("#isic_id", NEW)
    page.fill("#diagnosis", "Benign > Benign melanocytic proliferations > Nevus")
    page.select_option("#sex", "female")
    page.fill("#age_approx", "40")
    page.fill("#patient_id", "PAGE_P1")
    page.click("text=Add the case")
    page.wait_for_selector("#done a")
    page.click("#done a")
    page.wait_for_selector("#record dd")
    assert "Nevus" in page.inner_text("#record")


def _forget(page) -> None:
    page.goto(f"/cases/{NEW}")
    page.click("#forget")
    page.wait_for_selector("#forget-now")
    assert "Nothing has been changed yet" in page.inner_text("#forgetting")
    page.click("#forget-now")
    page.wait_for_selector("#gone .notice")
    assert "nothing is left" in page.inner_text("#gone")
    # A receipt names nobody.
    assert NEW not in page.inner_text(".receipt")


def sign_in(page, name: str, password: str) -> None:
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button")


def test_who_may_not_is_told_so(drawn, book) -> None:
    case = read_dataset(drawn).rows[0].case
    with Casebook.open(book) as casebook:
        for name, role in (("ada", Role.ADMIN), ("vera", Role.VIEWER), ("eve", Role.VIEWER)):
            accounts.add_account(casebook, name, password=PASSWORD, role=role)
    with served(book) as address, looking(address) as browser:
        page = browser.page()
        page.goto(f"/cases/{case.isic_id}")
        assert urlsplit(page.url).path == "/login"
        for _ in range(5):
            sign_in(page, "eve", "a wrong password")
            assert "do not open anything" in page.inner_text("[role=alert]")
        sign_in(page, "eve", PASSWORD)
        assert "do not open anything" in page.inner_text("[role=alert]"), "locked"

        sign_in(page, "vera", PASSWORD)
        page.wait_for_selector("#record dd")
        assert urlsplit(page.url).path == f"/cases/{case.isic_id}", "where vera wanted to go"
        assert case.patient_id not in page.inner_text("#record")
        assert page.locator("#forget").count() == 0
        refused = page.evaluate(
            "async (path) => (await fetch(path, {method: 'DELETE'})).status",
            f"/api/v1/cases/{case.isic_id}",
        )
        assert refused == 403
        for path in ("/add", "/admin/users", "/admin/audit"):
            assert page.goto(path).status == 403
            assert "Not allowed" in page.inner_text("h1")
        page.goto("/")
        assert page.locator("nav a").all_inner_texts() == ["Search", "Cases", "Map"]
        page.click("text=Sign out")
        page.wait_for_url("**/login")
        page.goto("/")
        assert urlsplit(page.url).path == "/login"

        sign_in(page, "ada", PASSWORD)
        _manage(page)
        _audit(page, case)


def _manage(page) -> None:
    page.goto("/admin/users")
    assert "locked until" in page.inner_text("[aria-label=eve]")
    page.fill("#name", "carl")
    page.fill("#password", PASSWORD)
    page.select_option("#role", "contributor")
    page.click("main button:text-is('Add')")
    page.wait_for_selector("[aria-label=carl]")
    page.select_option("[aria-label=ada] select", "viewer")
    page.click("[aria-label='Change the role of ada']")
    assert "the only admin" in page.inner_text("[role=alert]")
    page.click("[aria-label=carl] summary:text-is('Remove')")
    page.click("[aria-label='Remove carl']")
    page.wait_for_selector("[aria-label=carl]", state="detached")


def _audit(page, case) -> None:
    page.goto("/admin/audit?user=vera")
    verbs = set(page.locator("tbody td:nth-child(3)").all_inner_texts())
    assert {"look", "sign in", "sign out"} <= verbs
    page.fill("#patient", case.patient_id)
    page.click("form[method=post] button:text-is('Show') >> nth=-1")
    page.wait_for_selector("th:text-is('Cases')")
    assert case.isic_id in page.inner_text("tbody")
    assert case.patient_id not in page.url
    with page.expect_download() as download:
        page.click("form[method=post] button:text-is('As CSV')")
    text = download.value.path().read_text()
    assert text.startswith("number,when (UTC),who,verb,cases")
    assert case.isic_id in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_every_page(book, photograph, theme) -> None:
    with served(book) as address, looking(address) as browser:
        page = browser.page(theme=theme, width=360 if theme == "dark" else 1280)
        page.goto("/")
        page.wait_for_selector("#filters details", state="attached")
        _check(page)
        # By keyboard alone: choose a file, open a hit, close it.
        while page.evaluate("document.activeElement.id") != "file":
            page.keyboard.press("Tab")
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Space")
        hits = searched(page, lambda: chooser.value.set_files(photograph))
        show_anyway(page)
        searched(page, lambda: page.click(f"#unlike-{hits[4]}"))
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        _check(page)
        page.focus("#hits button >> nth=0")
        page.keyboard.press("Enter")
        page.wait_for_selector(".panes")
        _check(page)
        page.keyboard.press("Escape")
        page.goto(f"/cases/{hits[0]}")
        page.wait_for_selector("#record dd")
        _check(page)
        page.click("#forget")
        page.wait_for_selector("#forget-now")
        _check(page)
        page.goto("/cases")
        page.wait_for_selector("#list[aria-busy=false] .hit")
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        _check(page)
        for path in (
            "/add",
            "/admin/audit?check=true",
            "/admin/users",
            "/login?failed=1",
            "/nowhere",
        ):
            page.goto(path)
            _check(page)


def _check(page) -> None:
    found = axe.Axe().run(page, options={"runOnly": WCAG, "resultTypes": ["violations"]})
    assert found.violations_count == 0, f"{page.url}\n{found.generate_report()}"
    assert page.evaluate(SIDEWAYS) == 0, f"{page.url} scrolls sideways"
    assert "gives no diagnosis" in page.inner_text("footer")
