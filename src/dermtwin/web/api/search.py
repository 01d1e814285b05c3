"""`POST /search` and `POST /compare`: the one question, and why a case is near."""

import base64
import io
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import JSONResponse
from PIL import Image

from dermtwin.casebook.listing import images_of_lesions
from dermtwin.consultation import Answer
from dermtwin.consultation.comparison import Side
from dermtwin.consultation.steering import Region
from dermtwin.errors import SettingsError
from dermtwin.gallery import parse_where
from dermtwin.images import Rgb
from dermtwin.vocabulary import SearchBy
from dermtwin.web.api.documented import found
from dermtwin.web.api.map import place_of
from dermtwin.web.api.records import addresses, record_of, stamped
from dermtwin.web.gate import Person, Role, Searcher
from dermtwin.web.problems import missing
from dermtwin.web.service import Served, Service
from dermtwin.web.uploads import name_of, read_upload

if TYPE_CHECKING:
    from dermtwin.consultation.consultation import Asked

logger = logging.getLogger("dermtwin.web")

router = APIRouter(tags=["search"])

_VIEW_QUALITY = 90
_MOST_STEERED = 50

Picture = Annotated[
    UploadFile | None, File(description="A JPEG, PNG, TIFF, BMP or WebP file; or give `case`.")
]
CaseName = Annotated[
    str | None, Form(description="A case to ask about instead.", examples=["ISIC_0000001"])
]
Box = Annotated[
    str | None,
    Form(
        description="Compare this part alone: `x0,y0,x1,y1`, fractions of the compared view.",
        examples=["0.25,0.25,0.75,0.75"],
    ),
]
Names = Annotated[list[str], Form(max_length=_MOST_STEERED)]

_SEARCH_EXAMPLE = {
    "query": "lesion.jpg",
    "encoder": "3919…",
    "views": 1,
    "gallery_version": 10015,
    "ms": 34.2,
    "eligible": 10015,
    "left_out": 0,
    "map": {"x": -12.5, "y": 31.0},
    "trust": {"level": "usable", "reasons": []},
    "neighbours": {
        "k": 10,
        "malignant": {
            "count": 7,
            "of": 10,
            "expected": 2.1,
            "text": "7 of 10 nearest cases were malignant (2 of 10 expected by chance in this "
            "casebook)",
        },
    },
    "hits": [
        {
            "rank": 1,
            "isic_id": "ISIC_0000001",
            "lesion_id": "IL_0000001",
            "distance": 0.31,
            "nearness": "very near",
            "diagnosis_1": "Malignant",
            "thumbnail": "/api/v1/cases/ISIC_0000001/thumbnail",
        }
    ],
}


@router.post("/search", responses=found(_SEARCH_EXAMPLE), summary="Find the nearest cases.")
def search(  # noqa: PLR0913 - the form's fields
    service: Served,
    person: Searcher,
    *,
    image: Picture = None,
    case: CaseName = None,
    k: Annotated[int, Form(ge=1, le=50, description="How many cases.")] = 10,
    where: Annotated[list[str], Form(max_length=40, examples=[["sex=female"]])] = [],  # noqa: B006
    every_image: Annotated[bool, Form()] = False,
    by: Annotated[SearchBy, Form()] = SearchBy.CODE,
    views: Annotated[
        int, Form(description="1, 4 (turned by quarters) or 8 (mirrored too); the nearest counts.")
    ] = 1,
    region: Box = None,
    like: Names = [],  # noqa: B006 - FastAPI copies a default
    unlike: Names = [],  # noqa: B006
    lesion_id: Annotated[str | None, Form(max_length=200)] = None,
    patient_id: Annotated[str | None, Form(max_length=200)] = None,
) -> JSONResponse:
    """The nearest cases of a picture, what they say together, and how far to trust them.

    The picture's own image, lesion and patient never come back. Nothing of it is kept.
    """
    _refuse_unknown(service, [*like, *unlike])
    asked: Asked = {
        "k": k,
        "filter": parse_where(where),
        "every_image": every_image,
        "by": by,
        "views": views,
        "lesion_id": lesion_id or None,
        "patient_id": patient_id or None,
        "who": person.name,
        "region": _region(region),
        "like": like,
        "unlike": unlike,
    }
    data = _one_of(image, case, service=service)
    with service.encoding() as consultation:
        if data is None:
            assert case is not None
            service.looks.note([case], who=person.name)  # the answer shows its picture
            answer = consultation.ask_case(case, **asked)
        else:
            answer = consultation.ask(data, name=name_of(image), **asked)
    content = _told(answer, service=service, person=person)
    if patient_id and person.role is not Role.ADMIN:
        # Whether a patient has cases here is for those who may see their name.
        content["left_out"] = None
        content["known"].pop("lesion_id", None)
    return JSONResponse(content)


