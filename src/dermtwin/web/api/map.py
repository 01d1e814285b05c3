"""`GET /map`: the casebook's map, small enough that 100,000 points load at once."""

import base64
import gzip
import json
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Header
from fastapi.responses import Response

from dermtwin.casebook import auditing
from dermtwin.casebook.mapping import MapState, StoredMap, map_state, points_of, stored_map
from dermtwin.consultation import Answer
from dermtwin.consultation.place import place_among
from dermtwin.errors import CasebookError
from dermtwin.vocabulary import Malignancy
from dermtwin.web.api.documented import found
from dermtwin.web.gate import Looker
from dermtwin.web.problems import missing
from dermtwin.web.service import Served, Service

router = APIRouter(tags=["cases"])

_STEPS = 2**16 - 1  # a place is told in so many steps of the map's longer side
_LETTERS = {Malignancy.MALIGNANT: "m", Malignancy.BENIGN: "b"}

_EXAMPLE = {
    "encoder": "3919…",
    "gallery_version": 10015,
    "map": "8f0c…",
    "seed": 0,
    "box": [-71.2, -64.0, 71.2, 66.5],
    "isic_ids": ["ISIC_0000001", "ISIC_0000002"],
    "classes": "mb",
    "points": "AAD//6Bt+x8=",
    "unplaced": 0,
}


@dataclass(frozen=True, slots=True)
class _Packed:
    """An answer, made once."""

    state: MapState
    cases: int
    content: bytes


class _Kept:
    """The last answer of each server in this process: at 100,000 points it takes a second."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_casebook: dict[str, _Packed] = {}

    def get(self, service: Service, state: MapState) -> _Packed | None:
        """The map of this state, or of a later one; None: it went meanwhile."""
        place = str(service.casebook.path)
        with self._lock:
            kept = self._by_casebook.get(place)
            if kept is not None and kept.state == state:
                return kept
            with service.casebook.reading() as connection:
                stored = stored_map(connection)
            if stored is None:
                return None
            made = _packed(stored)
            self._by_casebook = {place: made}
            return made

    def drop_other(self, service: Service, state: MapState | None) -> None:
        """Keep nothing of a map that is not this one: it may name a case that was forgotten."""
        with self._lock:
            kept = self._by_casebook.get(str(service.casebook.path))
            if kept is not None and kept.state != state:
                self._by_casebook = {}


_KEPT = _Kept()


@router.get(
    "/map",
    responses=found(_EXAMPLE) | {304: {"description": "It is as `If-None-Match` knows it."}},
    summary="The map of all cases.",
    response_class=Response,
)
def get_map(
    service: Served,
    person: Looker,
    *,
    if_none_match: Annotated[str | None, Header(max_length=2000)] = None,
    accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Where each case lies, as `dermtwin map` placed it, in the order of names.

    `points` is base64 of x, y, x, y … as little-endian 16-bit numbers; 0 to 65535 stand for the
    left to right and bottom to top of `box` [x0, y0, x1, y1]. `classes` has a letter a case: m
    malignant, b benign, o other or unknown. `unplaced` cases wait for the next `dermtwin map`.
    """
    with service.casebook.reading() as connection:
        state = map_state(connection)
    _KEPT.drop_other(service, state)
    packed = None if state is None else _KEPT.get(service, state)
    if packed is None:
        raise missing("this casebook has no map yet; make one with: dermtwin map --casebook …")
    headers = {"ETag": _tag(packed.state), "Vary": "Accept-Encoding"}
    if if_none_match is not None and _tag(packed.state) in if_none_match:
        return Response(status_code=304, headers=headers)
    _note(service, cases=packed.cases, who=person.name)
    content = packed.content
    if "gzip" in accept_encoding:
        headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, media_type="application/json", headers=headers)


def place_of(service: Service, answer: Answer) -> dict[str, float] | None:
    """Where an answer's query would lie on the map; None: there is none, or no hit is on it."""
    with service.casebook.reading() as connection:
        state = map_state(connection)
        names = [each.hit.isic_id for each in answer.hits]
        points = {} if state is None else points_of(connection, names)
    _KEPT.drop_other(service, state)
    place = place_among(answer.hits, points)
    return None if place is None else {"x": place[0], "y": place[1]}


def _tag(state: MapState) -> str:
    # Weak: with and without compression it is the same map.
    return f'W/"{state.encoder[:12]}-{state.version}-{state.mark}"'


def _note(service: Service, *, cases: int, who: str) -> None:
    """Enter the look: the map names every case, so it is one entry that speaks of all."""
    try:
        with service.casebook.writing() as connection:
            auditing.note(
                connection,
                verb="look",
                who=who,
                subjects=[auditing.EVERYONE],
                details={"map": True, "cases": cases},
            )
    except CasebookError:
        return  # a casebook that cannot be written shows its map too, as it does its cases


def _packed(stored: StoredMap) -> _Packed:
    text = json.dumps(_content(stored), separators=(",", ":")).encode()
    cases = len(stored.isic_ids)
    return _Packed(stored.state, cases, gzip.compress(text, compresslevel=6, mtime=0))


def _content(stored: StoredMap) -> dict[str, Any]:
    points = stored.points
    low = points.min(axis=0, initial=np.inf) if len(points) else np.zeros(2)
    high = points.max(axis=0) if len(points) else np.ones(2)
    side = np.where(high > low, high - low, 1.0)
    steps = np.rint((points - low) / side * _STEPS).astype("<u2")
    state = stored.state
    return {
        "encoder": state.encoder,
        "gallery_version": state.version,
        "map": state.mark,
        "seed": state.seed,
        "box": [*low.tolist(), *(low + side).tolist()],
        "isic_ids": stored.isic_ids,
        "classes": "".join(_letter(each) for each in stored.diagnoses),
        "points": base64.b64encode(steps.tobytes()).decode(),
        "unplaced": stored.unplaced,
    }


def _letter(diagnosis: str | None) -> str:
    return _LETTERS.get(diagnosis, "o")  # type: ignore[call-overload, no-any-return]
