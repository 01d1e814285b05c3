"""The API: the same answers as the library's, and no request that breaks it."""

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from served import HERE, Clinic, serving

import dermtwin
from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Role
from dermtwin.errors import SettingsError
from dermtwin.gallery import parse_where
from dermtwin.verbs.asking import ServerError, ask_server
from dermtwin.vocabulary import FIELDS

EXAMPLES = int(os.environ.get("DERMTWIN_REQUESTS", "200"))
"""How many requests schemathesis makes up in all; 10000 for the long run."""


@pytest.fixture(scope="module")
def lesion(drawn) -> Path:
    return min(drawn.rglob("*.jpg"))


@pytest.fixture
def client(clinic) -> Any:
    return clinic.client()


def cases_of(clinic) -> list:
    return [each.case for each in clinic.casebook.all_records()]


def ask(client, **form) -> dict:
    files = {"image": ("lesion.jpg", form.pop("image"))} if "image" in form else None
    done = client.post("/api/v1/search", files=files, data=form)
    assert done.status_code == 200, done.text
    return done.json()


CONDITIONS = (
    "sex=female",
    "sex=male,female",
    "sex=?",
    "age_approx=30..60",
    "age_approx=..40",
    "age_approx=45,50",
    "diagnosis_1=Malignant",
    "lesion_id=*",
    "anatom_site_general=head/neck",
    "fitzpatrick_skin_type=?",
)
FEW = st.lists(st.sampled_from(CONDITIONS), max_size=3, unique=True)
SAME_CLINIC = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


# --- the same as the library's


def test_search_is_find(clinic, client, lesion) -> None:
    for where in ([], ["sex=female"], ["age_approx=20..60", "diagnosis_1=Malignant"]):
        told = ask(client, image=lesion.read_bytes(), k=7, where=where)
        found = dermtwin.find(lesion, casebook=clinic.book, k=7, where=where).to_json()
        for hit, other in zip(told["hits"], found["hits"], strict=True):
            assert {name: hit[name] for name in other} == other
            assert client.get(hit["thumbnail"]).headers["content-type"] == "image/jpeg"
        alike = {"encoder", "gallery_version", "eligible", "trust", "neighbours", "known"}
        assert {name: told[name] for name in alike} == {name: found[name] for name in alike}
        lesions = [case.lesion_id for case in cases_of(clinic)]
        for hit in told["hits"]:
            assert hit["images_of_lesion"] == lesions.count(hit["lesion_id"])
    whole = told["view"]
    assert (whole["width"], whole["height"]) == (320, 320)


def test_a_case_a_region_and_marks_steer_the_search(clinic, client, lesion) -> None:
    one, other = (case.isic_id for case in cases_of(clinic)[::9][:2])
    plain = ask(client, case=one, k=50)
    assert one not in [hit["isic_id"] for hit in plain["hits"]]
    steered = [
        ask(client, case=one, k=50, region="0,0,0.5,0.5"),
        ask(client, case=one, k=50, like=[other]),
        ask(client, case=one, k=50, unlike=[other]),
    ]
    distances = [[hit["distance"] for hit in each["hits"]] for each in (plain, *steered)]
    assert len({tuple(each) for each in distances}) == 4
    for form, status in (
        ({"case": one, "like": "nobody"}, 404),
        ({"case": "nobody"}, 404),
        ({"case": one, "region": "0,0,1"}, 422),
        ({"case": one, "region": "nan,0,1,1"}, 422),
        ({"case": one, "like": other, "unlike": other}, 422),
        ({"case": one, "k": 51}, 422),
        ({"case": one, "where": "sexx=female"}, 422),
        ({}, 422),
    ):
        assert client.post("/api/v1/search", data=form).status_code == status, form
    both = client.post("/api/v1/search", data={"case": one}, files={"image": lesion.read_bytes()})
    assert both.status_code == 422


def test_a_comparison_adds_up(client, clinic, lesion) -> None:
    case = cases_of(clinic)[5].isic_id
    for form, files in (
        ({"with": case}, {"image": lesion.read_bytes()}),
        ({"with": case, "case": cases_of(clinic)[0].isic_id, "region": "0.1,0.1,0.9,0.7"}, None),
    ):
        told = client.post("/api/v1/compare", data=form, files=files).json()
        for side in ("query", "case"):
            assert np.sum(told[side]["regions"]) == pytest.approx(told["similarity"], abs=1e-4)
    assert client.post("/api/v1/compare", data={"with": "nobody"}).status_code == 404


