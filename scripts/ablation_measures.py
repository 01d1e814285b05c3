"""An encoder's figures for the ablation: `evaluate`'s measures without its report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dermtwin.encoders import Encoder
from dermtwin.evaluation.balanced import balanced_draws
from dermtwin.evaluation.intervals import Resamples, mean_of, resample
from dermtwin.evaluation.levels import LevelScores, summarise_level
from dermtwin.evaluation.protocols import GALLERY
from dermtwin.evaluation.record import plain
from dermtwin.evaluation.scores import Scores
from dermtwin.evaluation.study import Compared, Design, balanced, scored
from dermtwin.evaluation.subjects import DIAGNOSIS
from dermtwin.evaluation.summary import MAP_MICRO, Figure, ranking_figures, vote_figure
from dermtwin.learning.metric.bits import IterativeQuantisation
from dermtwin.running import untracked
from dermtwin.verbs.sides import Side, compared_outputs, read_sides

SEED = 0
VOTERS = 16
BITS = {"bits": 64, "bits[:32]": 32}
"""Names of the outputs that are bits, and how many they are."""

_BY_DIAGNOSIS = (
    "precision@1, macro",
    "precision@10, macro",
    "precision@10, micro",
    "mAP, macro",
    "mAP, micro",
)
_LOST = "precision@10"
_OF_PAPER = {"paper_map": "precision@10", "paper mAP": MAP_MICRO}

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Asked:
    """Who is asked of whom.

    Attributes:
        queries, gallery: datasets.
    """

    queries: Path
    gallery: Path


def measured(
    encoder: Encoder, asked: Asked, *, views: int = 1, has_rotated_bits: bool = False
) -> dict[str, Any]:
    """All figures of one encoder, by output, and what bits lose against the code.

    Args:
        encoder: whose.
        asked: of whom.
        views: of each query.
        has_rotated_bits: whether bits are made of the code by iterative quantisation.
    """
    sides = read_sides(
        encoder, queries=asked.queries, gallery=asked.gallery, views=views, track=untracked
    )
    outputs = {each.output: each for each in compared_outputs(encoder, sides)}
    compared = [outputs[name] for name in ("code", *BITS) if name in outputs]
    if has_rotated_bits:
        compared += [_rotated(outputs["code"], name, bits=bits) for name, bits in BITS.items()]
    design = Design(
        queries=sides["queries"].subjects,
        gallery=sides["gallery"].subjects,
        near_duplicates={},
        seed=SEED,
    )
    resamples = resample(design.queries.clusters, seed=SEED)
    scores = {each.output: scored(each, GALLERY, design) for each in compared}
    drawn = balanced_draws(design.queries.classes, seed=SEED)
    return {
        "datasets": {part: _facts(side) for part, side in sides.items()}
        | {"paper": drawn.shape[1]},
        "outputs": {
            each.output: {
                "figures": _paper_figures(each, design)
                | _gallery_figures(*scores[each.output], resamples)
            }
            for each in compared
        },
        "classes": _class_figures(scores["code"][1], resamples),
        "lost": {
            name: _lost(scores["code"], scores[name], resamples) for name in BITS if name in scores
        },
    }


def _rotated(code: Compared, name: str, *, bits: int) -> Compared:
    """Bits learnt from the gallery's codes alone."""
    rotation = IterativeQuantisation.fit(code.codes[GALLERY], bits=bits, seed=SEED)
    rotated = code.changed(
        lambda codes: ((codes - rotation.mean) @ rotation.projection).astype(np.float32)
    )
    return replace(rotated, output=name, shape=(bits,), metric="hamming")


def _facts(side: Side) -> dict[str, int | str]:
    facts = side.facts
    return {"images": facts.images, "lesions": facts.lesions, "fingerprint": facts.fingerprint}


def _paper_figures(compared: Compared, design: Design) -> Figures:
    """Of the paper's test set, drawn ten times from the queries; nothing where they are too few."""
    found = balanced(compared, design)
    return {name: _told(found[measure]) for name, measure in _OF_PAPER.items() if found}


def _gallery_figures(
    scores: Scores, levels: Mapping[str, LevelScores], resamples: Resamples
) -> Figures:
    two = ranking_figures(scores, resamples=resamples)
    found = {
        "vote AUC": _told(vote_figure(scores, k=VOTERS, resamples=resamples)),
        "precision@10, two classes": _told(two["precision@10"]),
    }
    if DIAGNOSIS in levels:
        deepest = summarise_level(levels[DIAGNOSIS], resamples=resamples).figures
        found |= {name: _told(deepest[name]) for name in _BY_DIAGNOSIS}
    return found


def _class_figures(
    levels: Mapping[str, LevelScores], resamples: Resamples
) -> dict[str, dict[str, Any]]:
    if DIAGNOSIS not in levels:
        return {}
    classes = summarise_level(levels[DIAGNOSIS], resamples=resamples).classes
    return {
        diagnosis: {name: _told(figure) for name, figure in figures.items()}
        for diagnosis, figures in classes.items()
    }


def _lost(
    of_code: tuple[Scores, Mapping[str, LevelScores]],
    of_bits: tuple[Scores, Mapping[str, LevelScores]],
    resamples: Resamples,
) -> Figures:
    """The code's precision@10 minus the bits', paired by lesion."""
    values: dict[str, Sequence[np.ndarray[Any, Any]]] = {
        "two classes": [scores.values[_LOST] for scores, _ in (of_code, of_bits)]
    }
    if DIAGNOSIS in of_code[1]:
        values["diagnoses, micro"] = [
            levels[DIAGNOSIS].values[_LOST] for _, levels in (of_code, of_bits)
        ]
    found = {}
    for name, (code, bits) in values.items():
        lost = mean_of(code, resamples=resamples) - mean_of(bits, resamples=resamples)
        low, high = lost.bounds
        found[name] = {"value": plain(lost.value), "low": plain(low), "high": plain(high)}
    return found


def _told(figure: Figure) -> dict[str, Any]:
    kept = ("value", "low", "high", "chance", "queries")
    return {name: plain(value) for name, value in asdict(figure).items() if name in kept}
