"""The paper's parts and figures beside ours: docs/reproduction.md, from result files alone.

Cut a result out of an evaluation (it keeps what the page shows, no image and no single query):

    python scripts/reproduction.py --extract REPORT/metrics.json --name ham10000 \
        --command "dermtwin split …" --command "dermtwin train …" --out docs/results/ham10000.json

Write the page:

    python scripts/reproduction.py docs/results/*.json --out docs/reproduction.md
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dermtwin.evaluation.paper import AVERAGE_COVERS, PAPER_AVERAGE, PAPER_CHANCE, PAPER_TABLE_I
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT
from dermtwin.files import write_text
from dermtwin.vocabulary import DRAWN_NOTICE

RESULT_FORMAT = 1
RECALLS = tuple(round(0.1 * step, 1) for step in range(1, 11))

PARTS = (
    ("data", "1,594 images of the ISIC Archive; training 684 + 684, test 113 + 113", None),
    (
        "preparation",
        "each image cropped by hand",
        "the largest centred square, scaled; no cropping by hand, no removal of hair or ink",
    ),
    ("input", "RGB, 3×100×100", None),
    (
        "network",
        (
            "two twins with shared weights; five convolutions, each but the last followed by ReLU, "
            "then batch normalisation; three fully connected layers, ReLU and batch normalisation "
            "after the first, a sigmoid between the second and the third; output 1×5"
        ),
        "the same; 3×3 kernels over a mirrored border, as in the tutorial that the paper follows",
    ),
    (
        "loss",
        "contrastive: (1 - Y)·½·D² + Y·½·max(0, m - D)², Y = 0 similar, 1 dissimilar",
        "the same; half of the pairs similar, half dissimilar",
    ),
    (
        "image code (Figure 2)",
        "fully connected layers popped off, the last convolution pooled to 25×25, values 0 to 1",
        "the same, the encoder's output `map`",
    ),
    (
        "retrieval",
        "all other test images ranked by dissimilarity, the nearest ten shown",
        "the same, without the query's own lesion and patient",
    ),
    ("t-SNE (Figure 4)", "malignant purple, benign yellow", "the same, in report.html"),
    (
        "PR curve (Figure 5)",
        "micro-averaged over ten queries",
        "the same for each of ten draws, and over all test images",
    ),
    (
        "mAP (Table I)",
        "mean precision@10 of 5 + 5 queries, ten times",
        "the same (`paper_map`), and the true mean average precision beside it",
    ),
)

OPEN = (
    ("network.channels", "widths of the first four convolutions"),
    ("network.strides", "strides of the five convolutions"),
    ("network.hidden", "widths of the first two fully connected layers"),
    ("loss.margin", "the margin m"),
    ("optimiser.kind", "the optimiser"),
    ("optimiser.learning_rate", "its step size"),
    ("optimiser.weight_decay", "its weight decay"),
    ("optimiser.batch_pairs", "pairs a step"),
    ("optimiser.epochs", "epochs"),
    ("pairs.per_epoch", "pairs an epoch (0: as many as training images)"),
    ("input.resize", "how a picture becomes a square"),
)


def extract(
    metrics: Mapping[str, Any], *, name: str, note: str, commands: Sequence[str]
) -> dict[str, Any]:
    """Cut what the page shows out of an evaluation's metrics.json.

    Args:
        metrics: as read from the file.
        name: what to call the data.
        note: what a reader should know before the figures; empty: nothing.
        commands: how it was made, one a line.
    """
    card = metrics["encoder"]["card"]
    return {
        "format": RESULT_FORMAT,
        "name": name,
        "note": note,
        "commands": list(commands),
        "drawn": metrics["drawn"],
        "made_at": metrics["made_at"],
        "seed": metrics["seed"],
        "versions": metrics["versions"],
        "encoder": {
            "id": metrics["encoder"]["id"],
            "name": card["name"],
            "input": card["input"],
            "settings": _flat(card["training"].get("settings", {})),
            "data": card["training"].get("data", {}),
        },
        "datasets": metrics["datasets"],
        "leaks": metrics["leaks"],
        "outputs": {
            output: _extract_output(values, protocols=metrics["protocols"])
            for output, values in metrics["outputs"].items()
        },
    }


def _extract_output(values: Mapping[str, Any], *, protocols: Sequence[str]) -> dict[str, Any]:
    runs = [each for each in protocols if each in (LEAVE_ONE_OUT, GALLERY)]
    return {
        "numbers": values["numbers"],
        "paper": values["paper"],
        **{
            run: {
                "figures": values[run]["figures"],
                "precision at recall": _precision_at(values[run]["curve"]),
            }
            for run in runs
        },
    }


def _precision_at(curve: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The micro curve and its band at a recall of .1, .2 … 1."""
    return {
        line: [round(float(each), 6) for each in np.interp(RECALLS, curve["recall"], curve[line])]
        for line in ("precision", "low", "high", "chance")
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The page's Markdown."""
    blocks = [*_opening(), *_parts()]
    for name in dict.fromkeys(result["name"] for result in results):
        runs = [result for result in results if result["name"] == name]
        runs.sort(key=lambda run: run["encoder"]["settings"].get("seed", 0))
        blocks += _result(runs[0], further=runs[1:])
    return "\n\n".join(blocks) + "\n"


def _opening() -> Iterator[str]:
    yield "# The paper, reproduced"
    yield (
        "<!-- Written by scripts/reproduction.py from docs/results/*.json; change those, not this "
        "page. -->"
    )
    yield (
        "Helmut Neher, *Encoding Skin Cancer Images for Case Retrieval using Siamese Networks*, "
        "part by part and figure by figure beside dermtwin. [measures.md](measures.md) defines "
        "the measures. **Chance** is what an encoder that knows nothing reaches under the same "
        "protocol; 1 is perfect. The paper reads .5 as near perfect; on its test set chance is "
        f"{PAPER_CHANCE:.3f}, and its average of {PAPER_AVERAGE} is chance."
    )


def _parts() -> Iterator[str]:
    yield "## Its parts"
    rows = [(part, theirs, ours or "see each result") for part, theirs, ours in PARTS]
    yield _table(("part", "the paper", "dermtwin"), rows)


def _result(
    result: Mapping[str, Any], *, further: Sequence[Mapping[str, Any]] = ()
) -> Iterator[str]:
    drawn = f" ({DRAWN_NOTICE})" if result["drawn"] else ""
    yield f"## Results: {result['name']}{drawn}"
    yield _made_of(result)
    if result["note"]:
        yield result["note"]
    yield "### Table I"
    yield from _table_one(result)
    for protocol in ("leave-one-out", "gallery"):
        if protocol in next(iter(result["outputs"].values())):
            yield f"### {protocol.capitalize()}"
            yield _figures(result, protocol)
            yield "Precision of all queries pooled (micro), at each recall:"
            yield _curve(result, protocol)
    if further:
        yield "### Spread over training seeds"
        yield from _spread([result, *further])
    yield "### Leak check"
    yield _leaks(result)
    yield "### What the paper leaves open"
    yield _open(result)
    yield from _commands(result)


def _made_of(result: Mapping[str, Any]) -> str:
    sides = ", ".join(
        f"{part}: {facts['images']} images of {facts['lesions'] or 'unknown'} lesions "
        f"({facts['classes']['malignant']} malignant, {facts['classes']['benign']} benign)"
        for part, facts in result["datasets"].items()
    )
    learnt = result["encoder"]["data"].get("images")
    trained = f" Trained on {learnt} images." if learnt else ""
    return (
        f"{sides[0].upper()}{sides[1:]}.{trained} Encoder `{result['encoder']['id'][:12]}` "
        f"({result['encoder']['name']}), dermtwin {result['versions']['dermtwin']}, "
        f"{result['made_at'][:10]}, seed {result['seed']}."
    )


def _table_one(result: Mapping[str, Any]) -> Iterator[str]:
    tables = {name: each["paper"] for name, each in result["outputs"].items() if each["paper"]}
    if not tables:
        yield "Not measured: fewer than five test images of a class."
        return
    measures = [(name, measure) for name in tables for measure in ("paper_map", "mAP")]
    head = ["draw", "the paper", *(f"`{name}`: {measure}" for name, measure in measures)]
    rows = [
        [str(draw + 1), f"{value:.2f}"]
        + [_number(tables[name][measure][draw]) for name, measure in measures]
        for draw, value in enumerate(PAPER_TABLE_I)
    ]
    averages = [tables[name][f"average {measure}"] for name, measure in measures]
    rows.append(["**average**", f"**{PAPER_AVERAGE}**", *(_bold(each) for each in averages)])
    rows.append(["chance", _number(PAPER_CHANCE), *(_number(each["chance"]) for each in averages)])
    yield _table(head, rows)
    yield (
        "`paper_map` is the mean precision@10 of a draw's ten queries, the paper's measure; mAP is "
        f"the mean of their full average precision. {AVERAGE_COVERS}"
    )


def _figures(result: Mapping[str, Any], protocol: str) -> str:
    outputs = result["outputs"]
    first = next(iter(outputs.values()))[protocol]["figures"]
    head = ["measure", *(f"`{name}`, {each['numbers']} numbers" for name, each in outputs.items())]
    rows = [
        [
            name,
            *(_with_interval(each[protocol]["figures"][name]) for each in outputs.values()),
            *(_number(figure["chance"]), str(figure["queries"]), str(figure["undefined"])),
        ]
        for name, figure in first.items()
    ]
    return _table([*head, "chance", "queries", "undefined"], rows)


def _curve(result: Mapping[str, Any], protocol: str) -> str:
    curves = {
        name: each[protocol]["precision at recall"] for name, each in result["outputs"].items()
    }
    rows = [
        [
            f"{recall:.1f}",
            *(
                f"{_number(curve['precision'][place])} "
                f"({_number(curve['low'][place])} – {_number(curve['high'][place])})"
                for curve in curves.values()
            ),
            _number(next(iter(curves.values()))["chance"][place]),
        ]
        for place, recall in enumerate(RECALLS)
    ]
    return _table(["recall", *(f"`{name}`" for name in curves), "chance"], rows)


def _spread(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The main figures of runs that differ in their training seed alone."""
    seeds = [run["encoder"]["settings"]["seed"] for run in runs]
    rows = []
    for output in runs[0]["outputs"]:
        for measure, values in _spread_values(runs, output).items():
            shown = [_number(value) for value in values]
            mean, deviation = np.mean(values), np.std(values, ddof=1)
            rows.append([f"`{output}`: {measure}", *shown, f"**{mean:.3f}** ± {deviation:.3f}"])
    yield _table(["measure", *(f"seed {seed}" for seed in seeds), "mean ± deviation"], rows)
    yield (
        "The same split and settings; only the seed of the first weights and of the pairs differs. "
        "The tables above are those of the first column."
    )


def _spread_values(runs: Sequence[Mapping[str, Any]], output: str) -> dict[str, list[float]]:
    by_measure = {
        "paper_map, average": [
            run["outputs"][output]["paper"]["average paper_map"]["value"] for run in runs
        ]
    }
    for protocol in ("leave-one-out", "gallery"):
        for measure in ("precision@10", "mAP, micro", "vote@10: ROC AUC"):
            by_measure[f"{measure}, {protocol}"] = [
                run["outputs"][output][protocol]["figures"][measure]["value"] for run in runs
            ]
    return by_measure


def _leaks(result: Mapping[str, Any]) -> str:
    rows = [
        [protocol, *(f"{found['queries']} ({100 * found['share']:.1f} %)" for found in by.values())]
        for protocol, by in result["leaks"].items()
    ]
    kinds = next(iter(result["leaks"].values()))
    return (
        "Queries with something of their own in the gallery. Lesion and patient are left out of "
        "every figure above; near-duplicates are not.\n\n" + _table(["protocol", *kinds], rows)
    )


def _open(result: Mapping[str, Any]) -> str:
    settings = result["encoder"]["settings"]
    known = {name for name, _ in OPEN}
    rows = [
        [words, f"`{name}`", _value(settings[name])] for name, words in OPEN if name in settings
    ]
    rows += [
        ["", f"`{name}`", _value(value)] for name, value in settings.items() if name not in known
    ]
    if not rows:
        return "The encoder's card holds no training settings."
    return _table(["left open", "setting", "here"], rows)


def _commands(result: Mapping[str, Any]) -> Iterator[str]:
    if result["commands"]:
        yield "### Commands"
        lines = "\n".join(f"$ {command}" for command in result["commands"])
        yield f"<!-- not run: it needs the images -->\n```console\n{lines}\n```"


def _value(value: Any) -> str:  # noqa: ANN401  # whatever a setting may be
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _with_interval(figure: Mapping[str, Any]) -> str:
    low, high = _number(figure["low"]), _number(figure["high"])
    return f"{_number(figure['value'])} ({low} – {high})"


def _bold(figure: Mapping[str, Any]) -> str:
    value, _, rest = _with_interval(figure).partition(" ")
    return f"**{value}** {rest}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and write the one file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="*", type=Path, help="result files")
    parser.add_argument("--extract", type=Path, metavar="METRICS", help="an evaluation's file")
    parser.add_argument("--name", help="with --extract: what to call the data")
    parser.add_argument("--note", default="", help="with --extract: a sentence before the figures")
    parser.add_argument("--command", action="append", default=[], help="with --extract")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    if bool(given.results) == bool(given.extract) or bool(given.extract) != bool(given.name):
        parser.error("give either result files, or --extract with --name.")
    if given.extract:
        metrics = json.loads(given.extract.read_text())
        result = extract(metrics, name=given.name, note=given.note, commands=given.command)
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    else:
        text = page([_read(path) for path in sorted(given.results)])
    write_text(given.out, text)


def _read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text())
    if result.get("format") != RESULT_FORMAT:
        sys.exit(f"{path} is no result of this script; make one with --extract.")
    return result


if __name__ == "__main__":
    main()
