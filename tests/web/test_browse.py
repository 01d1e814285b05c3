"""All cases page by page, and the audit log page by page and as a file."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from served import PASSWORD, Clinic
from sqlalchemy import update

import dermtwin
from dermtwin.casebook import Casebook, accounts, auditing, extract
from dermtwin.casebook.accounts import Role
from dermtwin.casebook.extract import AuditEntry
from dermtwin.casebook.schema import AUDIT
from dermtwin.web import logs

pytest.importorskip("playwright", reason="no browser without playwright")

from looking import CHROMIUM, looking, served, settled

sees = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look with")
SOURCE = Path(dermtwin.__file__).parent


def names_of(answer) -> list[str]:
    return [each["isic_id"] for each in answer["cases"]]


def walked(client, **asked) -> list[dict]:
    """All pages from the first on, as their own marks lead."""
    pages, after = [], ""
    while after is not None:
        pages.append(client.get("/api/v1/cases", params=asked | {"after": after}).json())
        after = pages[-1]["next"]
    return pages


def all_cases(clinic) -> list:
    with Casebook.open(clinic.book) as casebook:
        return casebook.all_records()


@pytest.mark.parametrize("order", ["name", "newest"])
@pytest.mark.parametrize("where", [[], ["sex=female", "age_approx=20..90"]])
def test_pages_lead_through_all_cases_and_back(clinic, order, where) -> None:
    client = clinic.client()
    records = [
        each
        for each in all_cases(clinic)
        if not where or (each.case.sex == "female" and 20 <= (each.case.age_approx or 0) <= 90)
    ]
    records.sort(key=lambda each: each.case.isic_id if order == "name" else -each.key)
    expected = [each.case.isic_id for each in records]
    for limit in (2, 5, len(expected), 200):
        asked = {"order": order, "where": where, "limit": limit}
        pages = walked(client, **asked)
        assert [name for page in pages for name in names_of(page)] == expected
        assert pages[0]["previous"] is None
        assert all(len(page["cases"]) == limit for page in pages[:-1])
        for page, following in pairwise(pages):
            back = client.get(
                "/api/v1/cases", params=asked | {"before": following["previous"]}
            ).json()
            assert {**back, "gallery_version": 0} == {**page, "gallery_version": 0}


def test_a_page_stays_where_it_was_when_its_edge_is_forgotten(clinic) -> None:
    client = clinic.client()
    for order in ("name", "newest"):
        first, second, *_ = walked(client, order=order, limit=3)
        dermtwin.forget(case=names_of(first)[-1], casebook=clinic.book)
        again = client.get(
            "/api/v1/cases", params={"order": order, "limit": 3, "after": first["next"]}
        )
        assert names_of(again.json()) == names_of(second)


def test_a_page_is_one_look_and_a_wrong_place_is_refused(staffed) -> None:
    # Somebody who has seen nothing yet: what was seen within ten minutes is no new look.
    staffed.users[Role.VIEWER] = "new.viewer"
    accounts.add_account(
        staffed.casebook, "new.viewer", password=PASSWORD, role=Role.VIEWER, who="a.admin"
    )
    client = staffed.signed_in(Role.VIEWER)
    before = len(dermtwin.audit(casebook=staffed.book).entries)
    page = client.get("/api/v1/cases", params={"limit": 12}).json()
    for case in page["cases"]:
        assert client.get(case["thumbnail"]).status_code == 200
    (entry,) = dermtwin.audit(casebook=staffed.book).entries[before:]
    assert (entry.who, entry.verb, entry.details) == ("new.viewer", "look", {"cases": 12})
    for wrong in (
        {"order": "newest", "after": "ISIC_1"},
        {"order": "newest", "before": "9" * 30},
        {"order": "newest", "after": "²"},
        {"order": "oldest"},
        {"after": "a", "before": "b"},
    ):
        assert client.get("/api/v1/cases", params=wrong).status_code == 422, wrong


# --- the audit log


def brute(clinic, **asked) -> list[AuditEntry]:
    return list(dermtwin.audit(casebook=clinic.book, **asked).entries)


@pytest.fixture(scope="module")
def busy_book(tmp_path_factory, staffed_book) -> Path:
    """With a log of some length, of several people and verbs."""
    folder = tmp_path_factory.mktemp("busy")
    clinic = Clinic(shutil.copytree(staffed_book, folder / "book"))
    viewer, admin = clinic.signed_in(Role.VIEWER), clinic.signed_in(Role.ADMIN)
    for record in all_cases(clinic)[:6]:
        name = record.case.isic_id
        viewer.get(f"/api/v1/cases/{name}")
        admin.post("/api/v1/search", data={"case": name, "where": "sex=female", "like": name})
    clinic.app.state.service.close()
    dermtwin.backup(folder / "backup", casebook=clinic.book)
    return clinic.book


@pytest.fixture
def busy(busy_book, tmp_path) -> Iterator[Clinic]:
    clinic = Clinic(shutil.copytree(busy_book, tmp_path / "busy"))
    yield clinic
    clinic.app.state.service.close()


def test_the_log_is_paged_and_filtered_as_the_whole_of_it_would_be(busy) -> None:
    admin = busy.signed_in(Role.ADMIN)
    case = all_cases(busy)[0].case
    last_day = "2999-01-01"
    for given in (
        {},
        {"user": "a.viewer"},
        {"verb": "look"},
        {"since": "2020-01-01", "until": last_day, "user": "a.admin"},
        {"since": last_day},
        {"case": case.isic_id},
        {"case": case.isic_id, "user": "a.viewer"},
        {"patient": case.patient_id, "verb": "find"},
    ):
        asked = dict(given)
        verb = asked.pop("verb", None)
        expected = [each for each in brute(busy, **asked) if verb in (None, each.verb)]
        found, before = [], None
        while True:
            # Each of these questions is an entry itself.
            place = {"limit": 4} | ({} if before is None else {"before": before})
            ask = admin.post if "patient" in given else admin.get
            form = {"data" if "patient" in given else "params": given | place}
            answer = ask("/api/v1/audit", **form).json()
            found += answer["entries"]
            before = answer["next"]
            if before is None:
                break
        is_known = {each.seq for each in expected}
        found = [each for each in found if each["seq"] in is_known]
        assert [each["seq"] for each in found] == [each.seq for each in reversed(expected)], given
        assert [tuple(each["cases"]) for each in found] == [each.cases for each in expected[::-1]]


def test_a_file_of_the_log_has_every_entry_and_says_if_it_was_altered(busy, monkeypatch) -> None:
    monkeypatch.setattr(extract, "_PART", 7)
    admin = busy.signed_in(Role.ADMIN)
    expected = brute(busy)
    text = admin.get("/admin/audit", params={"as": "csv"}).text
    head, *rows, empty, end = csv.reader(text.splitlines())
    assert tuple(head) == logs.COLUMNS
    assert [int(row[0]) for row in rows] == [each.seq for each in expected]
    assert empty == []
    assert end == ["end of the log", str(dermtwin.audit(casebook=busy.book).head)]
    lines = [json.loads(line) for line in admin.get("/api/v1/audit?as=lines").text.splitlines()]
    assert [each["seq"] for each in lines[:-1]] == [each.seq for each in expected]
    assert lines[-1]["broken"] == []
    patient = all_cases(busy)[0].case.patient_id
    expected = brute(busy, patient=patient)
    form = {"patient": patient, "as": "lines"}
    lines = [
        json.loads(line)
        for line in admin.post("/admin/audit/patient", data=form).text.split("\n")[:-1]
    ]
    assert [each["seq"] for each in lines[:-1]] == [each.seq for each in expected]

    with busy.casebook.writing() as connection:
        connection.execute(update(AUDIT).where(AUDIT.c.seq == 3).values(who="=nobody"))
    assert "altered" not in admin.get("/admin/audit").text
    assert "altered: entry 3" in admin.get("/admin/audit?check=true").text
    assert "altered: entry 3" in admin.get("/api/v1/audit?check=true").json()["broken"][0]
    text = admin.get("/admin/audit", params={"as": "csv"}).text
    assert "altered: entry 3" in text.splitlines()[-1]
    assert "'=nobody" in text  # no formula for a spreadsheet


@pytest.mark.parametrize("path", ["/admin/audit/patient", "/api/v1/audit"])
def test_an_extract_of_nobody_is_not_everybodys(busy, path) -> None:
    admin = busy.signed_in(Role.ADMIN)
    for blank in ("", "  ", "\t"):
        for shape in ("page", "lines"):
            done = admin.post(path, data={"patient": blank, "as": shape})
            assert done.status_code == 422, (blank, shape)
            assert "needs the patient&#39;s name" in done.text.replace("'", "&#39;")
    patient = all_cases(busy)[0].case.patient_id
    assert admin.post(path, data={"patient": f" {patient} "}).status_code == 200


def test_a_log_that_was_found_whole_says_so(busy) -> None:
    admin = busy.signed_in(Role.ADMIN)
    assert "every entry is as it was written" in admin.get("/admin/audit?check=true").text
    with busy.casebook.writing() as connection:  # a hundred and more: two pages
        for _ in range(120):
            auditing.note(connection, verb="look", who="many", details={"cases": 1})
    page = admin.get("/admin/audit?user=many&verb=look").text
    assert "120 of" in page
    (older,) = re.findall(r'name="before" value="(\d+)"', page)
    assert '<input type="hidden" name="user" value="many">' in page
    rest = admin.get(f"/admin/audit?user=many&verb=look&before={older}").text
    assert rest.count('<td class="when">') == 20
    assert "Older entries" not in rest
    assert admin.get("/admin/audit?before=0").status_code == 422
    assert admin.get("/admin/audit?since=yesterday").status_code == 422


def test_every_entry_is_told_in_words(busy) -> None:
    sources = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    written = {*re.findall(r'verb="([a-z ]+)"', sources), "backup", "export"}
    accounts = (SOURCE / "casebook" / "accounts.py").read_text()
    written |= set(re.findall(r'_note\(\s*connection, "([a-z ]+)"', accounts))
    assert written <= set(logs.VERBS), "a verb without words"
    told = {each.verb: logs.in_words(each) for each in brute(busy)}
    assert not any(re.search(r"True|False|None|[\[{_]", each) for each in told.values()), told
    found = r"\d+ cases? of \d+ eligible; filtered by sex; 1 case marked as like it"
    assert re.fullmatch(found, told["find"])
    assert told["backup"] == "all cases"
    assert told["look"] == "1 case"
    assert told["user add"] == "a.viewer, viewer"


# --- in a browser


def short(page) -> None:
    """The same server with four cases a page: there are not many."""
    page.route(
        "**/api/v1/cases?*",
        lambda route: route.continue_(url=route.request.url.replace("limit=48", "limit=4")),
    )


def seen(page) -> list[str]:
    page.wait_for_selector("#list[aria-busy=false] .hit")
    return page.locator(".hit .name").all_inner_texts()


def turned(page, action) -> list[str]:
    """The cases after something that leads to others."""
    with page.expect_response("**/api/v1/cases?*"):
        action()
    return seen(page)


@sees
def test_browsing(clinic) -> None:
    records = [each.case for each in all_cases(clinic)]
    women = sorted(each.isic_id for each in records if each.sex == "female")
    with served(clinic.book) as address, looking(address) as browser:
        page, other = browser.page(), browser.page()
        short(page)
        short(other)
        page.goto("/")
        newest = turned(page, lambda: page.click("nav a:text-is('Cases')"))
        assert newest == [each.isic_id for each in reversed(records)][:4]
        assert page.inner_text("#status") == f"{len(records)} cases, 4 on this page"
        page.click("summary:has-text('Sex')")
        turned(page, lambda: page.check("input[value=female]"))
        assert page.inner_text("#status").startswith(f"{len(women)} case")
        assert turned(page, lambda: page.select_option("#order", "name")) == women[:4]
        assert turned(page, lambda: page.click(".pager a:text-is('Next') >> nth=-1")) == women[4:8]
        # The address is the whole of it: for another person, and for who comes back from a case.
        asked = parse_qs(urlsplit(page.url).query)
        assert asked == {"where": ["sex=female"], "order": ["name"], "after": [women[3]]}
        assert turned(other, lambda: other.goto(page.url)) == women[4:8]
        assert other.is_checked("input[value=female]")
        page.set_viewport_size({"width": 1280, "height": 300})
        page.locator(".hit .open >> nth=1").scroll_into_view_if_needed()
        place = page.evaluate("scrollY")
        assert place > 0
        page.click(".hit .open >> nth=1")
        page.wait_for_selector("#record dd")
        assert page.inner_text("h1") == women[5]
        assert turned(page, page.go_back) == women[4:8]
        page.wait_for_function(f"() => Math.abs(scrollY - {place}) < 2")
        back = page.locator(".pager a:text-is('Previous')").first
        assert turned(page, back.click) == women[:4]
        page.click(".similar a >> nth=0")
        assert women[0] not in settled(page)
        assert urlsplit(page.url).query == f"case={women[0]}"


@sees
def test_where_there_is_no_case_a_sentence_says_so(clinic, tmp_path) -> None:
    Casebook.open_or_make(tmp_path / "empty").close()
    with served(clinic.book) as address, looking(address) as browser:
        page = browser.page(width=360)
        page.goto("/cases?where=sex%3Dfemale&where=age_approx%3D120")
        page.wait_for_selector("#status:has-text('No case meets these conditions')")
        assert turned(page, lambda: page.click("#clear-filters"))
        page.goto("/cases?where=sex%3Dfemal")
        page.wait_for_selector("#problem:not([hidden])")
        assert "did you mean" in page.inner_text("#problem")
    with served(tmp_path / "empty") as address, looking(address) as browser:
        page = browser.page()
        page.goto("/cases")
        page.wait_for_selector("#problem:not([hidden])")
        assert "holds no case" in page.inner_text("#problem")
        assert page.locator(".hit").count() == 0


@sees
def test_a_case_of_a_folder_is_looked_at_and_searched_by(foldered) -> None:
    with Casebook.open(foldered) as casebook:
        accounts.add_account(casebook, "ada", password=PASSWORD, role=Role.ADMIN)
    with served(foldered) as address, looking(address) as browser:
        page = browser.page()
        page.goto("/cases/malignant%2F50%25%20%C3%A9%3F")
        page.fill("#name", "ada")
        page.fill("#password", PASSWORD)
        page.click("main button")
        page.wait_for_selector("#record dd")
        page.goto("/cases?order=name")
        assert seen(page)[1] == "benign/IMG_0/image"
        page.click(".hit .open >> nth=1")
        page.wait_for_selector("#record dd")
        assert page.inner_text("h1") == "benign/IMG_0/image"
        page.wait_for_function("document.querySelector('#picture img').naturalWidth > 0")
        page.click("text=Find similar cases")
        page.wait_for_selector("#results[aria-busy=false] #answer:not([hidden])")
        assert urlsplit(page.url).query == "case=benign%2FIMG_0%2Fimage"
