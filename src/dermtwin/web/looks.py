"""Looks at cases, entered in the audit log before anything of them is shown."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic

from dermtwin.casebook import Casebook, auditing
from dermtwin.errors import CasebookError

_SAME_LOOK_S = 600
_REMEMBERED = 50_000


class Looks:
    """Enters looks; what one person sees again of a case within ten minutes is the same look.

    Each worker remembers, and asks the log what others entered; a look may be entered twice, never
    not at all.
    """

    def __init__(self, casebook: Casebook) -> None:
        self._casebook = casebook
        self._lock = Lock()
        self._seen: dict[tuple[str, str], float] = {}

    def note(self, isic_ids: Collection[str], *, who: str) -> None:
        """Enter that somebody looks at cases; a casebook that cannot be written shows them too."""
        new = self._new(isic_ids, who=who)
        if not new:
            return
        try:
            # Of ten thumbnails half are asked of another worker than the search: to read costs
            # little, to write waits for the disk.
            with self._casebook.reading() as connection:
                since = datetime.now(UTC) - timedelta(seconds=_SAME_LOOK_S)
                seen = auditing.seen_lately(connection, new, who=who, since=since)
            new = [name for name in new if name not in seen]
            if not new:
                return
            with self._casebook.writing() as connection:
                auditing.note(
                    connection,
                    verb="look",
                    who=who,
                    cases=auditing.keys_of(connection, new),
                    details={"cases": len(new)},
                )
        except CasebookError:
            with self._lock:  # to be tried again at the next look
                for name in new:
                    self._seen.pop((who, name), None)

    def found(self, isic_ids: Collection[str], *, who: str) -> None:
        """Remember whom a search showed: it has entered them itself."""
        self._new(isic_ids, who=who)

    def _new(self, isic_ids: Collection[str], *, who: str) -> list[str]:
        now = monotonic()
        with self._lock:
            if len(self._seen) > _REMEMBERED:
                self._seen = {key: at for key, at in self._seen.items() if now - at < _SAME_LOOK_S}
            new = [
                name
                for name in isic_ids
                if now - self._seen.get((who, name), -_SAME_LOOK_S) >= _SAME_LOOK_S
            ]
            self._seen.update({(who, name): now for name in new})
        return new
