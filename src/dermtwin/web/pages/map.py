"""The map of all cases."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dermtwin.web.gate import Looker
from dermtwin.web.pages.shell import page

router = APIRouter()


@router.get("/map")
def map_page(request: Request, person: Looker) -> Response:
    """The map's frame; its points come through the API, which enters the look."""
    del person
    return page(request, "map.html.j2")
