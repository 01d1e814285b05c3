"""The plots: each takes results and gives a function that fills axes in any theme."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dermtwin.evaluation.levels import Confusion
from dermtwin.evaluation.paper import PAPER_CHANCE, PAPER_TABLE_I, TableOne
from dermtwin.evaluation.pictures.style import Draw, Theme
from dermtwin.evaluation.ranking import Floats, Ints
from dermtwin.evaluation.subjects import BENIGN, CLASS_NAMES, MALIGNANT
from dermtwin.evaluation.summary import VOTE_AUC, VOTE_ERROR, Curve, Summary

_MARKERS = {MALIGNANT: "o", BENIGN: "D"}
_DOTTED = (0, (1, 1.6))
_NAME_WIDTH = 24

# From here on a cell is so dense that paper-coloured figures read better than ink.
_DENSE = 0.7


def precision_recall(summary: Summary) -> Draw:
    """Micro-averaged curve with its band, the mean of interpolated curves, and chance."""

    def draw(axes: Axes, theme: Theme) -> None:
        _banded(axes, summary.micro, colour=theme.accent, label="all queries pooled (micro)")
        _banded(
            axes,
            summary.interpolated,
            colour=theme.second,
            label="mean of interpolated curves",
            style="--",
        )
        axes.plot(
            summary.micro.recall,
            summary.micro.chance,
            color=theme.ink,
            linestyle=_DOTTED,
            label="chance",
        )
        _unit_square(axes, x="recall", y="precision")
        _legend(axes)

    return draw


def paper_curves(table: TableOne) -> Draw:
    """The micro-averaged curve of each of the ten draws, as in the paper's Figure 5."""

    def draw(axes: Axes, theme: Theme) -> None:
        for recall, precision in zip(table.recall, table.precision, strict=True):
            axes.plot(recall, precision, color=theme.accent, alpha=0.38, linewidth=1)
        axes.plot(
            table.recall.mean(axis=0),
            table.precision.mean(axis=0),
            color=theme.accent,
            linewidth=2.2,
            label="mean of the ten draws",
        )
        axes.plot([], [], color=theme.accent, alpha=0.45, linewidth=1, label="one draw, 10 queries")
        chance = table.average_paper_map.chance
        axes.axhline(chance, color=theme.ink, linestyle=_DOTTED, label=f"chance {chance:.3f}")
        _unit_square(axes, x="recall", y="precision")
        _legend(axes)

    return draw


def table_one_dots(tables: Mapping[str, TableOne]) -> Draw:
    """The ten values of each output beside the paper's, with averages and chance."""
    rows = {"the paper": (np.array(PAPER_TABLE_I), PAPER_CHANCE)} | {
        name: (table.paper_map, table.average_paper_map.chance) for name, table in tables.items()
    }

    def draw(axes: Axes, theme: Theme) -> None:
        for place, (values, chance) in enumerate(rows.values()):
            colour = theme.accent if place else theme.muted
            heights = place + _spread(values)
            axes.scatter(values, heights, s=34, color=colour, alpha=0.75, linewidths=0)
            axes.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=theme.ink, lw=2)
            axes.plot([chance] * 2, [place - 0.42, place + 0.42], color=theme.ink, ls=_DOTTED)
        axes.plot([], [], color=theme.ink, lw=2, label="average")
        axes.plot([], [], color=theme.ink, linestyle=_DOTTED, label="chance")
        axes.set(xlim=(0, 1.02), ylim=(len(rows) - 0.4, -0.6), xlabel="paper_map (1 is perfect)")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.grid(visible=False, axis="y")
        _legend(axes, ncols=2)

    return draw


def roc(summary: Summary) -> Draw:
    """The ROC curve of the vote over queries."""
    figure = summary.figures[VOTE_AUC]

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot(
            summary.false_positives,
            summary.true_positives,
            color=theme.accent,
            linewidth=2,
            label=f"AUC {figure.value:.3f} ({figure.low:.3f} – {figure.high:.3f})",
        )
        axes.plot(
            [0, 1],
            [0, 1],
            color=theme.ink,
            linestyle=_DOTTED,
            label=f"chance {figure.chance:.3f}",
        )
        _unit_square(axes, x="false positive rate", y="true positive rate")
        _legend(axes)

    return draw


