"""What each step adds: docs/ablation-results.md, from result files alone.

    python scripts/ablation_results.py docs/results/ablation --out docs/ablation-results.md

scripts/ablation_picture.py draws its picture.

The result files are what scripts/ablation.py wrote.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ablation_rows import BEST, LADDER, ROWS, SIZE, SMALL, SOURCES, UNSEEN
from result_page import write_page

from dermtwin.vocabulary import CHALLENGE_DIAGNOSES

Result = Mapping[str, Any]
Results = Mapping[tuple[str, str], list[Result]]
"""By label and row, the seeds in their order."""

FIGURES = {
    "paper_map": "paper_map",
    "paper mAP": "paper mAP",
    "vote AUC": "vote AUC",
    "precision@1, macro": "P@1 macro",
    "precision@10, macro": "P@10 macro",
    "precision@10, micro": "P@10 micro",
    "mAP, macro": "mAP macro",
    "mAP, micro": "mAP micro",
}
OF_SOURCES = ("vote AUC", "paper_map")
OF_CLASS = ("precision@10", "mAP")
BIT_ROWS = ("itq", "sign", "bits", "mixing")
BIT_CODES = {"bits": "64 bits", "bits[:32]": "32 bits"}
NOTHING, NOT_RUN = "–", "not run"

_INTRO = """# Ablation: what each step adds

Written by `scripts/ablation_results.py` from `docs/results/ablation/`, which `scripts/ablation.py`
writes. [encoders.md](encoders.md) explains the settings, [measures.md](measures.md) the measures.

HAM10000 by lesion (`split --test-share 0.15 --seed 10`); a query never finds its own lesion. A cell
is the mean of the seeds ± their deviation, with the 95 % interval of seed 0 by bootstrap over the
queries' lesions. paper_map and paper mAP: ten draws of 113 malignant and 113 benign queries, each
asked of the others of its draw. All else: each query against the training cases; the vote is of 16
hits; P is precision, and its classes, like mAP's, are the seven diagnoses.
"""

_AFTER_LADDER = f"""
The paper's network sees 100 pixels, as its image code asks for; the others see {SIZE}. Crops cost
40 ms a picture, and HAM10000's pictures have the lesion in their middle already: the backbone goes
on without them, and they are tried once more at the end.
"""

_BITS = """## What bits lose

Against the training cases: precision@10 of the 32 numbers minus that of the bits, same queries,
paired interval; below 0 the bits are better.
"""

_UNSEEN = f"""## A diagnosis that was never learnt

Trained without it, retrieved among training cases that hold it (Tschandl 2019); its own queries
alone. Learnt: the row `{BEST}`.
"""

_SOURCES = """## Another clinic's pictures: one source left out

Trained on three of HAM10000's four sources, asked with the fourth against the other three;
paper_map among the fourth's own, as many malignant as benign, 113 each at most. Beside it the
ImageNet backbone as it comes: its 1,280 features, averaged over the picture, of unit length.
"""


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, lambda folder: _page(read_results(folder)))


def read_results(folder: Path) -> Results:
    """The result files of a folder."""
    found: dict[tuple[str, str], list[Result]] = {}
    read = (json.loads(path.read_text()) for path in folder.glob("*.json"))
    for each in sorted(read, key=lambda result: result["seed"]):
        found.setdefault((each["label"], each["row"]), []).append(each)
    return found


def _page(results: Results) -> Iterator[str]:
    yield _INTRO
    yield f"**Budget: {_budget(results)}.** It tells the steps apart; an encoder that ships is"
    yield "trained for longer, on larger pictures."
    yield ""
    yield "![What each step adds, measure by measure](pictures/ablation.png)"
    yield ""
    yield from _ladder(results)
    yield from _bits(results)
    yield from _unseen(results)
    yield from _sources(results)


def _budget(results: Results) -> str:
    small = [each for (label, _), runs in results.items() if label == SMALL for each in runs]
    trained = [each for each in small if each["pictures"]]
    if not trained:
        return "nothing has been run yet"
    seen = [each["pictures"] for each in trained if ROWS[each["row"]].budget == 1] or [0]
    sizes = sorted({each["size"] for each in trained})
    machines = " and ".join(sorted({each["machine"] for each in trained}))
    return (
        f"{machines}; {_range(seen)} pictures seen in training; "
        f"{' or '.join(map(str, sizes))} pixels a side"
    )


def _range(numbers: Collection[int]) -> str:
    return " to ".join(f"{each:,}" for each in sorted({min(numbers), max(numbers)}))


def _ladder(results: Results) -> Iterator[str]:
    yield "## Step by step"
    yield ""
    yield f"| row | on top of | what it adds | seeds | {' | '.join(FIGURES.values())} |"
    yield f"|---|---|---|---|{'---|' * len(FIGURES)}"
    for row in LADDER:
        runs = results.get((SMALL, row.name), [])
        yield f"| {row.name} | {row.on or NOTHING} | {row.told} | {len(runs) or NOT_RUN} | " + (
            " | ".join(_cell(figures_of(runs, name)) for name in FIGURES) + " |"
        )
    yield _AFTER_LADDER


def figures_of(runs: Iterable[Result], name: str) -> list[Result]:
    """One figure of the code, seed by seed."""
    figures = (run["outputs"]["code"]["figures"].get(name) for run in runs)
    return [each for each in figures if each is not None]


def _cell(figures: list[Result]) -> str:
    """Mean ± deviation of the seeds, and the first seed's interval."""
    known = [each for each in figures if each["value"] is not None]
    if not known:
        return NOTHING
    values = [each["value"] for each in known]
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    interval = ""
    if known[0]["low"] is not None and known[0]["high"] is not None:
        interval = f" [{known[0]['low']:.3f}, {known[0]['high']:.3f}]"
    return f"**{np.mean(values):.3f}**{spread}{interval}"


