"""Cases as the API tells them; how answers name what they were made by."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dermtwin.casebook import Record
from dermtwin.errors import SettingsError
from dermtwin.gallery import Filter, parse_where
from dermtwin.vocabulary import DRAWN_NOTICE, FIELDS, Case
from dermtwin.web.gate import Person, Role
from dermtwin.web.problems import missing
from dermtwin.web.service import Service

_PATIENT = "patient_id"


def stamped(service: Service, content: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with the encoder's fingerprint and the gallery's version."""
    consultation = service.consultation
    return dict(content) | {
        "encoder": consultation.encoder.id,
        "gallery_version": consultation.gallery.version,
    }


def conditions(where: list[str]) -> Filter:
    """The filter of an address.

    Raises:
        SettingsError: it is not understood, or names a patient.
    """
    wanted = parse_where(where)
    if any(each.field == _PATIENT for each in wanted.conditions):
        raise SettingsError(
            "a patient is never named in an address, which is kept in logs and histories; send "
            "the condition as a form field of POST /api/v1/search."
        )
    return wanted


def addresses(isic_id: str) -> dict[str, str]:
    """Where a case's pictures are."""
    base = f"/api/v1/cases/{quote(isic_id, safe='')}"
    return {"image": f"{base}/image", "thumbnail": f"{base}/thumbnail"}


def told(case: Case, *, to: Person) -> dict[str, Any]:
    """A case's fields, null where unknown; the patient's name for admins alone."""
    fields = {name: getattr(case, name) for name in FIELDS}
    if to.role is not Role.ADMIN:
        del fields[_PATIENT]
    notice = {"notice": DRAWN_NOTICE} if case.is_drawn else {}
    return fields | {"extra": dict(case.extra)} | notice | addresses(case.isic_id)


def record_of(service: Service, isic_id: str) -> Record:
    """A case by its name.

    Raises:
        ProblemError: there is none (404).
    """
    record = service.casebook.records([isic_id]).get(isic_id)
    if record is None:
        raise missing("the casebook holds no case of this name; check it.")
    return record
