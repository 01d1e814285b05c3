"""Averages over queries, each with its interval, its chance and how many queries it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.intervals import Resamples, interval, ratio, resample
from dermtwin.evaluation.measures import RECALL_LEVELS
from dermtwin.evaluation.ranking import Floats, Ints
from dermtwin.evaluation.scores import AP, AP_AT_K, PRECISION_DEPTHS, K, Scores
from dermtwin.evaluation.subjects import CLASS_NAMES, MALIGNANT
from dermtwin.evaluation.vote import Ballot, Calibration, ballot, calibrate, roc_auc, roc_curve

MAP_MICRO, MAP_MACRO = "mAP, micro", "mAP, macro"
PRECISION_MACRO = f"precision@{K}, macro"
VOTE_AUC, VOTE_ERROR = f"vote@{K}: ROC AUC", f"vote@{K}: calibration error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number that may be shown: never without the others.

    Attributes:
        value: the measure; NaN when no query defines it.
        low, high: its 95 % interval.
        chance: what an encoder that knows nothing would reach under the same protocol.
        queries: how many queries define it.
        undefined: how many do not.
    """

    value: float
    low: float
    high: float
    chance: float
    queries: int
    undefined: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Curve:
    """Precision against recall, with its 95 % band and the precision of chance.

    Attributes:
        recall, precision, low, high, chance: float64 [points].
    """

    recall: Floats
    precision: Floats
    low: Floats
    high: Floats
    chance: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Summary:
    """What a protocol comes to.

    Attributes:
        figures: by name, in the order to be shown.
        depths: int64 [D], the depth of each point of the micro curve.
        micro: all queries' hits pooled at each depth.
        interpolated: the mean of the queries' interpolated curves.
        false_positives, true_positives: the vote's ROC curve.
        calibration: the vote's reliability diagram.
    """

    figures: Mapping[str, Figure]
    depths: Ints
    micro: Curve
    interpolated: Curve
    false_positives: Floats
    true_positives: Floats
    calibration: Calibration


def summarise(scores: Scores, *, seed: int) -> Summary:
    """Average the scores of one protocol; `seed` is the bootstrap's."""
    resamples = resample(scores.clusters, seed=seed)
    votes = ballot(scores.votes, positive=scores.classes == MALIGNANT)
    false_positives, true_positives = roc_curve(votes)
    return Summary(
        figures=ranking_figures(scores, resamples=resamples)
        | _vote_figures(scores, resamples, votes),
        depths=scores.depths,
        micro=micro_curve(scores, resamples),
        interpolated=interpolated_curve(scores, resamples),
        false_positives=false_positives,
        true_positives=true_positives,
        calibration=calibrate(votes),
    )


def mean_figure(values: Floats, *, chance: Floats, resamples: Resamples) -> Figure:
    """The mean over the queries that define a measure.

    Args:
        values: float64 [Q], NaN where not defined.
        chance: the same for chance.
        resamples: of these queries' lesions.
    """
    low, high = interval(resamples.means(values))
    return Figure(
        value=_mean(values),
        low=float(low),
        high=float(high),
        chance=_mean(chance),
        **_support(values),
    )


def macro_figure(values: Floats, *, chance: Floats, classes: Ints, resamples: Resamples) -> Figure:
    """The mean of the classes' means, each class counting the same however many queries it has."""

    def of_classes(each: Floats) -> list[Floats]:
        return [np.where(classes == one, each, np.nan) for one in CLASS_NAMES]

    resampled = np.mean([resamples.means(each) for each in of_classes(values)], axis=0)
    low, high = interval(resampled)
    return Figure(
        value=float(np.mean([_mean(each) for each in of_classes(values)])),
        low=float(low),
        high=float(high),
        chance=float(np.mean([_mean(each) for each in of_classes(chance)])),
        **_support(values),
    )


def micro_curve(scores: Scores, resamples: Resamples) -> Curve:
    """At each depth, true positives of all queries over images returned by all, and over R."""
    found, returned = scores.found, scores.returned.astype(np.float64)
    share = ratio(scores.relevant.astype(np.float64), returned[:, -1])
    by_chance = np.nan_to_num(share)[:, None] * returned
    low, high = interval(ratio(resamples.sums(found), resamples.sums(returned)))
    return Curve(
        recall=ratio(found.sum(axis=0), np.full(len(scores.depths), scores.relevant.sum())),
        precision=ratio(found.sum(axis=0), returned.sum(axis=0)),
        low=low,
        high=high,
        chance=ratio(by_chance.sum(axis=0), returned.sum(axis=0)),
    )


def interpolated_curve(scores: Scores, resamples: Resamples) -> Curve:
    """The mean over queries of their interpolated precision at each level of recall."""
    low, high = interval(resamples.means(scores.interpolated))
    defined = scores.relevant > 0
    precision = scores.interpolated[defined].mean(axis=0) if defined.any() else low
    return Curve(
        recall=RECALL_LEVELS,
        precision=precision,
        low=low,
        high=high,
        chance=np.full(len(RECALL_LEVELS), _mean(scores.chance["precision@1"])),
    )


def ranking_figures(scores: Scores, *, resamples: Resamples) -> dict[str, Figure]:
    """The figures of the rankings themselves, by name: all but the vote's."""

    def mean_of(name: str) -> Figure:
        return mean_figure(scores.values[name], chance=scores.chance[name], resamples=resamples)

    def macro_of(name: str) -> Figure:
        return macro_figure(
            scores.values[name],
            chance=scores.chance[name],
            classes=scores.classes,
            resamples=resamples,
        )

    return {
        **{f"precision@{k}": mean_of(f"precision@{k}") for k in PRECISION_DEPTHS},
        PRECISION_MACRO: macro_of(f"precision@{K}"),
        MAP_MICRO: mean_of(AP),
        MAP_MACRO: macro_of(AP),
        AP_AT_K: mean_of(AP_AT_K),
    }


def _vote_figures(scores: Scores, resamples: Resamples, votes: Ballot) -> dict[str, Figure]:
    by_chance = ballot(scores.votes_by_chance, positive=scores.classes == MALIGNANT)
    voted = np.array([1.0 if len(each.scores) else np.nan for each in scores.votes])

    def error(weights: Floats | None, of: Ballot = votes) -> float:
        return calibrate(of, weights=weights).error

    def figure(value: float, resampled: Floats, chance: float) -> Figure:
        low, high = interval(resampled)
        return Figure(
            value=value, low=float(low), high=float(high), chance=chance, **_support(voted)
        )

    return {
        VOTE_AUC: figure(
            roc_auc(votes),
            resamples.each(lambda weights: roc_auc(votes, weights=weights)),
            roc_auc(by_chance),
        ),
        VOTE_ERROR: figure(error(None), resamples.each(error), error(None, by_chance)),
    }


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _support(values: Floats) -> dict[str, int]:
    undefined = int(np.isnan(values).sum())
    return {"queries": len(values) - undefined, "undefined": undefined}
