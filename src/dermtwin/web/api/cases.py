"""`/cases`: list, look, add, forget."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import JSONResponse, Response

from dermtwin.casebook import Outcome, Record, Writer, listing, small_copy
from dermtwin.casebook.extract import history
from dermtwin.casebook.forgetting import cases_of, plan
from dermtwin.casebook.hashes import Shown
from dermtwin.casebook.listing import Order, Place
from dermtwin.errors import SettingsError
from dermtwin.gallery.filters import nearest
from dermtwin.images import bare
from dermtwin.verbs.adding import OnDuplicate
from dermtwin.verbs.adding.alone import add_alone
from dermtwin.vocabulary import Case, vocabulary_of
from dermtwin.web.api.documented import JPEG, Name, Where
from dermtwin.web.api.records import conditions, record_of, stamped, told
from dermtwin.web.gate import Adder, Forgetter, Looker, Person, Role
from dermtwin.web.problems import ProblemError, missing
from dermtwin.web.service import Served, Service
from dermtwin.web.uploads import name_of, read_upload

router = APIRouter(prefix="/cases", tags=["cases"])

_CHANGES = frozenset({"add", "alter"})
_MEDIA = {"JPEG": "jpeg", "PNG": "png", "TIFF": "tiff", "BMP": "bmp", "WEBP": "webp"}

# What may be a name in an address, and in a file system's.
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Text = Annotated[str | None, Form(max_length=200)]


@router.get("", summary="List cases, a page at a time.")
def list_cases(  # noqa: PLR0913 - the parts of its address
    service: Served,
    person: Looker,
    *,
    where: Where = [],  # noqa: B006 - FastAPI copies a default
    order: Annotated[Order, Query(description="By name, or the last added first.")] = Order.NAME,
    after: Annotated[str, Query(description="The `next` of the page before.", max_length=200)] = "",
    before: Annotated[
        str, Query(description="The `previous` of the page after.", max_length=200)
    ] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JSONResponse:
    """Cases in their order; `next` and `previous` lead on, null where there is no more."""
    place = Place(order=order, after=after, before=before)
    page = listing.page(service.casebook, filter=conditions(where), place=place, limit=limit)
    service.looks.note([each.case.isic_id for each in page.records], who=person.name)
    content = {
        "cases": [told(each.case, to=person) for each in page.records],
        "previous": page.previous,
        "next": page.next,
    }
    return JSONResponse(stamped(service, content))


@router.get("/{isic_id}", summary="Look at a case.")
def get_case(service: Served, person: Looker, isic_id: Name) -> JSONResponse:
    """A case's record, and what happened to it; admins also see who looked at it."""
    record = record_of(service, isic_id)
    service.looks.note([isic_id], who=person.name)
    return JSONResponse(
        stamped(
            service, told(record.case, to=person) | {"history": _history(service, isic_id, person)}
        )
    )


@router.get(
    "/{isic_id}/image", summary="A case's picture.", response_class=Response, responses=JPEG
)
def get_image(service: Served, person: Looker, isic_id: Name) -> Response:
    """The image file as the casebook keeps it."""
    record = record_of(service, isic_id)
    service.looks.note([isic_id], who=person.name)
    data = service.casebook.image_of(record)
    return Response(data, media_type=f"image/{_MEDIA[record.format]}")


@router.get(
    "/{isic_id}/thumbnail", summary="A small copy.", response_class=Response, responses=JPEG
)
def get_thumbnail(service: Served, person: Looker, isic_id: Name) -> Response:
    """A JPEG of at most 256x256 pixels."""
    record = record_of(service, isic_id)
    service.looks.note([isic_id], who=person.name)
    data = small_copy(service.casebook, _shown(record))
    if data is None:
        raise missing("the case's picture cannot be read; `dermtwin check` tells more.")
    return Response(data, media_type="image/jpeg")


@router.get("/{isic_id}/lesion", summary="The other photographs of a case's lesion.")
def get_lesion(service: Served, person: Looker, isic_id: Name) -> JSONResponse:
    """The cases that show the same lesion, by name, without this one."""
    record = record_of(service, isic_id)
    lesion = record.case.lesion_id
    records = [] if lesion is None else listing.of_lesion(service.casebook, lesion)
    others = [each for each in records if each.case.isic_id != isic_id]
    service.looks.note([each.case.isic_id for each in others], who=person.name)
    content = {"lesion_id": lesion, "cases": [told(each.case, to=person) for each in others]}
    return JSONResponse(stamped(service, content))


