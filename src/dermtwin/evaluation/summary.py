"""Averages over queries, each with its interval, its chance and how many queries it rests on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dermtwin.evaluation.intervals import (
    Resamples,
    Statistic,
    interval,
    macro_mean,
    macro_of,
    mean,
    mean_of,
    ratio,
    resample,
)
from dermtwin.evaluation.measures import RECALL_LEVELS
from dermtwin.evaluation.ranking import Flags, Floats, Ints
from dermtwin.evaluation.scores import (
    AP,
    AP_AT_K,
    NEIGHBOURHOOD,
    PRECISION_DEPTHS,
    VOTE_DEPTHS,
    K,
    Scores,
)
from dermtwin.evaluation.subjects import CLASS_NAMES, MALIGNANT
from dermtwin.evaluation.vote import (
    Ballot,
    Calibration,
    Vote,
    auc_of,
    ballot,
    calibrate,
    roc_auc,
    roc_curve,
)

MAP_MICRO, MAP_MACRO = "mAP, micro", "mAP, macro"
PRECISION_MACRO = f"precision@{K}, macro"
VOTE_ERROR = f"vote@{K}: calibration error"


def vote_auc(k: int) -> str:
    """The name of the AUC of the first k hits' vote."""
    return f"vote@{k}: ROC AUC"


VOTE_AUC = vote_auc(K)


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
    votes = _ballot(scores.votes[K], scores)
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


def figure_of(statistic: Statistic, *, chance: float, defined: Flags) -> Figure:
    """A statistic with its interval and chance; `defined` bool [Q]: which queries define it."""
    low, high = statistic.bounds
    return Figure(
        value=statistic.value,
        low=low,
        high=high,
        chance=chance,
        queries=int(defined.sum()),
        undefined=int((~defined).sum()),
    )


def mean_figure(values: Floats, *, chance: Floats, resamples: Resamples) -> Figure:
    """The mean over the queries that define a measure.

    Args:
        values: float64 [Q], NaN where not defined.
        chance: the same for chance.
        resamples: of these queries' lesions.
    """
    found = mean_of(values, resamples=resamples)
    return figure_of(found, chance=mean(chance), defined=~np.isnan(values))


def macro_figure(
    values: Floats,
    *,
    chance: Floats,
    classes: Ints,
    resamples: Resamples,
    among: Collection[int] = tuple(CLASS_NAMES),
) -> Figure:
    """The mean of the classes' means; the arguments are those of `macro_of` and `mean_figure`."""
    found = macro_of(values, classes=classes, among=among, resamples=resamples)
    by_chance = macro_mean(chance, classes=classes, among=among)
    return figure_of(found, chance=by_chance, defined=~np.isnan(values))


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
        chance=np.full(len(RECALL_LEVELS), mean(scores.chance["precision@1"])),
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


def vote_statistic(scores: Scores, *, k: int, resamples: Resamples) -> Statistic:
    """How well the vote of the first k hits ranks the queries: its ROC AUC."""
    return auc_of(_ballot(scores.votes[k], scores), resamples=resamples)


def vote_figure(scores: Scores, *, k: int, resamples: Resamples) -> Figure:
    """`vote_statistic` with its interval, and the AUC of votes that know nothing."""
    return figure_of(
        vote_statistic(scores, k=k, resamples=resamples),
        chance=roc_auc(_ballot(scores.votes_by_chance[k], scores)),
        defined=_voted(scores, k=k),
    )


def _vote_figures(scores: Scores, resamples: Resamples, votes: Ballot) -> dict[str, Figure]:
    by_chance = _ballot(scores.votes_by_chance[K], scores)

    def error(weights: Floats | None, of: Ballot = votes) -> float:
        return calibrate(of, weights=weights).error

    # A small gallery has no neighbourhood: its line would say nothing.
    depths = [k for k in VOTE_DEPTHS if k < NEIGHBOURHOOD or _voted(scores, k=k).any()]
    aucs = {vote_auc(k): vote_figure(scores, k=k, resamples=resamples) for k in depths}
    errors = Statistic(value=error(None), resampled=resamples.each(error))
    return aucs | {
        VOTE_ERROR: figure_of(errors, chance=error(None, by_chance), defined=_voted(scores, k=K))
    }


def _ballot(votes: Sequence[Vote], scores: Scores) -> Ballot:
    return ballot(votes, positive=scores.classes == MALIGNANT)


def _voted(scores: Scores, *, k: int) -> Flags:
    """Which queries have k hits to vote: bool [Q]."""
    return np.array([len(each.scores) > 0 for each in scores.votes[k]], dtype=bool)
