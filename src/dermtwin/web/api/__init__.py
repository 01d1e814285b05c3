"""The API, `/api/v1`: one file a resource; who may do what stands in `gate`."""

from fastapi import APIRouter

from dermtwin.web.api import (
    audit,
    cases,
    encoders,
    fields,
    map,  # noqa: A004 - as its address is
    search,
    users,
)
from dermtwin.web.api.documented import PROBLEMS

__all__ = ["PROBLEMS", "router"]

router = APIRouter(prefix="/api/v1")
for resource in (search, fields, cases, map, encoders, audit, users):
    router.include_router(resource.router)
