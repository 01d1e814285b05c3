"""The ladder of docs/ablation-results.md as a picture, from result files alone.

    python scripts/ablation_picture.py docs/results/ablation --out docs/pictures/ablation.png

A dot is a seed, a line the 95 % interval of the first one.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from ablation_results import Result, Results, figures_of, read_results
from ablation_rows import LADDER, SMALL, Row
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dermtwin.evaluation.pictures.style import LIGHT, settings

SHOWN = {
    "paper_map": "paper's test set, precision@10",
    "vote AUC": "vote AUC",
    "precision@10, macro": "7 diagnoses, precision@10 macro",
    "mAP, macro": "7 diagnoses, mAP macro",
}
DPI = 130
ROW_INCHES = 0.27


def main() -> None:
    """Read what was measured and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    figure = drawn(read_results(given.results))
    # No program's name: the same results give the same file.
    figure.savefig(given.out, dpi=DPI, metadata={"Software": None})


def drawn(results: Results) -> Figure:
    """A column a measure, a line a row that was run and is not about bits alone."""
    run = [row for row in LADDER if (SMALL, row.name) in results]
    rows = [row for row in run if not row.has_rotated_bits]
    with mpl.rc_context(settings(LIGHT)):
        figure = Figure(figsize=(11, 0.9 + ROW_INCHES * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        columns: Sequence[Axes] = figure.subplots(1, len(SHOWN), sharey=True)
        for axes, (measure, title) in zip(columns, SHOWN.items(), strict=True):
            axes.set_title(title, size=9, color=LIGHT.ink, loc="left")
            for place, row in enumerate(rows):
                _line(axes, place, figures_of(results[SMALL, row.name], measure))
        columns[0].set_yticks(range(len(rows)), [_name(row) for row in rows])
        columns[0].tick_params(axis="y", labelcolor=LIGHT.ink)
        columns[0].invert_yaxis()
    return figure


def _name(row: Row) -> str:
    return (row.name if row.on is None else f"{row.name}, on {row.on}").replace("_", " ")


def _line(axes: Axes, place: int, figures: Sequence[Result]) -> None:
    if figures and figures[0]["low"] is not None:
        ends = [figures[0]["low"], figures[0]["high"]]
        axes.plot(ends, [place, place], color=LIGHT.accent, linewidth=1.6, alpha=0.55)
    values = [each["value"] for each in figures if each["value"] is not None]
    axes.plot(values, [place] * len(values), "o", color=LIGHT.accent, markersize=4)


if __name__ == "__main__":
    main()
