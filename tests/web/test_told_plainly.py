"""What a person is told when something is not as it was thought: the session, a name, a word."""

import io
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from served import PASSWORD

from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Role
from dermtwin.datasets import read_dataset
from dermtwin.vocabulary import FIELDS

pytest.importorskip("playwright", reason="no browser without playwright")

from looking import CHROMIUM, looking, searched, served, settled

sees = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look with")

EVERY_IMAGE = "document.getElementById('every-image').click()"


def sign_in(page, name: str, password: str = PASSWORD) -> None:
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button")


def end_sessions(book, name: str) -> None:
    with Casebook.open(book) as casebook:
        accounts.end_sessions(casebook, name)


def has_focus(page, selector: str) -> bool:
    return page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector)


def told(page, words: str) -> None:
    page.wait_for_selector(f"#problem:has-text({words!r})")


# --- the session


@sees
def test_an_ended_session_takes_nothing_away(staffed, drawn) -> None:
    photograph = read_dataset(drawn).rows[0].image
    with served(staffed.book) as address, looking(address) as browser:
        page = browser.page(width=360)
        page.goto("/")
        sign_in(page, "a.admin")
        page.wait_for_selector("#filters details", state="attached")
        page.set_input_files("#file", photograph)
        first = settled(page)
        end_sessions(staffed.book, "a.admin")
        page.evaluate(EVERY_IMAGE)
        told(page, "Your session ended")
        assert urlsplit(page.url).path == "/"
        with page.context.expect_page() as opened:
            page.click("#problem a")
        sign_in(opened.value, "a.admin")
        opened.value.wait_for_selector("#filters details", state="attached")
        opened.value.close()
        # The picture is there still.
        assert searched(page, lambda: page.evaluate(EVERY_IMAGE)) == first
        _add_after_the_end(page, staffed.book, photograph)
        _ask_by_a_form_after_the_end(page, staffed.book)


def _add_after_the_end(page, book, photograph) -> None:
    page.goto("/add")
    page.set_input_files("#image", photograph)
    page.fill("#isic_id", "PLAIN_1")
    end_sessions(book, "a.admin")
    page.click("text=Add the case")
    told(page, "Your session ended")
    assert has_focus(page, "#problem")
    assert page.input_value("#isic_id") == "PLAIN_1"
    page.goto("/login")
    sign_in(page, "a.admin")
    page.wait_for_selector("#filters details", state="attached")


def _ask_by_a_form_after_the_end(page, book) -> None:
    page.goto("/admin/audit")
    page.fill("#patient", "whoever")
    end_sessions(book, "a.admin")
    page.click("form[method=post] button:text-is('Show') >> nth=-1")
    assert "your session ended; nothing was changed" in page.inner_text("[role=alert]")
    page.click("main a:text-is('Sign in')")
    sign_in(page, "a.admin")
    # The address of a form's answer leads to the form.
    page.wait_for_url("**/admin/audit")
    assert page.inner_text("h1") == "Audit log"
    for form in ("role", "password", "remove"):
        page.goto(f"/admin/users/{form}")
        assert urlsplit(page.url).path == "/admin/users"


@sees
def test_users_are_told_what_was_done(staffed) -> None:
    with served(staffed.book) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/admin/users")
        sign_in(page, "a.admin")
        page.wait_for_url("**/admin/users")
        page.fill("#name", "a.viewer")
        page.fill("#password", PASSWORD)
        page.select_option("#role", "admin")
        page.click("main button:text-is('Add')")
        page.wait_for_selector("[role=alert]")
        assert (page.input_value("#name"), page.input_value("#role")) == ("a.viewer", "admin")
        page.select_option("[aria-label='a.viewer'] select", "contributor")
        page.click("[aria-label='Change the role of a.viewer']")
        page.wait_for_selector("[role=status]:text-is('The role of a.viewer was changed.')")
        assert page.input_value("[aria-label='a.viewer'] select") == "contributor"
        # One's own password ends every other session alone.
        for name in ("a.viewer", "a.admin"):
            page.click(f"[aria-label='{name}'] summary:text-is('New password')")
            page.fill(f"[aria-label='{name}'] [type=password]", PASSWORD + "!")
            page.click(f"[aria-label='Set the password of {name}']")
            page.wait_for_selector(f"[role=status]:text-is('The password of {name} was set.')")
        page.click("[aria-label='a.viewer'] summary:text-is('Remove')")
        page.click("[aria-label='Remove a.viewer']")
        page.wait_for_selector("[role=status]:text-is('a.viewer was removed.')")
        assert page.goto("/admin/users?done=nonsense&name=x").status == 200
        assert page.locator("[role=status]").count() == 0


def test_ones_own_new_password_ends_every_other_session(staffed) -> None:
    here, there = (staffed.signed_in(Role.ADMIN) for _ in range(2))
    form = {"name": "a.admin", "password": PASSWORD + "!"}
    assert here.post("/admin/users/password", data=form).status_code == 303
    statuses = [each.get("/api/v1/users").status_code for each in (here, there)]
    assert statuses == [200, 401]


# --- names


