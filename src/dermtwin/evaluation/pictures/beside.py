"""One image beside its colour-coded code: the paper's Figure 2."""

import io

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from dermtwin.evaluation.pictures.style import LIGHT, mark_as_drawn, settings
from dermtwin.images import Rgb

_DPI = 160


def beside_code(
    image: Rgb, code: NDArray[np.float32], *, title: str, encoder: str, is_drawn: bool
) -> bytes:
    """Draw an image and its code side by side as a PNG.

    Args:
        image: uint8 [side, side, 3], as the network sees it.
        code: [rows, columns], values from 0 to 1.
        title: what the image is called.
        encoder: what the encoder is called.
        is_drawn: whether the picture must say that the lesion is drawn.
    """
    with mpl.rc_context(settings(LIGHT) | {"axes.grid": False}):
        canvas = Canvas(figsize=(7.6, 3.9), layout="constrained")
        FigureCanvasAgg(canvas)
        left, right = canvas.subplots(1, 2)
        left.imshow(image)
        left.set_title(title, size=9)
        shown = right.imshow(code, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        rows, columns = code.shape
        right.set_title(f"its image code, {rows}×{columns}", size=9)
        canvas.colorbar(shown, ax=right, shrink=0.86, label="value")
        for axes in (left, right):
            axes.set(xticks=[], yticks=[], frame_on=False)
        canvas.text(0.005, 0.005, encoder, size=7, color=LIGHT.muted)
        if is_drawn:
            mark_as_drawn(canvas, LIGHT)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