def reliability(summary: Summary) -> Draw:
    """What the vote promised against what was so, in bins of equal mass."""
    result, figure = summary.calibration, summary.figures[VOTE_ERROR]

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot([0, 1], [0, 1], color=theme.ink, linestyle=_DOTTED, label="as promised")
        # The stems are the error itself: how far each bin lies from its promise.
        axes.vlines(
            result.mean_score,
            result.mean_score,
            result.share_positive,
            color=theme.accent,
            alpha=0.45,
            linewidth=1.4,
        )
        axes.plot(
            result.mean_score,
            result.share_positive,
            color=theme.accent,
            marker="o",
            markersize=6,
            linestyle="none",
            label=f"error {figure.value:.3f} ({figure.low:.3f} – {figure.high:.3f})",
        )
        _unit_square(axes, x="vote for malignant", y="share malignant")
        _legend(axes)

    return draw


def scatter(points: Floats, *, classes: Ints) -> Draw:
    """A t-SNE map, malignant purple and benign yellow."""

    def draw(axes: Axes, theme: Theme) -> None:
        for number, name in CLASS_NAMES.items():
            chosen = points[classes == number]
            axes.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=26 if len(points) <= 400 else 9,
                marker=_MARKERS[number],
                color=theme.of_class(number),
                edgecolors=theme.paper,
                linewidths=0.5,
                label=f"{name} (n = {len(chosen)})",
            )
        axes.set_aspect("equal", adjustable="datalim")
        # The axes of a t-SNE map mean nothing, so they carry no numbers.
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(theme.grid)
        _legend(axes, ncols=2)

    return draw


def heat_map(found: Confusion) -> Draw:
    """Shares of the neighbours' diagnoses, a row for each diagnosis of the queries."""

    def draw(axes: Axes, theme: Theme) -> None:
        for (row, column), share in np.ndenumerate(found.shares):
            known = not np.isnan(share)
            # One colour, as dense as the share: the dark theme recolours it like all others.
            cell = Rectangle(
                (column, row), 1, 1, color=theme.accent, alpha=share if known else 0, linewidth=0
            )
            axes.add_patch(cell)
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{share:.2f}" if known else "–",
                ha="center",
                va="center",
                size=8,
                color=theme.paper if known and share > _DENSE else theme.ink,
            )
        rows, columns = found.shares.shape
        axes.set(xlim=(0, columns), ylim=(rows, 0), xlabel="hits", ylabel="query")
        axes.set_xticks(
            np.arange(columns) + 0.5, _wrapped(found.neighbours), rotation=40, ha="right"
        )
        axes.set_yticks(
            np.arange(rows) + 0.5,
            [
                f"{name} ({count})"
                for name, count in zip(_wrapped(found.queries), found.counts, strict=True)
            ],
        )
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)

    return draw


def heat_map_size(found: Confusion) -> tuple[float, float]:
    """Inches for a matrix: cells of one size, and room for the names."""
    rows, columns = found.shares.shape
    return 2.4 + 0.55 * columns, 2.0 + 0.42 * rows


def _wrapped(names: Sequence[str]) -> list[str]:
    return [textwrap.fill(name, _NAME_WIDTH) for name in names]


def _banded(axes: Axes, curve: Curve, *, colour: str, label: str, style: str = "-") -> None:
    axes.fill_between(curve.recall, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(
        curve.recall, curve.precision, color=colour, linewidth=1.9, linestyle=style, label=label
    )


def _unit_square(axes: Axes, *, x: str, y: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel=x, ylabel=y)


def _legend(axes: Axes, *, ncols: int = 1) -> None:
    # Above the axes: there it never covers a curve.
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=ncols, borderaxespad=0.2, borderpad=0.2
    )


def _spread(values: Floats) -> Floats:
    """Heights that keep equal values apart: 0 for the first, then alternating around it."""
    rounded = np.round(values, 3)
    earlier = np.array([(rounded[:place] == each).sum() for place, each in enumerate(rounded)])
    return np.asarray(np.where(earlier % 2, 1, -1) * ((earlier + 1) // 2) * 0.13)
