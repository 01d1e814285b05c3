"""`GET /fields` and `GET /count`: what one can filter by, and how many cases that leaves."""

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from dermtwin.gallery.snapshot import Snapshot
from dermtwin.gallery.table import NAMES
from dermtwin.vocabulary import FIELDS
from dermtwin.web.api.documented import Where, found
from dermtwin.web.api.records import conditions, stamped
from dermtwin.web.gate import Searcher
from dermtwin.web.service import Served

router = APIRouter(tags=["search"])

_LABELS = {
    "diagnosis_1": "Class",
    "diagnosis_2": "Diagnosis, level 2",
    "diagnosis_3": "Diagnosis, level 3",
    "diagnosis_4": "Diagnosis, level 4",
    "diagnosis_5": "Diagnosis, level 5",
    "diagnosis_confirm_type": "Confirmed by",
    "age_approx": "Age",
    "sex": "Sex",
    "anatom_site_general": "Site",
    "fitzpatrick_skin_type": "Skin type (Fitzpatrick)",
    "image_type": "Image type",
    "attribution": "Attribution",
    "copyright_license": "Licence",
}
_FILTERED = tuple(name for name in FIELDS if name not in NAMES)

Kind = Literal["choice", "number", "text"]


@router.get("/fields", summary="What cases can be filtered by, with counts.")
def fields(service: Served, _person: Searcher) -> JSONResponse:
    """Each field with its values in this casebook, the commonest first."""
    snapshot = service.consultation.refresh()
    service.metrics.holds(len(snapshot))
    return JSONResponse([_field(name, snapshot) for name in _FILTERED])


@router.get("/count", responses=found({"eligible": 812}), summary="How many cases pass.")
def count(service: Served, _person: Searcher, where: Where = []) -> JSONResponse:  # noqa: B006
    """How many cases (images) meet all conditions."""
    wanted = conditions(where)
    tally = service.consultation.refresh().tally("sex", filter=wanted)
    return JSONResponse(stamped(service, {"eligible": sum(tally.values())}))


def _field(name: str, snapshot: Snapshot) -> dict[str, Any]:
    tally = snapshot.tally(name)
    unknown = tally.pop(None, 0)
    kind: Kind = "number" if name == "age_approx" else "text" if name in _TEXTS else "choice"
    ordered = sorted(tally.items(), key=lambda each: (-each[1], str(each[0])))
    if kind == "number":
        ordered = sorted(tally.items(), key=lambda each: int(each[0] or 0))
    return {
        "name": name,
        "label": _LABELS[name],
        "kind": kind,
        "values": [{"value": value, "count": many} for value, many in ordered],
        "unknown": unknown,
    }


_TEXTS = frozenset({"attribution", "copyright_license"})
