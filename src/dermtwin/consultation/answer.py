"""What comes back when a picture is asked about. It never states a diagnosis of that picture."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dermtwin.consultation.neighbours import Neighbours
from dermtwin.consultation.trust import Trust
from dermtwin.gallery import Exclusion
from dermtwin.images import Rgb
from dermtwin.preparation import Box
from dermtwin.vocabulary import DRAWN_NOTICE, FIELDS, Case, Hit, Malignancy


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some cases are malignant, how many benign, how many neither or unknown."""

    malignant: int
    benign: int
    other: int

    @classmethod
    def of(cls, cases: Iterable[Case]) -> "Share":
        """Count cases in memory."""
        classes = [case.is_malignant for case in cases]
        return cls(classes.count(True), classes.count(False), classes.count(None))

    @classmethod
    def of_tally(cls, tally: Mapping[Any, int]) -> "Share":
        """Take the counts from a tally of `diagnosis_1`."""
        malignant = tally.get(Malignancy.MALIGNANT, 0)
        benign = tally.get(Malignancy.BENIGN, 0)
        return cls(malignant, benign, sum(tally.values()) - malignant - benign)

    @property
    def value(self) -> float | None:
        """Malignant over malignant and benign, from 0 to 1; None where there is neither."""
        counted = self.malignant + self.benign
        return self.malignant / counted if counted else None

    def __str__(self) -> str:
        if self.value is None:
            return "no case that is benign or malignant"
        if not self.other:
            counted = self.benign + self.malignant
            return f"{self.malignant:,} of {counted:,} malignant ({self.value:.0%})"
        return (
            f"{self.malignant:,} malignant, {self.benign:,} benign ({self.value:.0%} malignant), "
            f"{self.other:,} neither or unknown"
        )


@dataclass(frozen=True, slots=True)
class FoundCase:
    """A hit with its whole case.

    Attributes:
        hit: its place and distances.
        case: its record.
        nearness: `very near`, `near` or `far`; None: the encoder does not say what is usual, or
            was not asked by the picture's own code, as it is.
    """

    hit: Hit
    case: Case
    nearness: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Rank, distances and every typed field of the case; null where unknown."""
        fields = {name: getattr(self.case, name) for name in FIELDS}
        # A float32 read back from its shortest text is the same float32.
        distance = float(str(np.float32(self.hit.distance)))
        placed = {
            "rank": self.hit.rank,
            "isic_id": fields.pop("isic_id"),
            "lesion_id": fields.pop("lesion_id"),
            "distance": distance,
        } | ({} if self.hit.hamming is None else {"hamming": self.hit.hamming})
        placed["nearness"] = self.nearness
        return placed | fields | ({"notice": DRAWN_NOTICE} if self.case.is_drawn else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The nearest cases of a picture, and what to hold them against.

    Attributes:
        query: what the picture was called.
        k: how many cases were asked for.
        views: in how many views of the picture.
        encoder: the encoder's id.
        version: number of the casebook's last change that was seen.
        ms: milliseconds from the picture's bytes to this answer.
        crop: the part of the picture that was compared, in its pixels; None: the encoder's view of
            the whole.
        remarks: what was cut and noticed, in sentences.
        eligible: how many cases (images) the hits were chosen from: those that meet the filter,
            without the query's own.
        hits: nearest first.
        base: the classes of all eligible cases.
        known: what was left out as the query's own.
        left_out: how many cases here belong to that, whatever the filter.
        neighbours: what the hits say together.
        trust: how far to trust all this.
        view: what was compared of the picture, for a person: uint8 [320, 320, 3].
        unentered: why the look is not in the audit log; None: it is. No part of `to_json`: it may
            say where the casebook lies.
    """

    query: str
    k: int
    views: int
    encoder: str
    version: int
    ms: float
    crop: Box | None
    remarks: tuple[str, ...]
    eligible: int
    hits: tuple[FoundCase, ...]
    base: Share
    known: Exclusion
    left_out: int
    neighbours: Neighbours
    trust: Trust
    view: Rgb = field(compare=False, repr=False)
    unentered: str | None = None

    @property
    def share(self) -> Share:
        """The classes of the hits."""
        return Share.of(found.case for found in self.hits)

    @property
    def is_drawn(self) -> bool:
        """Whether any hit was generated; then everything shown of it says so."""
        return any(found.case.is_drawn for found in self.hits)

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON's own types, without the view."""
        known = self.known.by_field()
        return {
            "query": self.query,
            "encoder": self.encoder,
            "views": self.views,
            "gallery_version": self.version,
            "ms": round(self.ms, 3),
            "crop": None if self.crop is None else asdict(self.crop),
            "remarks": list(self.remarks),
            "eligible": self.eligible,
            "known": {name: sorted(values) for name, values in known.items()},
            "left_out": self.left_out,
            "trust": self.trust.to_json(),
            "neighbours": self.neighbours.to_json(k=self.k),
            "hits": [found.to_json() for found in self.hits],
        }

    def summary(self) -> tuple[str, ...]:
        """What a table of the hits leaves unsaid, in sentences."""
        reasons = [each.text for each in self.trust.reasons]
        lines = [
            *(each for each in self.remarks if each not in reasons),
            *(() if self.unentered is None else (f"Why not: {self.unentered}",)),
            *reasons,
            *self._together(),
            f"Eligible: {self.eligible:,} cases, {self.base}: the base rate.",
        ]
        if own := self._own():
            cases = "1 case" if self.left_out == 1 else f"{self.left_out:,} cases"
            lines.append(f"Left out as the picture's own: {cases} ({own}).")
        return tuple(lines)

    def _together(self) -> Iterator[str]:
        if not self.hits:
            return
        share = self.neighbours.malignant
        doubt = "" if self.neighbours.is_calibrated else "; not calibrated for such a question"
        yield f"{self.neighbours.text}."
        if self.neighbours.is_foregone:
            return
        yield (
            f"Weighted by closeness: {share.share:.0%} malignant (95 % interval {share.low:.0%} to "
            f"{share.high:.0%}{doubt})."
        )

    def _own(self) -> str:
        words = {"isic_id": "image", "lesion_id": "lesion", "patient_id": "patient"}
        return "; ".join(
            f"{words[name]} {', '.join(sorted(values))}"
            for name, values in self.known.by_field().items()
        )
