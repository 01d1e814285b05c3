"""What can be put right in a casebook without losing anything: made again, or removed as unused."""

from sqlalchemy import Connection, Table, delete, insert, select

from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.checking import odd_codes, unnamed
from dermtwin.casebook.coding import Encode, fill
from dermtwin.casebook.database import told
from dermtwin.casebook.mapping import odd_points
from dermtwin.casebook.records import MANY, chunks
from dermtwin.casebook.schema import (
    CASES,
    CHANGES,
    CODES,
    ENCODERS,
    HOLDS,
    IMAGES,
    LESIONS,
    MAP_POINTS,
    PATIENTS,
)
from dermtwin.casebook.store import image_path, thumbnail_path
from dermtwin.casebook.writer import Writer
from dermtwin.errors import ImageError
from dermtwin.images import THUMBNAIL_SIDE, decode, digest, make_thumbnail
from dermtwin.running import Track, in_order, untracked

_OWNER = "repair"


def repair_casebook(
    casebook: Casebook, *, encode: Encode | None, track: Track = untracked
) -> tuple[str, ...]:
    """Put right what can be; what cannot, `check_casebook` still tells afterwards.

    Args:
        casebook: an open casebook.
        encode: gives a picture's code by the casebook's encoder; None: that cannot be used.
        track: looks on while pictures are read.

    Returns:
        A sentence for each kind of thing that was done.

    Raises:
        CasebookError: the casebook cannot be written.
    """
    with Writer(casebook):
        done = {
            "rows of lesions, patients and images without a case removed": _remove_unused(casebook),
            "files without a row removed": _remove_orphans(casebook),
            "missing thumbnails made": _make_thumbnails(casebook, track=track),
            "codes made": 0 if encode is None else _make_codes(casebook, encode, track=track),
            "broken places on the map removed": _remove_odd_points(casebook),
            "cases entered in the list of changes": _tell_untold(casebook),
        }
    return tuple(f"{count:,} {what}." for what, count in done.items() if count)


def _remove_unused(casebook: Casebook) -> int:
    with casebook.writing() as connection:
        return sum(
            connection.execute(delete(table).where(table.c.key.in_(keys))).rowcount
            for table in (LESIONS, PATIENTS, IMAGES)
            for keys in chunks(_unused(connection, table), size=MANY)
        )


def _unused(connection: Connection, table: Table) -> list[int]:
    named_by = {LESIONS: CASES.c.lesion_key, PATIENTS: CASES.c.patient_key}
    column = named_by.get(table, CASES.c.image_key)
    used = select(column).where(column == table.c.key).exists()
    unused = select(table.c.key).where(~used)
    if table is PATIENTS:
        # A patient on hold stays, whatever happens.
        held = select(HOLDS.c.patient_key).where(HOLDS.c.patient_key == PATIENTS.c.key)
        unused = unused.where(~held.exists())
    return list(connection.scalars(unused))


def _remove_orphans(casebook: Casebook) -> int:
    with casebook.reading() as connection:
        suspects = unnamed(connection, casebook.store.files())
    ours = [path for path in suspects if casebook.store.is_ours(path)]
    # Rows and the journal are written only within such a transaction: none comes to be named.
    with casebook.writing() as connection:
        orphans = unnamed(connection, ours)
        for path in orphans:
            with told(casebook.store.database):
                casebook.store.remove(path)
    return len(orphans)


def _make_thumbnails(casebook: Casebook, *, track: Track) -> int:
    with casebook.reading() as connection:
        rows = connection.execute(select(IMAGES.c.sha256, IMAGES.c.format)).all()
    lacking = [row for row in rows if not casebook.store.exists(thumbnail_path(row.sha256))]

    def make(sha256: str, form: str) -> bytes | None:
        path = casebook.store.path(image_path(sha256, format=form))
        try:
            data = path.read_bytes()
            if digest(data) != sha256:
                return None
            return make_thumbnail(decode(data, name=str(path), at_least=THUMBNAIL_SIDE))
        except (OSError, ImageError):
            # The image is what is lost; `check` tells of it.
            return None

    made = in_order(lambda row: (row.sha256, make(row.sha256, row.format)), lacking)
    count = 0
    for sha256, data in track(made, label="thumbnails", total=len(lacking)):
        count += data is not None and _keep_thumbnail(casebook, sha256, data)
    return count


def _keep_thumbnail(casebook: Casebook, sha256: str, data: bytes) -> bool:
    """Write a thumbnail, unless its image was forgotten meanwhile."""
    with casebook.writing() as connection:
        if connection.scalar(select(IMAGES.c.key).where(IMAGES.c.sha256 == sha256)) is None:
            return False
        with told(casebook.store.database):
            casebook.store.write(thumbnail_path(sha256), data, owner=_OWNER)
    return True


def _make_codes(casebook: Casebook, encode: Encode, *, track: Track) -> int:
    encoder = casebook.encoder()
    if encoder is None:
        return 0
    with casebook.writing() as connection:
        lost = CODES.c.case_key.not_in(select(CASES.c.key)) | CODES.c.encoder_key.not_in(
            select(ENCODERS.c.key)
        )
        connection.execute(delete(CODES).where(lost))
        for keys in chunks([each.case_key for each in odd_codes(connection)], size=MANY):
            odd = CODES.c.case_key.in_(keys) & (CODES.c.encoder_key == encoder.key)
            connection.execute(delete(CODES).where(odd))
    return fill(casebook, encoder_id=encoder.id, encode=encode, track=track).made


def _remove_odd_points(casebook: Casebook) -> int:
    with casebook.writing() as connection:
        odd = list(odd_points(connection))
        for case, encoder, _ in odd:
            its = (MAP_POINTS.c.case_key == case) & (MAP_POINTS.c.encoder_key == encoder)
            connection.execute(delete(MAP_POINTS).where(its))
    return len(odd)


def _tell_untold(casebook: Casebook) -> int:
    with casebook.writing() as connection:
        untold = CASES.c.key.not_in(select(CHANGES.c.case_key))
        keys = list(connection.scalars(select(CASES.c.key).where(untold)))
        if keys:
            rows = [{"case_key": key, "kind": "altered"} for key in keys]
            connection.execute(insert(CHANGES), rows)
    return len(keys)
