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
