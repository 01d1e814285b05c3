"""What every page is drawn with: who asks, what they may do, and where they can go."""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from dermtwin.web.gate import Permission, Person
from dermtwin.web.service import of


@dataclass(frozen=True, slots=True)
class _Entry:
    """A page in the list at the top of each."""

    path: str
    label: str
    permission: Permission


_ENTRIES = (
    _Entry("/", "Search", Permission.SEARCH),
    _Entry("/cases", "Cases", Permission.LOOK),
    _Entry("/map", "Map", Permission.LOOK),
    _Entry("/add", "Add a case", Permission.ADD),
    _Entry("/admin/audit", "Audit log", Permission.AUDIT),
    _Entry("/admin/users", "Users", Permission.USERS),
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401 - what a template takes
    """Draw a template for whoever asks."""
    person: Person | None = request.scope.get("state", {}).get("person")
    may = [] if person is None else [each for each in Permission if person.may(each)]
    shown = {
        "person": person,
        "may": may,
        "pages": [each for each in _ENTRIES if each.permission in may],
        "here": request.url.path,
    }
    templates = of(request).templates
    return templates.TemplateResponse(request, template, shown | values, status_code=status)


def sentence(said: object) -> str:
    """What went wrong as people write it: with a capital letter, unless a name comes first."""
    return re.sub(r"^[a-z]+(?= )", lambda found: found[0].capitalize(), str(said))
