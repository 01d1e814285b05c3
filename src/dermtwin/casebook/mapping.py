"""The map of the current encoder's codes: where each case lies, kept in the record."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select

from dermtwin.casebook import auditing, records
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.records import MANY, VECTOR, EncoderRecord, chunks
from dermtwin.casebook.schema import CASES, CODES, MAP_POINTS, MAPS
from dermtwin.errors import CasebookError

Points = NDArray[np.float64]

POINT = np.dtype("<f8")
"""How x and y are kept; two of them are enough bytes to be looked for after an erasure."""

_BYTES = 2 * POINT.itemsize
_AT_ONCE = 1000  # rows in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class MapState:
    """Which map a casebook has; equal states have equal maps.

    Attributes:
        encoder: id of the encoder whose codes are laid out.
        version: the number of the last change of the casebook.
        seed: by which the map was drawn.
        mark: changes whenever points do.
    """

    encoder: str
    version: int
    seed: int
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMap:
    """The places of all cases that have one, by name.

    Attributes:
        state: which map it is.
        isic_ids: the cases, in the order of their names.
        diagnoses: each case's `diagnosis_1`.
        points: float64 [N, 2].
        unplaced: how many cases have no place yet.
    """

    state: MapState
    isic_ids: tuple[str, ...]
    diagnoses: tuple[str | None, ...]
    points: Points
    unplaced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a map is made from: one moment of the record, in the order of names.

    Attributes:
        encoder: the current one.
        state: the map there is; None: none.
        keys: int64 [N], of the cases.
        codes: float32 [N, D].
        points: float64 [N, 2], NaN where a case has no place.
    """

    encoder: EncoderRecord
    state: MapState | None
    keys: NDArray[np.int64]
    codes: NDArray[np.float32]
    points: Points


def material(casebook: Casebook) -> Material:
    """Read all codes with their places.

    Raises:
        CasebookError: the casebook holds no case yet, or cannot be read.
    """
    with casebook.reading() as connection:
        encoder = records.current_encoder(connection)
        if encoder is not None:
            wanted = (
                select(CASES.c.key, CODES.c.vector, MAP_POINTS.c.point)
                .select_from(CASES.join(CODES).outerjoin(MAP_POINTS, _of(encoder)))
                .where(CODES.c.encoder_key == encoder.key)
                .order_by(CASES.c.isic_id)
            )
            rows = connection.execute(wanted).all()
            unknown = np.full(2, np.nan, POINT).tobytes()
            return Material(
                encoder=encoder,
                state=map_state(connection),
                keys=np.array([row.key for row in rows], np.int64),
                codes=_numbers((row.vector for row in rows), VECTOR, count=len(rows)),
                points=_numbers((row.point or unknown for row in rows), POINT, count=len(rows)),
            )
    casebook.encoder_data()  # says what is missing
    raise AssertionError


def keep(casebook: Casebook, made: Material, *, points: Points, seed: int, anew: bool) -> int:
    """Put places in, of the cases that are there still; tells how many.

    Args:
        casebook: an open casebook.
        made: from what they were made.
        points: float64 [N, 2], as `made.points`; NaN rows are passed over.
        seed: by which the map was drawn.
        anew: put them in the place of all that there are.

    Raises:
        CasebookError: another process made a map or switched the encoder meanwhile, or the casebook
            cannot be written.
    """
    known = dict(zip(made.keys.tolist(), points.astype(POINT), strict=True))
    with casebook.writing() as connection:
        if _is_another(connection, made):
            raise CasebookError(
                f"the casebook {casebook.path} was given another map or encoder meanwhile, so that "
                "nothing was kept; run: dermtwin map again."
            )
        encoder = made.encoder.key
        if anew:
            connection.execute(delete(MAP_POINTS).where(MAP_POINTS.c.encoder_key == encoder))
        count = 0
        for keys in chunks(_unplaced(connection, made.encoder), size=MANY):
            rows = [
                {"case_key": key, "encoder_key": encoder, "point": known[key].tobytes()}
                for key in keys
                if key in known and np.isfinite(known[key]).all()
            ]
            if rows:
                connection.execute(insert(MAP_POINTS), rows)
            count += len(rows)
        connection.execute(delete(MAPS).where(MAPS.c.encoder_key == encoder))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"encoder_key": encoder, "seed": seed, "at": now, "mark": token_hex(8)}
        connection.execute(insert(MAPS).values(row))
        auditing.note(
            connection,
            verb="map",
            subjects=[auditing.EVERYONE],
            encoder=made.encoder.id,
            details={"placed": count, "anew": anew},
        )
    return count


