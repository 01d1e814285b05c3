"""The query page, all cases page by page, a case's page, and the form that adds one."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from isic_metadata.diagnosis_hierarchical import DiagnosisEnum

from dermtwin.vocabulary import vocabulary_of
from dermtwin.web.api.documented import Name
from dermtwin.web.gate import Adder, Looker, Searcher
from dermtwin.web.pages.shell import page

router = APIRouter()

_CHOICES = {
    "diagnosis_confirm_type": "Confirmed by",
    "anatom_site_general": "Site",
    "sex": "Sex",
    "fitzpatrick_skin_type": "Skin type (Fitzpatrick)",
    "image_type": "Image type",
}


@router.get("/")
def query(request: Request, person: Searcher) -> Response:
    """Ask by picture."""
    del person
    return page(request, "query.html.j2")


@router.get("/cases")
def browse(request: Request, person: Looker) -> Response:
    """All cases, a page at a time; they come through the API, which enters the look."""
    del person
    return page(request, "cases.html.j2")


@router.get("/cases/{isic_id}")
def case(request: Request, isic_id: Name, person: Looker) -> Response:
    """One case; its record comes through the API, which enters the look."""
    del person
    return page(request, "case.html.j2", isic_id=isic_id)


@router.get("/add")
def add(request: Request, person: Adder) -> Response:
    """The form for a new case."""
    del person
    return page(request, "add.html.j2", diagnoses=_diagnoses(), choices=_choices())


@cache
def _diagnoses() -> tuple[str, ...]:
    """The archive's diagnoses as colon-separated paths, in the order of a list."""
    return tuple(sorted(member.value for member in DiagnosisEnum))


@cache
def _choices() -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": name, "label": label, "values": sorted(vocabulary_of(name) or ())}
        for name, label in _CHOICES.items()
    )