def test_what_was_left_out_is_counted(staffed) -> None:
    cases = [each.case for each in staffed.casebook.all_records()]
    patient = cases[0].patient_id
    own = sum(case.patient_id == patient for case in cases)
    other = next(case for case in cases if case.patient_id != patient)
    alike = sum(case.patient_id == other.patient_id for case in cases)
    admin, viewer = staffed.signed_in(Role.ADMIN), staffed.signed_in(Role.VIEWER)
    image = {"image": ("unknown.png", _plain_picture())}

    def asked(client, **form) -> dict:
        done = client.post("/api/v1/search", data=form, files=None if "case" in form else image)
        assert done.status_code == 200, done.text
        return done.json()

    assert asked(admin)["left_out"] == 0
    assert asked(admin, patient_id="NOSUCH")["left_out"] == 0
    assert asked(admin, patient_id=patient, where="sex=?")["left_out"] == own
    assert asked(viewer, case=other.isic_id)["left_out"] == alike
    # Who may not see patients is not told whether one is there.
    for name in (patient, "NOSUCH"):
        answer = asked(viewer, patient_id=name)
        assert (answer["left_out"], answer["known"]) == (None, {})


def _plain_picture() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, size=(300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def test_a_mistyped_user_is_no_clean_record(staffed) -> None:
    admin = staffed.signed_in(Role.ADMIN)
    accounts.add_account(staffed.casebook, "idle", password=PASSWORD, role=Role.VIEWER, who="root")
    for path in ("/admin/audit", "/api/v1/audit"):
        page = admin.get(path, params={"user": "a.viever"}, headers={"Accept": "text/html"})
        assert page.status_code in (404, 422)
        assert "a.viever" in page.text
        assert "check it" in page.text
        for name in ("a.admin", "root", "idle"):
            assert admin.get(path, params={"user": name}).status_code == 200, name
    assert "0 of" in admin.get("/admin/audit", params={"user": "idle"}).text


# --- words


@sees
def test_people_read_peoples_words_and_keep_their_place(staffed, drawn) -> None:
    (row, *_) = read_dataset(drawn).rows
    with served(staffed.book) as address, looking(address) as browser:
        page = browser.page(width=360)
        page.goto("/add")
        sign_in(page, "a.admin")
        page.wait_for_selector("#add")
        _fill_in_wrongly(page, row)
        _name_a_patient(page, row)
        _clear(page)
        page.click("text=Sign out")
        page.wait_for_url("**/login*")
        sign_in(page, "a.viewer")
        page.wait_for_selector("#filters details", state="attached")
        page.goto("/admin/users")
        assert "may not see or change users here" in page.inner_text("[role=alert]")


def _fill_in_wrongly(page, row) -> None:
    page.set_input_files("#image", row.image)
    page.fill("#isic_id", "bad name")
    page.fill("#diagnosis", "melanom")
    page.click("text=Add the case")
    invalid = page.locator(":invalid:is(input)").evaluate_all("each => each.map((one) => one.id)")
    assert invalid == ["isic_id", "diagnosis"]
    page.fill("#isic_id", row.case.isic_id)
    page.fill("#diagnosis", "Benign>Benign melanocytic proliferations > Nevus")
    page.select_option("#sex", "female" if row.case.sex == "male" else "male")
    page.click("text=Add the case")
    told(page, "is in the casebook with another lesion, patient, ")
    said = page.inner_text("#problem")
    machine = ["--update", *(each for each in FIELDS if "_" in each)]
    assert not [each for each in machine if each in said]
    assert has_focus(page, "#problem")


def _name_a_patient(page, row) -> None:
    page.goto("/")
    page.wait_for_selector("#filters details", state="attached")
    page.click("#which > summary")
    page.click("#own summary")
    page.fill("#patient_id", "NOSUCH")
    page.set_input_files("#file", row.image)
    settled(page)
    # The picture's own case is left out all the same.
    assert "of the same image, lesion or patient" in page.inner_text("#made")
    page.set_input_files("#file", {"name": "x.png", "mimeType": "", "buffer": _plain_picture()})
    settled(page)
    page.wait_for_selector("#made:has-text('No case of this patient or lesion is in the casebook')")


def _clear(page) -> None:
    """Whoever takes away the last condition stands at the heading of them all."""
    for path in ("/", "/cases"):
        page.goto(f"{path}?where=sex%3Dfemale&where=lesion_id%3D*&where=sex%3Dfemal")
        page.wait_for_selector("#filters details", state="attached")
        if path == "/cases":
            told(page, "Sex is never 'femal'")
        page.evaluate("document.getElementById('which').open = true")
        page.click("[aria-label='Remove the filter sex=femal']")
        assert has_focus(page, "#which > summary")
        page.click("#clear-filters")
        assert has_focus(page, "#which > summary")


def test_the_program_tells_what_only_the_program_can_do(book, drawn, tmp_path, program) -> None:
    row = read_dataset(drawn).rows[0]
    folder = tmp_path / "changed"
    folder.mkdir()
    shutil.copy(row.image, folder)
    sex = "female" if row.case.sex == "male" else "male"
    (folder / "metadata.csv").write_text(f"isic_id,sex\n{row.case.isic_id},{sex}\n")
    done = program("add", folder, "--casebook", book)
    assert "With --update cases take over" in done.stderr
    (tmp_path / "unknown.png").write_bytes(_plain_picture())
    words = ("find", tmp_path / "unknown.png", "--casebook", book, "--patient", "NOSUCH")
    said = " ".join(program(*words).stderr.split())
    assert "Left out as the picture's own: 0 cases (patient NOSUCH)." in said
