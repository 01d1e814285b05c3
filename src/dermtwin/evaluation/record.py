"""An evaluation as plain values, for metrics.json: nothing is shown that does not stand there."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dermtwin.evaluation.checklist import checklist
from dermtwin.evaluation.groups import UNKNOWN
from dermtwin.evaluation.intervals import COVERAGE, RESAMPLES
from dermtwin.evaluation.leaks import Leaks
from dermtwin.evaluation.levels import Confusion, LevelSummary
from dermtwin.evaluation.paper import AVERAGE_COVERS, TableOne
from dermtwin.evaluation.protocols import BALANCED, DEFINITIONS, PAPER, RULE
from dermtwin.evaluation.study import Design, Run, Study
from dermtwin.evaluation.subjects import (
    CLASS_NAMES,
    DIAGNOSIS,
    REFERENCE_STANDARD,
    Names,
    Subjects,
)
from dermtwin.evaluation.summary import Curve, Figure

FORMAT = 1

RECORDED = (
    DIAGNOSIS,
    "age",
    "sex",
    "site",
    "skin type",
    "source",
    "image type",
    "attribution",
    "licence",
)
"""What is counted of a dataset's images."""

# Beyond this many digits a float64 holds rounding only.
_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFacts:
    """What is known of a dataset that was used.

    Attributes:
        name: the dataset's folder or table, without the path to it.
        fingerprint: SHA-256 over the used images' names, lesions, classes and files.
        images, lesions, patients: how many were used; lesions and patients as far as known.
        classes: images by class.
        left_out: how many rows were not used, by reason.
        drawn: whether any picture was generated.
        unlinked: images whose lesion, and whose patient, is unknown.
        recorded: by `RECORDED`, images by what is recorded of them, `UNKNOWN` among it.
        confirmed: by class, images by how their diagnosis was confirmed, `UNKNOWN` among it.
    """

    name: str
    fingerprint: str
    images: int
    lesions: int
    patients: int
    classes: Mapping[str, int]
    left_out: Mapping[str, int]
    drawn: bool
    unlinked: Mapping[str, int]
    recorded: Mapping[str, Mapping[str, int]]
    confirmed: Mapping[str, Mapping[str, int]]


def side_facts(
    subjects: Subjects, *, name: str, fingerprint: str, left_out: Mapping[str, int], drawn: bool
) -> SideFacts:
    """Count a dataset; the arguments are `SideFacts`' own."""
    standard = subjects.labels[REFERENCE_STANDARD]
    return SideFacts(
        name=name,
        fingerprint=fingerprint,
        images=len(subjects),
        lesions=len(set(subjects.lesions) - {""}),
        patients=len(set(subjects.patients) - {""}),
        classes={
            word: int((subjects.classes == number).sum()) for number, word in CLASS_NAMES.items()
        },
        left_out=left_out,
        drawn=drawn,
        unlinked={
            "lesion": int((subjects.lesions == "").sum()),
            "patient": int((subjects.patients == "").sum()),
        },
        recorded={label: _counts(subjects.labels[label]) for label in RECORDED},
        confirmed={
            word: _counts(standard[subjects.classes == number])
            for number, word in CLASS_NAMES.items()
        },
    )


def _counts(labels: Names) -> dict[str, int]:
    """Images by label, the most frequent first."""
    return dict(Counter(label or UNKNOWN for label in labels.tolist()).most_common())


