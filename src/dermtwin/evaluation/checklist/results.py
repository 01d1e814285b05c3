"""The checklists' questions about what was measured."""

from collections.abc import Iterable

from dermtwin.evaluation.checklist.asked import Record, known
from dermtwin.evaluation.groups import SMALLEST_GROUP
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT
from dermtwin.evaluation.scores import K
from dermtwin.evaluation.summary import MAP_MICRO, VOTE_AUC


def measures(record: Record) -> list[str]:
    """Which measures there are."""
    first = next(iter(record["outputs"].values()))
    names = "; ".join(first[LEAVE_ONE_OUT]["figures"])
    return [
        (
            f"{names}; per diagnosis micro and macro. Formulas: under Methods. Chance stands "
            "beside each figure. Other encoders are set beside this one by dermtwin compare."
        ),
    ]


def uncertainty(record: Record) -> list[str]:
    """How the intervals were made."""
    how = record["intervals"]
    return [
        (
            f"{100 * how['coverage']:.0f} % intervals: bootstrap percentiles, {how['resamples']} "
            f"resamples of {how['unit']}; seed {record['seed']}. They cover the choice of queries, "
            "not another gallery or training run; in leave-one-out they are too narrow."
        ),
    ]


def robustness(record: Record) -> list[str]:
    """What the figures would be under laxer and stricter rules of exclusion."""
    name = f"precision@{K}"
    outputs = record["outputs"]
    output = "code" if "code" in outputs else next(iter(outputs))
    found = outputs[output]
    rules = [
        f"{output}, {protocol}, {name}: "
        + "; ".join(
            f"{rule} {_value(figures[name])}"
            for rule, figures in found[protocol]["leak figures"].items()
        )
        for protocol in record["leaks"]
    ]
    return [*rules, "Noise, blur and other cameras are not tested by a run."]


def explained(record: Record) -> list[str]:
    """What can be seen of how a hit came about."""
    maps = [name for name, each in record["outputs"].items() if len(each["shape"]) > 1]
    shown = f" Shown as pictures: {', '.join(maps)}." if maps else ""
    return [f"Hits are shown with their recorded diagnoses; no saliency map was made.{shown}"]


def external(record: Record) -> list[str]:
    """Which sources queries and gallery share."""
    names = {
        part: set(known(facts["recorded"]["source"])) for part, facts in record["datasets"].items()
    }
    asked = names["queries"]
    if not asked:
        return ["Unknown: no source is recorded for the queries."]
    if GALLERY not in names:
        listed = ", ".join(sorted(asked))
        return [f"Unknown: no gallery was given. The queries come from {listed}."]
    if not names[GALLERY]:
        return ["Unknown: no source is recorded for the gallery."]
    return [_overlap(asked, names[GALLERY]), "The card does not name the sources of the training."]


def _overlap(asked: Iterable[str], there: Iterable[str]) -> str:
    both = sorted(set(asked) & set(there))
    if not both:
        return "No recorded source of the queries is one of the gallery."
    listed = ", ".join(both)
    return (
        f"Internal: {len(both)} of {len(set(asked))} sources of the queries are in the gallery "
        f"too ({listed})."
    )


def performance(record: Record) -> list[str]:
    """The main figures of each of the encoder's own outputs under each protocol."""
    return [
        f"{name}, {protocol}: {_figures(output[protocol]['figures'])}"
        for name, output in record["outputs"].items()
        if not output["derived"]
        for protocol in record["leaks"]
    ]


def _figures(figures: Record) -> str:
    return "; ".join(
        f"{name} {_figure(figures[name])}" for name in (f"precision@{K}", MAP_MICRO, VOTE_AUC)
    )


def _value(figure: Record) -> str:
    return "not defined" if figure["value"] is None else f"{figure['value']:.3f}"


def _figure(figure: Record) -> str:
    value, low, high, chance = (figure[key] for key in ("value", "low", "high", "chance"))
    if value is None:
        return _value(figure)
    bounds = "no interval" if low is None else f"{low:.3f} – {high:.3f}"
    return f"{value:.3f} ({bounds}; chance {chance:.3f})"


def subgroups(record: Record) -> list[str]:
    """How many groups of queries have figures."""
    shown = next(iter(record["outputs"].values()))[LEAVE_ONE_OUT]["groups"]
    counts = [
        f"{grouping}: {sum(each['queries'] >= SMALLEST_GROUP for each in groups.values())} of "
        f"{len(groups)}"
        for grouping, groups in shown.items()
    ]
    return [
        (
            f"Groups of {SMALLEST_GROUP} queries or more, which have figures: {'; '.join(counts)}. "
            "See Groups; unknown is one of them."
        ),
    ]


def failures(record: Record) -> list[str]:
    """How many queries found no image of their class among the first ten."""
    found = []
    for name, output in record["outputs"].items():
        for protocol in record["leaks"] if not output["derived"] else ():
            scores = output[protocol]["queries"][f"precision@{K}"]
            known = [each for each in scores if each is not None]
            none = sum(each == 0 for each in known)
            found.append(
                f"{name}, {protocol}: {none} of {len(known)} queries with none of their class "
                f"among the first {K}"
            )
    return [*found, "See the worst queries under Best and worst, and neighbours' diagnoses."]
