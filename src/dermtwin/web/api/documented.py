"""What the OpenAPI document says of answers that are alike."""

from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong, and what to do."},
    },
}


def _problem(description: str, *, status: int, title: str, detail: str) -> dict[str, Any]:
    example = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    content = {"application/problem+json": {"schema": _PROBLEM, "example": example}}
    return {"description": description, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": _problem(
        "The request cannot be answered (RFC 9457).",
        status=422,
        title="Unprocessable Content",
        detail="sex is never 'femal'; did you mean 'female'?",
    ),
    "5XX": _problem(
        "The casebook cannot be used now (RFC 9457).",
        status=503,
        title="Service Unavailable",
        detail="the casebook holds no case and no encoder yet.",
    ),
}

JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {"image/jpeg": {}, "image/png": {}}}
}

Name = Annotated[
    str,
    Path(
        description="The case's name; a slash in it is written %2F.",
        examples=["ISIC_0000001"],
        min_length=1,
    ),
    AfterValidator(unquote),  # what `bounds.WholeNames` left encoded
]
Where = Annotated[
    list[str],
    Query(
        description="Conditions that a case must meet, as `--where` has them. A patient is never "
        "named in an address.",
        examples=[["sex=female", "age_approx=40..60"]],
        max_length=40,
    ),
]


def found(example: Any) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401 - any JSON
    """An answer's example."""
    return {200: {"content": {"application/json": {"example": example}}}}
