"""`GET /encoders`: by which encoder the casebook's codes are."""

import json

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from dermtwin.web.api.records import stamped
from dermtwin.web.gate import Searcher
from dermtwin.web.service import Served

router = APIRouter(tags=["encoders"])


@router.get("/encoders", summary="The casebook's encoder and its card.")
def encoders(service: Served, _person: Searcher) -> JSONResponse:
    """The encoder whose codes are searched: its fingerprint, name and card."""
    encoder = service.consultation.encoder
    card = json.loads(encoder.card.to_json())
    described = {"id": encoder.id, "name": encoder.card.name, "is_current": True, "card": card}
    return JSONResponse(stamped(service, {"encoders": [described]}))
