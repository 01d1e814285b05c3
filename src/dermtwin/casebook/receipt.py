"""What a person is given after an erasure: what went, what was looked for, who still holds it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dermtwin.casebook.auditing import Head
from dermtwin.casebook.copies import Copy
from dermtwin.casebook.forgetting import Kind
from dermtwin.casebook.traces import Looked


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """The receipt of an erasure. It names nobody: it may be kept for ever.

    Not even a hash of a name stands in it, as names are few enough to try them all.

    Attributes:
        kind: by what was asked: patient, lesion, case or image.
        at: when it was looked (ISO 8601, UTC).
        who: who asked.
        cases, lesions, patients, images, thumbnails, codes, points, audit_keys: how many went.
        looked: what was looked for afterwards, where, and what was found.
        copies: backups and exports that were made of the casebook: they still hold it.
        audit: where the audit log ended after it.
    """

    kind: Kind
    at: str
    who: str
    cases: int
    lesions: int
    patients: int
    images: int
    thumbnails: int
    codes: int
    points: int
    audit_keys: int
    looked: Looked
    copies: tuple[Copy, ...]
    audit: Head

    @property
    def is_gone(self) -> bool:
        """Whether nothing was found when it was looked."""
        return self.looked.is_gone

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"looked": self.looked.to_json(), "is_gone": self.is_gone}

    def __str__(self) -> str:
        gone = (
            f"forgotten: {self.cases:,} cases with {self.codes:,} codes and {self.points:,} places "
            f"on the map, {self.images:,} image files and {self.thumbnails:,} thumbnails, "
            f"{self.lesions:,} lesions, "
            f"{self.patients:,} patients, {self.audit_keys:,} keys of the audit log"
        )
        by = f"by {self.who}, {self.at}; the audit log ends with {self.audit}"
        return "\n".join([gone, str(self.looked), *_held_by(self.copies), by])


def _held_by(copies: Sequence[Copy]) -> list[str]:
    if not copies:
        return ["no backup or export is known"]
    return [
        "these copies were made of the casebook and may still hold it; deal with each:",
        *(f"  {copy.kind} of {copy.at}: {copy.path}" for copy in copies),
    ]
