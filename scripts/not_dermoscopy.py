"""Pictures that are not dermoscopy: photographs that libraries ship, plots, drawn textures.

Kinds are parted into those that limits may be chosen on and those that they are measured on.
"""

import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

SIDE = 320
"""Pixels on each side of every picture."""

SHIPPED = {
    "chosen on": {
        "photographs": ("astronaut.png", "coffee.png", "chelsea.png", "china.jpg"),
        "walls and lawns": ("brick.png",),
        "from laboratories": ("ihc.png", "moon.png"),
        "pages": ("page.png", "color.png"),
    },
    "measured on": {
        "photographs": ("rocket.jpg", "motorcycle_left.png", "flower.jpg", "camera.png"),
        "walls and lawns": ("grass.png", "gravel.png"),
        "from laboratories": ("retina.jpg", "hubble_deep_field.jpg", "cell.png", "coins.png"),
        "pages": ("text.png", "logo.png", "microaneurysms.png"),
    },
}
"""Files of scikit-image and scikit-learn, by part and kind."""


def pictures(*, each: int, seed: int = 0) -> Iterator[tuple[str, str, str, bytes]]:
    """Part, kind, source and PNG bytes of `each` pictures of every source."""
    for part, kinds in SHIPPED.items():
        for kind, files in kinds.items():
            for file in files:
                whole = _rgb(_folder_of(file) / file)
                generator = np.random.default_rng([seed, *file.encode()])
                for _ in range(each):
                    yield part, kind, file, _png(_crop(whole, generator))
    makers = {"drawn textures": TEXTURES, "plots": PLOTS}
    for kind, by_part in makers.items():
        for part, drawing in by_part.items():
            for name, draw in drawing.items():
                generator = np.random.default_rng([seed, *name.encode()])
                for _ in range(each):
                    yield part, kind, name, _png(draw(generator))


def _folder_of(file: str) -> Path:
    package, folder = ("sklearn", "datasets/images") if file in _SKLEARN else ("skimage", "data")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is missing; run: pip install scikit-image scikit-learn")
    return Path(spec.origin).parent / folder


_SKLEARN = ("china.jpg", "flower.jpg")


def _rgb(path: Path) -> Pixels:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def _crop(whole: Pixels, generator: np.random.Generator) -> Pixels:
    """A square of a third to all of the picture, anywhere, turned by quarters."""
    side = int(min(whole.shape[:2]) * generator.uniform(1 / 3, 1))
    top = int(generator.integers(whole.shape[0] - side + 1))
    left = int(generator.integers(whole.shape[1] - side + 1))
    cut = np.rot90(whole[top : top + side, left : left + side], int(generator.integers(4)))
    return cv2.resize(np.ascontiguousarray(cut), (SIDE, SIDE)).astype(np.uint8)


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    return down, across


def _between(share: NDArray[np.float64], generator: np.random.Generator) -> Pixels:
    """Two colours mixed, 0 the one and 1 the other."""
    one, other = generator.integers(0, 256, (2, 3))
    mixed = one + share[..., None] * (other - one)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _stripes(generator: np.random.Generator) -> Pixels:
    down, across = _places()
    angle, count = generator.uniform(0, np.pi), generator.uniform(3, 40)
    wave = np.sin(2 * np.pi * count * (down * np.cos(angle) + across * np.sin(angle)))
    return _between(wave / 2 + 0.5, generator)


def _checks(generator: np.random.Generator) -> Pixels:
    down, across = _places()
    count = generator.integers(3, 30)
    squares = np.floor(down * count) + np.floor(across * count)
    return _between(squares % 2, generator)


def _clouds(generator: np.random.Generator) -> Pixels:
    """Noise whose amplitude falls with frequency, each channel by itself."""
    falls = generator.uniform(0.5, 2)
    row, column = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    amplitude = 1 / np.maximum(np.hypot(row, column), 1 / SIDE) ** falls
    channels = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * generator.random(amplitude.shape))
        noise = np.fft.irfft2(amplitude * phases, s=(SIDE, SIDE))
        channels.append((noise - noise.min()) / np.ptp(noise) * 255)
    return np.stack(channels, axis=-1).astype(np.uint8)


def _cells(generator: np.random.Generator) -> Pixels:
    """Each place in the colour of the nearest of some points."""
    down, across = _places()
    count = int(generator.integers(8, 60))
    points, colours = generator.random((count, 2)), generator.integers(0, 256, (count, 3))
    far = [np.hypot(down - point[0], across - point[1]) for point in points]
    return colours[np.argmin(far, axis=0)].astype(np.uint8)


def _gradient(generator: np.random.Generator) -> Pixels:
    down, across = _places()
    angle = generator.uniform(0, 2 * np.pi)
    slope = down * np.cos(angle) + across * np.sin(angle)
    return _between((slope - slope.min()) / np.ptp(slope), generator)


def _rings(generator: np.random.Generator) -> Pixels:
    down, across = _places()
    centre = generator.uniform(0, 1, 2)
    far = np.hypot(down - centre[0], across - centre[1])
    return _between(np.sin(2 * np.pi * generator.uniform(3, 30) * far) / 2 + 0.5, generator)


def _plain(generator: np.random.Generator) -> Pixels:
    return np.broadcast_to(generator.integers(0, 256, 3), (SIDE, SIDE, 3)).astype(np.uint8)


def _static(generator: np.random.Generator) -> Pixels:
    side = int(2 ** generator.integers(3, 9))
    coarse = generator.integers(0, 256, (side, side, 3)).astype(np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _plot(paint: Callable[..., object]) -> Callable[[np.random.Generator], Pixels]:
    def drawn(generator: np.random.Generator) -> Pixels:
        import matplotlib as mpl  # noqa: PLC0415 - an extra

        mpl.use("agg")
        from matplotlib import pyplot as plt  # noqa: PLC0415

        style = str(generator.choice(["default", "ggplot", "dark_background", "bmh"]))
        with plt.style.context(style):
            figure, axes = plt.subplots(figsize=(4, 4), dpi=SIDE / 4)
            paint(axes, generator)
            axes.set_title("a title")
            figure.canvas.draw()
            pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
            plt.close(figure)
        return pixels.astype(np.uint8)

    return drawn


def _lines(axes, generator) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    axes.plot(generator.normal(size=(50, 3)).cumsum(axis=0))


def _bars(axes, generator) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    axes.bar(range(8), generator.random(8))


def _dots(axes, generator) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    axes.scatter(*generator.normal(size=(2, 200)), c=generator.random(200))


def _pie(axes, generator) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    axes.pie(generator.random(5))


def _heat(axes, generator) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    axes.imshow(generator.random((12, 12)), cmap=generator.choice(["viridis", "hot", "gray"]))


TEXTURES: Mapping[str, Mapping[str, Callable[[np.random.Generator], Pixels]]] = {
    "chosen on": {"stripes": _stripes, "clouds": _clouds, "plain": _plain},
    "measured on": {
        "checks": _checks,
        "cells": _cells,
        "gradient": _gradient,
        "rings": _rings,
        "static": _static,
    },
}
PLOTS = {
    "chosen on": {"lines": _plot(_lines), "bars": _plot(_bars)},
    "measured on": {"dots": _plot(_dots), "pie": _plot(_pie), "heat map": _plot(_heat)},
}
