"""Preparation's measured figures: docs/preparation-results.md, from result files alone.

    python scripts/preparation_results.py docs/results/preparation --out docs/preparation-results.md

`isic2018-task1.json` is what `dermtwin evaluate-preparation` wrote, `retrieval.json` what
scripts/preparation_in_retrieval.py wrote, `speed.json` what scripts/time_preparation.py wrote.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from result_page import write_page

Figures = Mapping[str, Any]

# What the project asks for, and what it reaches for: (least, reach), "<" where less is better.
GOALS = {
    "jaccard": (">", 0.80, 0.85),
    "jaccard_poor": ("<", 0.14, 0.09),
    "confidence_auc": (">", None, 0.85),
    "empty_refused": (">", 0.90, 0.98),
    "lesion_kept": (">", 0.95, 0.98),
    "border_left": ("<", 0.20, 0.05),
    "hair_f1": (">", 0.70, 0.85),
    "dark_corner_auc": (">", 0.95, 0.98),
    "ruler_auc": (">", 0.80, 0.92),
    "hair_auc": (">", 0.80, 0.92),
    "patches_auc": (">", 0.93, 0.98),
    "ink_auc": (">", 0.85, 0.95),
    "gel_border_auc": (">", 0.75, 0.85),
    "gel_bubble_auc": (">", 0.70, 0.82),
}


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, _page)


def _page(results: Path) -> Iterator[str]:
    yield "# Preparation: what was measured"
    yield ""
    yield "Written by `scripts/preparation_results.py` from `docs/results/preparation/`; 95 %"
    yield "intervals by bootstrap over lesions. [preparation.md](preparation.md) explains words."
    yield ""
    yield from _masks(json.loads((results / "isic2018-task1.json").read_text()))
    yield from _speed(json.loads((results / "speed.json").read_text()))
    yield from _retrieval(json.loads((results / "retrieval.json").read_text())["runs"])


def _masks(result: Figures) -> Iterator[str]:
    figures = result["figures"]
    yield f"## Masks, crops, artefacts: {result['counts']['used']} held-out pictures"
    yield ""
    yield "`dermtwin evaluate-preparation isic2018_task1 --out isic2018-task1.json`"
    yield ""
    yield "| quantity | at least | reach for | figure | 95 % | pictures | |"
    yield "|---|---|---|---|---|---|---|"
    for key, each in figures.items():
        sign, least, reach = GOALS.get(key, (">", None, None))
        yield (
            f"| {each['told']} | {_goal(sign, least)} | {_goal(sign, reach)} "
            f"| **{each['value']:.3f}** | {each['low']:.3f} – {each['high']:.3f} | {each['n']} "
            f"| {_verdict(sign, each['value'], least, reach)} |"
        )
    yield ""


def _goal(sign: str, value: float | None) -> str:
    return "–" if value is None else f"{'≥' if sign == '>' else '≤'} {value:g}"


def _verdict(sign: str, value: float, least: float | None, reach: float | None) -> str:
    def holds(goal: float | None) -> bool:
        return goal is not None and (value >= goal if sign == ">" else value <= goal)

    if holds(reach):
        return "reached"
    if least is None:
        return ""
    return "passed" if holds(least) else "short"


def _speed(result: Figures) -> Iterator[str]:
    yield "## Speed, one core"
    yield ""
    yield f"`taskset -c 0 python scripts/time_preparation.py`, {result['machine']}"
    yield ""
    yield "| picture in, crop out | median | 95th percentile | pictures a second |"
    yield "|---|---|---|---|"
    for name, each in result["timed"].items():
        rate = 1000 / each["median_ms"]
        yield f"| {name} | {each['median_ms']:.0f} ms | {each['p95_ms']:.0f} ms | {rate:.0f} |"
    yield ""


def _retrieval(runs: list[Figures]) -> Iterator[str]:
    yield "## What it does to retrieval"
    yield ""
    yield "The paper's network (5 numbers), trained with and without crops on the same 684 + 684"
    yield "images of HAM10000 with the same draws, asked about 113 + 113 images of other lesions"
    yield "(`scripts/preparation_in_retrieval.py`)."
    yield ""
    yield "| | seed | paper_map | 95 % | mAP, leave-one-out | 95 % |"
    yield "|---|---|---|---|---|---|"
    for run in sorted(runs, key=lambda each: (each["way"] == "with", each["seed"])):
        first, second = run["paper_map"]["code"], run["mean_average_precision"]["code"]
        yield f"| {run['way']} crops | {run['seed']} | {_spread(first)} | {_spread(second)} |"
    for way in ("without", "with"):
        own = [run for run in runs if run["way"] == way]
        cells = []
        for measure in ("paper_map", "mean_average_precision"):
            values = [run[measure]["code"]["value"] for run in own]
            cells.append(f"**{np.mean(values):.3f}** | ± {np.std(values, ddof=1):.3f}")
        yield f"| **{way} crops** | mean ± deviation | {' | '.join(cells)} |"
    yield ""
    yield "### An artefact drawn over the queries"
    yield ""
    yield "Hits kept: share of a query's first ten that come back again (gallery: training cases)."
    yield "Change: of precision@10. Means of the seeds; in brackets the least and greatest bound"
    yield "of the seeds' 95 % intervals."
    yield ""
    yield "| artefact | hits kept without crops | with crops | change without crops | with crops |"
    yield "|---|---|---|---|---|"
    for kind in runs[0]["inserted"]:
        cells = [
            _mean_of(runs, way, lambda run, kind=kind, name=name: run["inserted"][kind][name])
            for name in ("kept", "change")
            for way in ("without", "with")
        ]
        yield f"| {kind.replace('_', ' ')} | {' | '.join(cells)} |"
    yield ""
    yield "### Artefacts read from the codes"
    yield ""
    yield "AUC of the vote of the ten nearest other pictures (ISIC 2018 task 1, Bissoto's labels);"
    yield ".5: codes know nothing of it. Brackets as above."
    yield ""
    yield "| artefact | without crops | with crops |"
    yield "|---|---|---|"
    for kind in runs[0]["read"]:
        cells = [
            _mean_of(runs, way, lambda run, kind=kind: run["read"][kind])
            for way in ("without", "with")
        ]
        yield f"| {kind.replace('_', ' ')} | {' | '.join(cells)} |"


def _spread(figure: Figures) -> str:
    return f"{figure['value']:.3f} | {figure['low']:.3f} – {figure['high']:.3f}"


def _mean_of(runs: list[Figures], way: str, pick: Any) -> str:  # noqa: ANN401 - a function
    found = [pick(run) for run in runs if run["way"] == way]
    mean = np.mean([each["value"] for each in found])
    low, high = min(each["low"] for each in found), max(each["high"] for each in found)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
