"""What the nearest cases say together: shares weighted by closeness, chance, and an interval.

Each case weighs 1/distance. Cases that are near one picture are near one another too, and so alike
beyond what the picture's own class explains: k of them count as fewer. With the effective number
of weights n_w = (sum w)^2 / sum w^2 (Kish 1965, *Survey Sampling*, 11.7) and the correlation r
within a neighbourhood (`measured.json`), they count as

    n = n_w / (1 + (n_w - 1) r)                                   (Kish's design effect)

independent ones. A share is then (n * weighted share + base rate) / (n + 1): the mean of a
Dirichlet distribution whose prior is one case drawn from the eligible. The interval is Wilson's
(1927) of that share with n + 1 cases: it stays within 0…1, and is wide where few cases count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.evaluation.vote import closeness
from dermtwin.gallery import Condition, Exclusion, Filter, Known, Snapshot
from dermtwin.vocabulary import DIAGNOSIS_LEVELS, Case, Malignancy

Z = 1.959963984540054
"""Of the normal distribution, 95 % lies within so many standard deviations."""

_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A share among the nearest cases.

    Attributes:
        count: how many of them.
        share: weighted by closeness, drawn towards `base`, 0…1.
        low, high: its 95 % interval.
        base: the share among all eligible cases, 0…1.
    """

    count: int
    share: float
    low: float
    high: float
    base: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One diagnosis among the nearest cases.

    Attributes:
        name: the deepest level that is known; None: unknown.
        malignancy: its first level; None: unknown.
        portion: its share.
    """

    name: str | None
    malignancy: str | None
    portion: Portion


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What the nearest cases say together. No diagnosis of the picture.

    Attributes:
        of: how many cases came back.
        malignant: those whose first level is malignant.
        unclear: how many are neither malignant nor benign, or unknown.
        diagnoses: largest share first.
        is_filtered: whether only some of the casebook's cases could come back.
        is_calibrated: whether shares were held against known outcomes with this encoder and this
            way of asking; see docs/trust.md.
    """

    of: int
    malignant: Portion
    unclear: int
    diagnoses: tuple[Diagnosis, ...]
    is_filtered: bool
    is_calibrated: bool

    @property
    def expected(self) -> float:
        """How many malignant ones as many cases drawn by chance would hold."""
        return self.of * self.malignant.base

    @property
    def is_foregone(self) -> bool:
        """Whether the filter alone tells how many are malignant: none, or all that came back."""
        return self.is_filtered and self.malignant.base in (0, 1)

    @property
    def text(self) -> str:
        """How many were malignant, and how many chance would give, in words."""
        if not self.of:
            return "No case came back."
        if self.is_foregone:
            return f"{'Only' if self.malignant.base else 'No'} malignant cases pass the filter"
        where = "among the cases that pass the filter" if self.is_filtered else "in this casebook"
        expected = f"{self.expected:.0f}" if self.expected >= 1 else f"{self.expected:.1f}"
        unclear = f"; {self.unclear} neither malignant nor benign" if self.unclear else ""
        return (
            f"{self.malignant.count} of {self.of} nearest cases were malignant ({expected} of "
            f"{self.of} expected by chance {where}){unclear}"
        )

    def to_json(self, *, k: int) -> dict[str, Any]:
        """As JSON's own types; `k` is how many were asked for."""
        whole = _numbers(self.malignant)
        whole["share_weighted"] = whole.pop("share")
        malignant = {"of": self.of, "expected": round(self.expected, _DIGITS), "text": self.text}
        return {
            "k": k,
            "calibrated": self.is_calibrated,
            "malignant": whole | malignant | {"foregone": self.is_foregone},
            "diagnoses": [
                {"diagnosis": each.name, "malignancy": each.malignancy} | _numbers(each.portion)
                for each in self.diagnoses
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """How much each of the nearest cases counts.

    Attributes:
        weights: float64 [N], nearest first, summing to 1.
        count: how many independent cases they count as.
    """

    weights: NDArray[np.float64]
    count: float

    @classmethod
    def of(cls, distances: Sequence[float], *, correlation: float) -> "Weighing":
        """Weigh cases by their distances, nearest first."""
        if not len(distances):
            return cls(np.empty(0), 0.0)
        weights = closeness(np.sort(np.asarray(distances, dtype=np.float64)))
        weights = weights / weights.sum()
        effective = 1 / float(weights @ weights)
        return cls(weights, effective / (1 + (effective - 1) * correlation))

    def portion(self, among: NDArray[np.bool_], *, base: float) -> Portion:
        """The share of those `among`: bool [N]."""
        counted = self.count + 1
        share = (self.count * float(self.weights @ among) + base) / counted
        low, high = wilson(share, count=counted)
        return Portion(count=int(among.sum()), share=share, low=low, high=high, base=base)


def wilson(share: float, *, count: float) -> tuple[float, float]:
    """The 95 % score interval of a share among `count` cases (Wilson 1927)."""
    about = Z**2 / count
    middle = (share + about / 2) / (1 + about)
    half = sqrt(about * (share * (1 - share) + about / 4)) / (1 + about)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Eligible:
    """The cases that could come back, of one moment.

    Attributes:
        snapshot: the gallery.
        filter: which of its cases.
        own: without these.
    """

    snapshot: Snapshot
    filter: Filter | None
    own: Exclusion

    def tally(self, level: str, *more: Condition) -> dict[Any, int]:
        """Count them by one level of diagnosis; None counts the unknown."""
        conditions = () if self.filter is None else self.filter.conditions
        chosen = Filter((*conditions, *more))
        return dict(self.snapshot.tally(level, filter=chosen, exclude=self.own))

    def ending_at(self, level: str) -> dict[Any, int]:
        """Count those by one level that know none below it."""
        below = DIAGNOSIS_LEVELS[DIAGNOSIS_LEVELS.index(level) + 1 :]
        return self.tally(level, *(Known(each, known=False) for each in below))


def together(
    cases: Sequence[Case],
    distances: Sequence[float],
    *,
    eligible: Eligible,
    correlation: float,
    is_calibrated: bool,
) -> Neighbours:
    """Put the nearest cases together.

    Args:
        cases: as they came back.
        distances: theirs.
        eligible: what they were chosen from.
        correlation: of cases that are near one picture; see the top of this file.
        is_calibrated: whether that was measured for this way of asking.
    """
    order = np.argsort(distances, kind="stable")
    cases = [cases[place] for place in order]
    weighing = Weighing.of(distances, correlation=correlation)
    first = eligible.tally(DIAGNOSIS_LEVELS[0])
    total = max(sum(first.values()), 1)
    malignant = np.array([case.is_malignant is True for case in cases], dtype=np.bool_)
    return Neighbours(
        of=len(cases),
        malignant=weighing.portion(malignant, base=first.get(Malignancy.MALIGNANT, 0) / total),
        unclear=sum(case.is_malignant is None for case in cases),
        diagnoses=_diagnoses(cases, weighing, eligible=eligible, total=total),
        is_filtered=eligible.filter is not None and bool(eligible.filter.conditions),
        is_calibrated=is_calibrated,
    )


def _diagnoses(
    cases: Sequence[Case], weighing: Weighing, *, eligible: Eligible, total: int
) -> tuple[Diagnosis, ...]:
    kinds = [(case.diagnosis_1, _deepest(case), case.diagnosis) for case in cases]
    counts: Mapping[str, Mapping[Any, int]] = {
        level: eligible.ending_at(level) for level in {level for _, level, _ in kinds}
    }
    found = [
        Diagnosis(
            name=name,
            malignancy=malignancy,
            portion=weighing.portion(
                np.array([each == kind for each in kinds]), base=counts[level].get(name, 0) / total
            ),
        )
        for kind in dict.fromkeys(kinds)
        for malignancy, level, name in [kind]
    ]
    return tuple(sorted(found, key=lambda each: (-each.portion.share, str(each.name))))


def _deepest(case: Case) -> str:
    """The deepest level of diagnosis that is known; the first where none is."""
    known = [level for level in DIAGNOSIS_LEVELS if getattr(case, level) is not None]
    return known[-1] if known else DIAGNOSIS_LEVELS[0]


def _numbers(portion: Portion) -> dict[str, Any]:
    return {
        "count": portion.count,
        "share": round(portion.share, _DIGITS),
        "low": round(portion.low, _DIGITS),
        "high": round(portion.high, _DIGITS),
        "base": round(portion.base, _DIGITS),
    }