def record(
    studies: Mapping[str, Study],
    *,
    design: Design,
    sides: Mapping[str, SideFacts],
    around: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that was measured.

    Args:
        studies: by output.
        design: who was asked of whom.
        sides: the datasets, by their part.
        around: what the verb knows beside: program, encoder, notes, wall times.
    """
    protocols = [*([PAPER] if any(each.table_one for each in studies.values()) else [])]
    protocols += [BALANCED] if any(each.balanced for each in studies.values()) else []
    protocols += list(design.sides())
    values = {
        "format": FORMAT,
        "drawn": any(each.drawn for each in sides.values()),
        "seed": design.seed,
        "datasets": {part: asdict(facts) for part, facts in sides.items()},
        "protocols": {name: DEFINITIONS[name] for name in protocols},
        "rule": RULE,
        "intervals": {
            "coverage": COVERAGE,
            "resamples": RESAMPLES,
            "unit": "lesions of the queries; the gallery stays as it is",
            "table_one": AVERAGE_COVERS,
        },
        "outputs": {name: study_record(each) for name, each in studies.items()},
        "leaks": {name: leaks_record(each) for name, each in design.leaks().items()},
        "shared images": _shared_images(design),
        **around,
    }
    return values | {"checklist": checklist(values)}


def _shared_images(design: Design) -> int:
    """How many queries stand in the gallery themselves, by name."""
    if design.gallery is None:
        return 0
    return int(np.isin(design.queries.images, design.gallery.images).sum())


def study_record(study: Study) -> dict[str, Any]:
    """One output's figures and curves."""
    return {
        "shape": list(study.shape),
        "numbers": math.prod(study.shape),
        "metric": study.metric,
        "derived": study.derived,
        PAPER: None if study.table_one is None else table_record(study.table_one),
        BALANCED: figures_record(study.balanced) if study.balanced else None,
        **{name: run_record(run) for name, run in study.runs.items()},
    }


def table_record(table: TableOne) -> dict[str, Any]:
    """The paper's protocol: each draw and the average."""
    return {
        "paper_map": plain(table.paper_map),
        "mAP": plain(table.mean_ap),
        "average paper_map": figure_record(table.average_paper_map),
        "average mAP": figure_record(table.average_mean_ap),
        "draws": table.draws.tolist(),
    }


def run_record(run: Run) -> dict[str, Any]:
    """One protocol's figures, curves and what each query scored."""
    summary = run.summary
    return {
        "figures": figures_record(summary.figures),
        "curve": {"depth": plain(summary.depths), **curve_record(summary.micro)},
        "interpolated curve": curve_record(summary.interpolated),
        "roc": {
            "false positive rate": plain(summary.false_positives),
            "true positive rate": plain(summary.true_positives),
        },
        "calibration": {
            "mean score": plain(summary.calibration.mean_score),
            "share malignant": plain(summary.calibration.share_positive),
        },
        "levels": {name: level_record(each) for name, each in run.levels.items()},
        "neighbours": None if run.confusion is None else confusion_record(run.confusion),
        "groups": {
            grouping: {
                name: {"queries": each.queries, "figures": figures_record(each.figures)}
                for name, each in members.items()
            }
            for grouping, members in run.groups.items()
        },
        "leak figures": {
            rule: figures_record(figures) for rule, figures in run.leak_figures.items()
        },
        "queries": {name: plain(values) for name, values in run.scores.values.items()},
    }


def level_record(level: LevelSummary) -> dict[str, Any]:
    """One level of diagnosis: its figures, and each diagnosis' own."""
    return {
        "figures": figures_record(level.figures),
        "macro classes": level.macro_classes,
        "unknown": dict(level.unknown),
        "classes": {name: figures_record(each) for name, each in level.classes.items()},
    }


def confusion_record(confusion: Confusion) -> dict[str, Any]:
    """Rows are the queries' diagnoses, columns those of their first hits."""
    return {
        "query diagnoses": list(confusion.queries),
        "neighbour diagnoses": list(confusion.neighbours),
        "queries": confusion.counts.tolist(),
        "shares": plain(confusion.shares),
    }


def figures_record(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Figures by name."""
    return {name: figure_record(each) for name, each in figures.items()}


def figure_record(figure: Figure) -> dict[str, Any]:
    """A figure with its interval, chance and support."""
    return {name: plain(value) for name, value in asdict(figure).items()}


def curve_record(curve: Curve) -> dict[str, Any]:
    """A curve with its band and chance."""
    return {
        name: plain(getattr(curve, name))
        for name in ("recall", "precision", "low", "high", "chance")
    }


def leaks_record(leaks: Leaks) -> dict[str, Any]:
    """How many queries have something of their own in the gallery."""
    total = len(leaks.lesion)
    return {
        name: {"queries": int(flags.sum()), "share": plain(flags.sum() / total)}
        for name, flags in {
            "lesion": leaks.lesion,
            "patient": leaks.patient,
            "near-duplicate": leaks.near_duplicate,
            "any": leaks.any,
        }.items()
    }


def plain(value: Any) -> Any:  # noqa: ANN401  # arrays, scalars, None
    """Numbers as JSON bears them: NaN becomes null, digits beyond rounding go."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(float(value), _DIGITS)
    return value