@SAME_CLINIC
@given(where=FEW)
def test_counts_and_lists_are_those_of_every_case_looked_at(clinic, where) -> None:
    client, wanted = clinic.client(), parse_where(where)
    names = sorted(case.isic_id for case in cases_of(clinic) if wanted.matches(case))
    counted = client.get("/api/v1/count", params={"where": where}).json()
    assert counted["eligible"] == len(names)
    listed, after = [], ""
    while after is not None:
        asked = {"where": where, "after": after, "limit": 7}
        page = client.get("/api/v1/cases", params=asked).json()
        listed += [case["isic_id"] for case in page["cases"]]
        after = page["next"]
    assert listed == names


def test_a_case_whose_name_holds_a_slash_is_there_as_any_other(foldered) -> None:
    names = {"benign/IMG_0", "benign/IMG_0/image", "malignant/50% é?", "malignant/a%2Fb"}
    with serving(foldered) as client:
        listed = client.get("/api/v1/cases").json()["cases"]
        assert {each["isic_id"] for each in listed} == names
        for each in listed:
            address = each["image"].removesuffix("/image")
            told = client.get(address).json()
            assert (told["isic_id"], told["history"][0]["verb"]) == (each["isic_id"], "add")
            for picture in (each["image"], each["thumbnail"]):
                assert client.get(picture).headers["content-type"] == "image/jpeg"
            assert client.get(f"{address}/lesion").json()["cases"] == []
            plan = client.delete(address, params={"dry_run": True}).json()["would_go"]
            assert plan["cases"] == [each["isic_id"]]
        assert client.get("/api/v1/cases/benign%2FIMG_9").status_code == 404
        assert client.delete("/api/v1/cases/benign%2fIMG_0").json()["receipt"]["is_gone"] is True
        assert client.get("/api/v1/cases/benign%2FIMG_0").status_code == 404
        assert client.get("/api/v1/cases/benign%2FIMG_0%2Fimage").status_code == 200


def test_a_number_beyond_every_age_is_refused_in_a_sentence(client, clinic) -> None:
    for digits in ("9" * 20, "9" * 5000):
        where = {"where": f"age_approx=40..{digits}"}
        form = where | {"case": cases_of(clinic)[0].isic_id}
        for done in (
            client.get("/api/v1/cases", params=where),
            client.get("/api/v1/count", params=where),
            client.post("/api/v1/search", data=form),
        ):
            assert done.status_code == 422
            assert f"3 digits at most, {len(digits)} were given" in done.json()["detail"]


def test_fields_tell_every_value(clinic, client) -> None:
    cases = cases_of(clinic)
    for field in client.get("/api/v1/fields").json():
        values = [getattr(case, field["name"]) for case in cases]
        told = {each["value"]: each["count"] for each in field["values"]}
        assert told == {value: values.count(value) for value in set(values) - {None}}
        assert field["unknown"] == values.count(None)
        counts = [each["count"] for each in field["values"]]
        assert field["kind"] == "number" or all(a >= b for a, b in pairwise(counts))


def test_every_answer_names_encoder_and_version(client, clinic) -> None:
    encoder = client.get("/api/v1/encoders").json()["encoder"]
    name = cases_of(clinic)[0].isic_id
    for path in ("fields", "count", "cases", f"cases/{name}", f"cases/{name}/thumbnail"):
        headers = client.get(f"/api/v1/{path}").headers
        assert headers["dermtwin-encoder"] == encoder
        assert int(headers["dermtwin-gallery-version"]) == clinic.casebook.version()


# --- adding and forgetting