def map_state(connection: Connection) -> MapState | None:
    """Which map the current encoder's codes have; None: none."""
    encoder = records.current_encoder(connection)
    if encoder is None:
        return None
    row = connection.execute(select(MAPS).where(MAPS.c.encoder_key == encoder.key)).one_or_none()
    if row is None:
        return None
    version = records.version(connection)
    return MapState(encoder=encoder.id, version=version, seed=row.seed, mark=row.mark)


def stored_map(connection: Connection) -> StoredMap | None:
    """The map as it is kept; None: there is none."""
    state, encoder = map_state(connection), records.current_encoder(connection)
    if state is None or encoder is None:
        return None
    wanted = (
        select(CASES.c.isic_id, CASES.c.diagnosis_1, MAP_POINTS.c.point)
        .select_from(CASES.join(MAP_POINTS, _of(encoder)))
        .order_by(CASES.c.isic_id)
    )
    rows = connection.execute(wanted).all()
    cases = connection.scalar(select(func.count()).select_from(CASES)) or 0
    return StoredMap(
        state=state,
        isic_ids=tuple(row.isic_id for row in rows),
        diagnoses=tuple(row.diagnosis_1 for row in rows),
        points=_numbers((row.point for row in rows), POINT, count=len(rows)),
        unplaced=cases - len(rows),
    )


def points_of(connection: Connection, isic_ids: Collection[str]) -> Mapping[str, Points]:
    """Where these cases lie, those that have a place: float64 [2] each."""
    encoder = records.current_encoder(connection)
    if encoder is None:
        return {}
    wanted = select(CASES.c.isic_id, MAP_POINTS.c.point).select_from(
        CASES.join(MAP_POINTS, _of(encoder))
    )
    return {
        row.isic_id: np.frombuffer(row.point, POINT)
        for part in chunks(isic_ids, size=MANY)
        for row in connection.execute(wanted.where(CASES.c.isic_id.in_(part)))
    }


def placed(connection: Connection) -> int:
    """How many cases have a place on the current encoder's map."""
    encoder = records.current_encoder(connection)
    if encoder is None:
        return 0
    wanted = select(func.count()).select_from(MAP_POINTS)
    return connection.scalar(wanted.where(MAP_POINTS.c.encoder_key == encoder.key)) or 0


def odd_points(connection: Connection) -> Iterator[tuple[int, int, str]]:
    """Case and encoder, by their keys, of each place that is none, with a sentence about it."""
    rows = connection.execute(
        select(MAP_POINTS, CASES.c.isic_id)
        .select_from(MAP_POINTS.join(CASES))
        .order_by(CASES.c.key)
        .execution_options(yield_per=_AT_ONCE)
    )
    for row in rows:
        if len(row.point) != _BYTES or not np.isfinite(np.frombuffer(row.point, POINT)).all():
            told = (
                f"the place of case {row.isic_id} on the map is not two finite numbers; "
                "dermtwin check --repair removes it, dermtwin map makes it anew."
            )
            yield row.case_key, row.encoder_key, told


def _of(encoder: EncoderRecord) -> ColumnElement[bool]:
    """Joins a case to its place."""
    return and_(MAP_POINTS.c.case_key == CASES.c.key, MAP_POINTS.c.encoder_key == encoder.key)


def _unplaced(connection: Connection, encoder: EncoderRecord) -> list[int]:
    has = select(MAP_POINTS.c.case_key).where(_of(encoder)).exists()
    return list(connection.scalars(select(CASES.c.key).where(~has).order_by(CASES.c.key)))


def _is_another(connection: Connection, made: Material) -> bool:
    """Whether map or encoder are not those any more that the places were made from."""
    encoder, state = records.current_encoder(connection), map_state(connection)
    is_same = encoder is not None and encoder.id == made.encoder.id
    before = None if made.state is None else made.state.mark
    return not is_same or (None if state is None else state.mark) != before


def _numbers(values: Iterable[bytes], kind: np.dtype[np.generic], *, count: int) -> NDArray[Any]:
    """Rows of numbers [count, D], from their bytes."""
    return np.frombuffer(b"".join(values), kind).reshape(count, -1 if count else 2)