def _bits(results: Results) -> Iterator[str]:
    yield _BITS
    kinds = ("two classes", "diagnoses, micro")
    heads = [f"{code}, {kind}" for code in BIT_CODES.values() for kind in kinds]
    yield f"| row | bits | seeds | {' | '.join(heads)} |"
    yield f"|---|---|---|{'---|' * len(heads)}"
    for name in BIT_ROWS:
        runs = results.get((SMALL, name), [])
        cells = [
            _cell([run["lost"][code][kind] for run in runs if kind in run["lost"].get(code, {})])
            for code in BIT_CODES
            for kind in kinds
        ]
        yield f"| {name} | {ROWS[name].told} | {len(runs) or NOT_RUN} | {' | '.join(cells)} |"
    yield ""


def _labels(results: Results, rows: Iterable[str]) -> list[str]:
    """The ladder's own settings first, then others that were run."""
    names = {*rows}
    others = {label for label, row in results if row in names} - {SMALL}
    return [SMALL, *sorted(others)]


def _settings_told(label: str, runs: Iterable[Result]) -> str:
    if label in (SMALL, *ROWS):
        return f"settings and budget of `{BEST if label == SMALL else label}`"
    files = sorted({run["settings"]["file"] for run in runs})
    seen = [run["pictures"] for run in runs if run["pictures"]] or [0]
    sizes = sorted({run["size"] for run in runs})
    *_, version, _ = label.split("-")  # as scripts/ablation.py puts it together
    return (
        f"`{', '.join(files)}` (SHA-256 `{version}…`), {_range(seen)} pictures seen, "
        f"{', '.join(map(str, sizes))} pixels"
    )


def _unseen(results: Results) -> Iterator[str]:
    yield _UNSEEN
    heads = [f"{name}, {way}" for name in OF_CLASS for way in ("never learnt", "learnt")]
    yield f"| diagnosis | settings | seeds | queries | {' | '.join(heads)} |"
    yield f"|---|---|---|---|{'---|' * len(heads)}"
    for label in _labels(results, [f"unseen-{code}" for code in UNSEEN]):
        for code in UNSEEN:
            runs = results.get((label, f"unseen-{code}"), [])
            learnt = results.get((SMALL, BEST), []) if label == SMALL else []
            cells = [_cell(_of_class(of, code, name)) for name in OF_CLASS for of in (runs, learnt)]
            asked = _of_class(runs, code, OF_CLASS[0])
            count = asked[0]["queries"] if asked else NOTHING
            told = _settings_told(label, runs)
            yield f"| {code} | {told} | {len(runs) or NOT_RUN} | {count} | {' | '.join(cells)} |"
    yield ""


def _of_class(runs: Iterable[Result], code: str, name: str) -> list[Result]:
    """A diagnosis' own figure, seed by seed."""
    diagnosis = list(CHALLENGE_DIAGNOSES[code].values())[-1]
    classes = (run["classes"].get(diagnosis, {}) for run in runs)
    return [each[name] for each in classes if name in each]


def _sources(results: Results) -> Iterator[str]:
    yield _SOURCES
    rows = [f"source-{source}" for source in SOURCES]
    for label in _labels(results, rows):
        trained = {name: results.get((label, name), []) for name in rows}
        frozen = {name: results.get((label, f"{name}-frozen"), []) for name in rows}
        every = [run for runs in trained.values() for run in runs]
        yield f"### With {_settings_told(label, every)}"
        yield ""
        heads = [f"{name}, {way}" for name in OF_SOURCES for way in ("trained", "frozen")]
        yield f"| left out | queries | per class in paper_map | seeds | {' | '.join(heads)} |"
        yield f"|---|---|---|---|{'---|' * len(heads)}"
        for source, name in zip(SOURCES, rows, strict=True):
            yield _source_line(source, trained[name], frozen[name])
        ways = [trained, frozen]
        means = [_mean_of_sources(way, figure) for figure in OF_SOURCES for way in ways]
        yield f"| **mean of the four** | | | | {' | '.join(means)} |"
        yield ""


def _source_line(source: str, trained: list[Result], frozen: list[Result]) -> str:
    runs = [*trained, *frozen]
    queries = f"{runs[0]['datasets']['queries']['images']:,}" if runs else NOTHING
    drawn = runs[0]["datasets"]["paper"] // 2 if runs else NOTHING
    cells = [_cell(figures_of(way, figure)) for figure in OF_SOURCES for way in (trained, frozen)]
    seeds = len(trained) or NOT_RUN
    return f"| {source} | {queries} | {drawn} | {seeds} | {' | '.join(cells)} |"


def _mean_of_sources(by_source: Mapping[str, list[Result]], name: str) -> str:
    """Each source counts the same; nothing while one of them is missing."""
    means = []
    for runs in by_source.values():
        values = [each["value"] for each in figures_of(runs, name) if each["value"] is not None]
        if not values:
            return NOTHING
        means.append(np.mean(values))
    return f"**{np.mean(means):.3f}**"


if __name__ == "__main__":
    main()
