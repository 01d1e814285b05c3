"""The pages: server-rendered shells whose data comes through the API."""

from fastapi import APIRouter

from dermtwin.web.pages import (
    audit,
    cases,
    map,  # noqa: A004 - as its address is
    signing,
    users,
)
from dermtwin.web.pages.signing import error_page

__all__ = ["error_page", "router"]

router = APIRouter(include_in_schema=False)
for _part in (cases, map, signing, audit, users):
    router.include_router(_part.router)