@router.post("/compare", summary="See which regions make a picture and a case near.")
def compare(  # noqa: PLR0913 - the form's fields
    service: Served,
    person: Searcher,
    other: Annotated[str, Form(alias="with", description="The case to compare with.")],
    *,
    image: Picture = None,
    case: CaseName = None,
    region: Box = None,
) -> JSONResponse:
    """Both views at the same scale, and for each region what it adds to their similarity."""
    record_of(service, other)
    data = _one_of(image, case, service=service)
    with service.encoding() as consultation:
        compared = consultation.compare(
            data,
            name=name_of(image),
            case=case if data is None else None,
            other=other,
            region=_region(region),
            who=person.name,
        )
    return JSONResponse(
        stamped(
            service,
            {
                "similarity": compared.similarity,
                "distance": compared.distance,
                "remarks": list(compared.remarks),
                "query": _side(compared.query),
                "case": _side(compared.case),
            },
        )
    )


def view_of(pixels: Rgb) -> dict[str, Any]:
    """A compared view as JSON: width, height, and a JPEG in base64."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_VIEW_QUALITY)
    height, width = pixels.shape[:2]
    return {"width": width, "height": height, "jpeg": base64.b64encode(file.getvalue()).decode()}


def _side(side: Side) -> dict[str, Any]:
    return {"view": view_of(side.view), "regions": side.regions.tolist()}


def _told(answer: Answer, *, service: Service, person: Person) -> dict[str, Any]:
    content = answer.to_json()
    content["view"] = view_of(answer.view)
    content["map"] = place_of(service, answer)
    lesions = [each["lesion_id"] for each in content["hits"] if each["lesion_id"] is not None]
    counts = images_of_lesions(service.casebook, lesions)
    for hit in content["hits"]:
        hit["images_of_lesion"] = counts.get(hit["lesion_id"], 1)
        hit.update(addresses(hit["isic_id"]))
        if person.role is not Role.ADMIN:
            hit.pop("patient_id", None)
    if person.role is not Role.ADMIN:
        content.get("known", {}).pop("patient_id", None)
    if answer.unentered is None:
        service.looks.found([each["isic_id"] for each in content["hits"]], who=person.name)
    else:
        logger.warning("a look could not be entered in the audit log: %s", answer.unentered)
    return content


def _one_of(image: UploadFile | None, case: str | None, *, service: Service) -> bytes | None:
    """The image's bytes; None: a case is asked about, and it is there."""
    if (image is None) is (case is None):
        raise SettingsError("give either an image or a case to ask about.")
    if image is not None:
        return read_upload(image, settings=service.settings)
    assert case is not None
    record_of(service, case)
    return None


def _refuse_unknown(service: Service, isic_ids: Sequence[str]) -> None:
    there = service.casebook.records(isic_ids)
    if gone := [each for each in isic_ids if each not in there]:
        raise missing(f"{len(gone)} of the marked cases are not in the casebook; unmark them.")


def _region(text: str | None) -> Region | None:
    if not text:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            "a region is four fractions, x0,y0,x1,y1, for example 0.25,0.25,0.75,0.75."
        ) from error
    return Region(x0, y0, x1, y1)