def test_a_case_comes_and_goes_by_name(staffed, drawn, tmp_path) -> None:
    contributor, admin = staffed.signed_in(Role.CONTRIBUTOR), staffed.signed_in(Role.ADMIN)
    dermtwin.draw(tmp_path / "more", lesions_per_class=1, seed=99)
    data = min((tmp_path / "more").rglob("*.jpg")).read_bytes()
    fields = {
        "isic_id": "CLINIC_1",
        "lesion_id": "L_NEW",
        "patient_id": "P_NEW",
        "diagnosis_1": "Benign",
        "diagnosis_confirm_type": "histopathology",
        "age_approx": "45",
        "sex": "female",
    }
    files = {"image": ("x.jpg", data)}
    for wrong in ({"sex": "femal"}, {"age_approx": "old"}, {"isic_id": "a/b"}, {"isic_id": ""}):
        done = contributor.post("/api/v1/cases", files=files, data=fields | wrong)
        assert done.status_code == 422, wrong
    added = contributor.post("/api/v1/cases", files=files, data=fields)
    assert added.status_code == 201
    assert "patient_id" not in added.json()
    again = contributor.post("/api/v1/cases", files=files, data=fields)
    assert (again.status_code, again.json()["added"]) == (200, False)
    differs = contributor.post("/api/v1/cases", files=files, data=fields | {"sex": "male"})
    assert differs.status_code == 409
    # The photograph of another lesion's case.
    other = min(drawn.rglob("*.jpg")).read_bytes()
    repeats = {"isic_id": "CLINIC_2", "lesion_id": "L_OTHER"}
    done = contributor.post("/api/v1/cases", files={"image": other}, data=repeats)
    assert done.status_code == 409
    assert "shows the photograph of" in done.json()["detail"]
    told = admin.get("/api/v1/cases/CLINIC_1").json()
    assert {name: told[name] for name in fields} == fields | {"age_approx": 45}
    assert [name for name in FIELDS if name not in told] == []
    near = ask(contributor, case=cases_of(staffed)[0].isic_id, k=50, every_image=True)
    assert "CLINIC_1" in [hit["isic_id"] for hit in near["hits"]]

    plan = admin.delete("/api/v1/cases/CLINIC_1", params={"dry_run": True}).json()["would_go"]
    assert plan["cases"] == ["CLINIC_1"]
    dermtwin.hold(casebook=staffed.book, patient="P_NEW", why="court order")
    assert admin.delete("/api/v1/cases/CLINIC_1").status_code == 409
    dermtwin.hold(casebook=staffed.book, patient="P_NEW", lift=True)
    assert admin.delete("/api/v1/cases/CLINIC_1").json()["receipt"]["is_gone"] is True
    assert admin.delete("/api/v1/cases/CLINIC_1").status_code == 404
    near = ask(contributor, case=cases_of(staffed)[0].isic_id, k=50, every_image=True)
    assert "CLINIC_1" not in [hit["isic_id"] for hit in near["hits"]]
    log = dermtwin.audit(casebook=staffed.book)
    assert not log.broken
    done = {(entry.who, entry.verb) for entry in log.entries}
    expected = {("a.contributor", "add"), ("a.admin", "look"), ("a.admin", "forget")}
    assert expected | {("a.contributor", "find"), ("a.contributor", "sign in")} <= done


def test_an_admin_hands_out_a_patients_extract(staffed) -> None:
    viewer, admin = staffed.signed_in(Role.VIEWER), staffed.signed_in(Role.ADMIN)
    case = next(each for each in cases_of(staffed) if each.patient_id)
    viewer.get(f"/api/v1/cases/{case.isic_id}/image")
    found = admin.post("/api/v1/audit", data={"patient": case.patient_id}).json()
    assert ("a.viewer", "look", [case.isic_id]) in [
        (each["who"], each["verb"], each["cases"]) for each in found["entries"]
    ]
    assert admin.post("/api/v1/audit", data={"patient": "nobody"}).status_code == 404
    assert admin.get("/api/v1/audit", params={"since": "yesterday"}).status_code == 422
    of_viewer = admin.get("/api/v1/audit", params={"user": "a.viewer"}).json()["entries"]
    assert {each["verb"] for each in of_viewer} == {"sign in", "look"}


def test_a_casebook_without_cases_says_so(tmp_path) -> None:

    Casebook.open_or_make(tmp_path / "empty").close()
    clinic = Clinic(tmp_path / "empty")
    for path in ("/readyz", "/api/v1/fields", "/api/v1/encoders"):
        done = clinic.client().get(path)
        assert done.status_code == 503
        assert "holds no case" in done.json()["detail"]
    assert clinic.client().get("/healthz").status_code == 200
    clinic.app.state.service.close()


