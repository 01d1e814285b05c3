"""The loss curve, as a table and as a picture."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dermtwin.files import replacing, write_text
from dermtwin.learning.report import EpochLoss
from dermtwin.learning.stepping import Point


def uninformed_loss(margin: float) -> float:
    """The least loss of a network that puts all pairs at one distance: m²/8, at half the margin.

    With half the pairs similar the mean is ¼D² + ¼(m-D)², least at D = m/2. Below it, the network
    is sure to tell similar from dissimilar pairs.
    """
    return margin**2 / 8


def write_table(path: Path, losses: Sequence[EpochLoss]) -> None:
    """Write a CSV with the columns epoch, training, validation (empty: not measured)."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("epoch", "training", "validation"))
    for epoch, loss in enumerate(losses, start=1):
        table.writerow((epoch, loss.training, "" if loss.validation is None else loss.validation))
    write_text(path, text.getvalue())


def write_picture(path: Path, losses: Sequence[EpochLoss], *, margin: float, title: str) -> None:
    """Draw the curve as a PNG, with the loss of a network that has learnt nothing beside it."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    _draw(axes, losses, margin=margin)
    axes.set_title(title, loc="left")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _draw(axes: Axes, losses: Sequence[EpochLoss], *, margin: float) -> None:
    epochs = range(1, len(losses) + 1)
    # A curve of one epoch is a point, which only a marker shows.
    marker = "o" if len(losses) == 1 else ""
    training = [loss.training for loss in losses]
    axes.plot(epochs, training, color="#4b2e83", label="training pairs", marker=marker)
    validation = [loss.validation for loss in losses if loss.validation is not None]
    if validation:
        axes.plot(epochs, validation, color="#d98200", label="validation pairs", marker=marker)
    axes.axhline(
        uninformed_loss(margin),
        color="0.45",
        linestyle=":",
        label=f"one distance for all pairs, m²/8 = {uninformed_loss(margin):.3g}",
    )
    axes.set(xlabel="epoch", ylabel="mean contrastive loss", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def write_points(png: Path, table: Path, points: Sequence[Point], *, title: str) -> None:
    """Write a metric training's curve: loss, learning rate and validation figure, by step."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("step", "training", "rate", "validation_macro_map"))
    for point in points:
        quality = "" if point.quality is None else point.quality
        rows.writerow((point.step, point.loss, point.rate, quality))
    write_text(table, text.getvalue())
    figure = Figure(figsize=(7, 7), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    steps = [point.step for point in points]
    marker = "o" if len(points) == 1 else ""
    columns = (
        ("training loss", [point.loss for point in points]),
        ("highest learning rate", [point.rate for point in points]),
        ("validation mAP, macro", [point.quality for point in points]),
    )
    for axes, (name, values) in zip(panels, columns, strict=True):
        axes.plot(steps, values, color="#4b2e83", marker=marker)
        axes.set_ylabel(name)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_title(title, loc="left")
    with replacing(png) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