@router.post("", status_code=201, summary="Add a case.")
def add_case(  # noqa: PLR0913 - a case's fields
    service: Served,
    person: Adder,
    *,
    image: Annotated[UploadFile, File(description="A JPEG, PNG, TIFF, BMP or WebP file.")],
    isic_id: Annotated[str, Form(pattern=_NAME, examples=["CLINIC_0000001"])],
    lesion_id: Text = None,
    patient_id: Text = None,
    diagnosis_1: Annotated[str | None, Form(examples=["Benign"])] = None,
    diagnosis_2: Text = None,
    diagnosis_3: Text = None,
    diagnosis_4: Text = None,
    diagnosis_5: Text = None,
    diagnosis_confirm_type: Annotated[str | None, Form(examples=["histopathology"])] = None,
    age_approx: Annotated[str | None, Form(pattern=r"^\s*[0-9]{0,3}\s*$", examples=["45"])] = None,
    sex: Annotated[str | None, Form(examples=["female"])] = None,
    anatom_site_general: Text = None,
    fitzpatrick_skin_type: Text = None,
    image_type: Annotated[str | None, Form(examples=["dermoscopic"])] = None,
    attribution: Text = None,
    copyright_license: Text = None,
    on_duplicate: Annotated[
        OnDuplicate, Form(description="What to do with another lesion's photograph.")
    ] = OnDuplicate.REFUSE,
) -> JSONResponse:
    """Add a case; of its picture nothing beside the pixels is kept (no EXIF, no place).

    201: added; 200: it was there already, with the same image and values.
    """
    case = _case(
        {
            "isic_id": isic_id,
            "lesion_id": lesion_id,
            "patient_id": patient_id,
            "diagnosis_1": diagnosis_1,
            "diagnosis_2": diagnosis_2,
            "diagnosis_3": diagnosis_3,
            "diagnosis_4": diagnosis_4,
            "diagnosis_5": diagnosis_5,
            "diagnosis_confirm_type": diagnosis_confirm_type,
            "age_approx": age_approx,
            "sex": sex,
            "anatom_site_general": anatom_site_general,
            "fitzpatrick_skin_type": fitzpatrick_skin_type,
            "image_type": image_type,
            "attribution": attribution,
            "copyright_license": copyright_license,
        }
    )
    data = read_upload(image, settings=service.settings)
    with service.encoding() as consultation:
        consultation.refresh()
        added = add_alone(
            service.casebook,
            case,
            bare(data, name=name_of(image)),
            encoder=consultation.encoder,
            name=name_of(image),
            on_duplicate=on_duplicate,
            who=person.name,
        )
        consultation.refresh()
    if added.outcome not in (Outcome.ADDED, Outcome.ALREADY_THERE):
        raise ProblemError(" ".join(added.remarks), status=HTTPStatus.CONFLICT)
    is_new = added.outcome is Outcome.ADDED
    content = told(case, to=person) | {"added": is_new, "remarks": list(added.remarks)}
    return JSONResponse(stamped(service, content), 201 if is_new else 200)


@router.delete("/{isic_id}", summary="Forget a case.")
def forget_case(
    service: Served,
    person: Forgetter,
    isic_id: Name,
    *,
    dry_run: Annotated[bool, Query(description="Only tell what would go.")] = False,
) -> JSONResponse:
    """Erase a case from every answer and from the disk; with `dry_run` nothing is changed."""
    record_of(service, isic_id)
    if dry_run:
        return JSONResponse(stamped(service, {"would_go": _plan(service, isic_id)}))
    with Writer(service.casebook) as writer:
        report = writer.forget("case", isic_id, who=person.name)
    service.consultation.refresh()
    return JSONResponse(stamped(service, {"receipt": report.to_json(), "told": str(report)}))


def _plan(service: Service, isic_id: str) -> dict[str, Any]:
    with service.casebook.reading() as connection:
        keys = cases_of(connection, "case", isic_id)
        wanted, _ = plan(connection, keys)
    return wanted.to_json()


def _history(service: Service, isic_id: str, person: Person) -> list[dict[str, Any]]:
    entries = history(service.casebook, isic_id)
    is_admin = person.role is Role.ADMIN
    return [
        {"at": each.at, "who": each.who, "verb": each.verb}
        for each in entries
        if is_admin or each.verb in _CHANGES
    ]


def _shown(record: Record) -> Shown:
    case = record.case
    return Shown(record.key, case.isic_id, case.lesion_id, record.sha256, record.format)


def _case(given: dict[str, str | None]) -> Case:
    """The case of a form's fields; raises SettingsError."""
    values = {name: text.strip() for name, text in given.items() if text and text.strip()}
    for name, value in values.items():
        known = vocabulary_of(name)
        if known is not None and value not in known:
            raise SettingsError(
                f"{name} is never {value!r}; did you mean {nearest(value, known)!r}?"
            )
        if not value.isprintable():
            raise SettingsError(f"{name} holds a character that cannot be printed; mend it.")
    age = values.pop("age_approx", None)
    return Case(**values, age_approx=None if age is None else int(age))  # type: ignore[arg-type]