# --- the first client


def test_find_asks_a_server_as_it_asks_a_casebook(staffed, book, lesion, program) -> None:
    _, token = accounts.add_token(staffed.casebook, user="a.viewer", label="find")
    with serving(staffed.book) as server:
        address = str(server.base_url)
        words = ("find", lesion, "-k", 4, "--where", "sex=female", "--views", 4)
        environment = os.environ | {"DERMTWIN_TOKEN": token, "COLUMNS": "200"}
        there = program(*words, "--server", address, env=environment)
        here = program(*words, "--casebook", book, env=environment)
        rows = [line for line in here.stdout.splitlines() if line[:1].isdigit()]
        assert rows
        assert [line for line in there.stdout.splitlines() if line[:1].isdigit()] == rows
        told = program(*words, "--server", address, "--json", env=environment).stdout
        assert [hit["isic_id"] for hit in json.loads(told)["hits"]] == [
            row.split()[-1] for row in rows
        ]
        for line in there.stderr.splitlines():
            assert line.startswith("Eligible: ") or line in here.stderr
        nobody = os.environ | {"DERMTWIN_TOKEN": ""}
        assert (
            "nobody is signed in" in program(*words, "--server", address, code=1, env=nobody).stderr
        )
    gone = program(*words, "--server", address, code=1, env=environment)
    assert "cannot be reached" in gone.stderr
    assert "no server's address" in program(*words, "--server", "file:///etc", code=1).stderr


class _Ear(BaseHTTPRequestHandler):
    """A server that knows how it was asked: of a proxy the whole address is wanted."""

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_is_for_this_machine_takes_no_way_through_a_proxy(monkeypatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Ear) as here:
        here.asked, here.timeout = [], 10
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        with ThreadPoolExecutor() as pool:
            answered = pool.submit(here.handle_request)
            with pytest.raises(ServerError, match="refuses"):
                ask_server(f"http://127.0.0.1:{here.server_port}", b"", name="x.jpg")
            answered.result()
    assert here.asked == ["/api/v1/search"]


def test_a_token_never_goes_over_the_net_in_the_clear() -> None:
    for server in ("http://cases.invalid", "http://192.0.2.1:8000", "HTTP://cases.invalid"):
        with pytest.raises(SettingsError, match="token in the clear"):
            ask_server(server, b"", name="x.jpg", token="secret")
    for server in ("http://localhost:1", "http://[::1]:1", "https://127.0.0.1:1"):
        with pytest.raises(ServerError, match="cannot be reached"):
            ask_server(server, b"", name="x.jpg", token="secret")
    with pytest.raises(ServerError, match="cannot be reached"):
        ask_server("http://cases.invalid", b"", name="x.jpg")


# --- whatever is sent


def test_no_made_up_request_breaks_it(staffed) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schemathesis = pytest.importorskip("schemathesis", reason="needs the extra 'dev'")
        schema = schemathesis.openapi.from_dict(staffed.app.openapi())
    client = staffed.signed_in(Role.ADMIN)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= 18
    seen = []
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    for operation, mode in product(operations, modes):

        @settings(
            max_examples=-(-EXAMPLES // (2 * len(operations))),
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case) -> None:
            done = send(client, case)
            seen.append(done.status_code)
            assert done.status_code < 500, f"{case.as_curl_command()}\n{done.text}"
            assert done.status_code != 401
            if done.status_code >= 400 and case.method != "HEAD":
                assert done.headers["content-type"] == "application/problem+json"
                assert {"type", "title", "status", "detail"} == set(done.json())

        # What takes nothing cannot be asked wrongly.
        with suppress(Unsatisfiable):
            holds()
    assert len(seen) >= EXAMPLES // 2
    assert 200 in seen


def send(client, case) -> Any:
    """Send a made-up request, byte for byte, through the application itself."""
    import requests

    wire = case.as_transport_kwargs(base_url=HERE)
    kept = ("method", "url", "params", "headers", "data", "files", "json")
    made = requests.Request(**{name: wire[name] for name in kept if name in wire}).prepare()
    return client.request(made.method, made.url, content=made.body, headers=dict(made.headers))
