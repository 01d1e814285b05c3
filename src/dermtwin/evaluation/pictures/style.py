"""How every picture looks: two themes of one palette, and how a drawing becomes files.

Malignant is purple and benign yellow, as in the paper's Figure 4; the two differ in lightness and,
in plots, in shape, so that no reader needs the hue.
"""

import io
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from dermtwin.evaluation.subjects import BENIGN, MALIGNANT
from dermtwin.vocabulary import DRAWN_NOTICE

_PNG_DPI = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours as hexadecimal RGB."""

    paper: str
    ink: str
    muted: str
    grid: str
    accent: str
    second: str
    malignant: str
    benign: str

    def of_class(self, number: int) -> str:
        """The colour of a class."""
        return {MALIGNANT: self.malignant, BENIGN: self.benign}[number]


LIGHT = Theme(
    paper="#ffffff",
    ink="#211d2b",
    muted="#6d687a",
    grid="#e7e4ec",
    accent="#0a6b72",
    second="#b4531f",
    malignant="#6b2d93",
    benign="#e5ab09",
)
DARK = Theme(
    paper="#1b1823",
    ink="#ece9f2",
    muted="#a49fb2",
    grid="#35303f",
    accent="#4fc1c4",
    second="#f0996a",
    malignant="#b884e0",
    benign="#f4c93f",
)

Draw = Callable[[Axes, Theme], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One drawing.

    Attributes:
        png: for the folder, on white.
        light, dark: SVG for the page.
    """

    png: bytes
    light: str
    dark: str


def picture(draw: Draw, *, size: tuple[float, float] = (4.6, 3.7), is_drawn: bool) -> Picture:
    """Run a drawing function, and recolour what it drew for the dark theme.

    Args:
        draw: fills the axes.
        size: width and height in inches.
        is_drawn: whether the picture must say that its data are drawn.
    """
    canvas = _canvas(draw, LIGHT, size=size, is_drawn=is_drawn)
    light = _save(canvas, kind="svg").decode()
    return Picture(png=_save(canvas, kind="png"), light=light, dark=_darkened(light))


def settings(theme: Theme) -> Any:  # noqa: ANN401  # its type lists each of its names
    """Matplotlib's settings for a theme."""
    return {
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "axes.edgecolor": theme.muted,
        "axes.facecolor": theme.paper,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelcolor": theme.ink,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": theme.paper,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "legend.labelcolor": theme.ink,
        "svg.hashsalt": "dermtwin",
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }


def mark_as_drawn(canvas: Canvas, theme: Theme) -> None:
    """Write the notice into a corner of a picture."""
    canvas.text(0.995, 0.005, DRAWN_NOTICE, ha="right", va="bottom", size=7, color=theme.muted)


def _canvas(draw: Draw, theme: Theme, *, size: tuple[float, float], is_drawn: bool) -> Canvas:
    with mpl.rc_context(settings(theme)):
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasAgg(canvas)
        draw(canvas.add_subplot(), theme)
        if is_drawn:
            mark_as_drawn(canvas, theme)
    return canvas


def _save(canvas: Canvas, *, kind: str) -> bytes:
    buffer = io.BytesIO()
    # No date: the same figures give the same file.
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "dermtwin"}):
        canvas.savefig(buffer, format=kind, dpi=_PNG_DPI, metadata=metadata)
    return buffer.getvalue()


def _darkened(svg: str) -> str:
    dark_of = dict(zip(asdict(LIGHT).values(), asdict(DARK).values(), strict=True))
    return re.sub("|".join(dark_of), lambda found: dark_of[found.group()], svg)
