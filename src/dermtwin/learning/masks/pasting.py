"""Drawn artefacts to lay over photographs, drawn once and used many times."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dermtwin.datasets.drawn.artefacts import Layer, make_layer
from dermtwin.running import Track, in_order, untracked
from dermtwin.vocabulary import Artefact


@dataclass(frozen=True, slots=True)
class LayerBank:
    """Layers of each kind at one size.

    Attributes:
        layers: by kind.
        shape: rows and columns.
    """

    layers: dict[Artefact, list[Layer]]
    shape: tuple[int, int]

    def pick(self, kind: Artefact, rng: np.random.Generator) -> Layer:
        """One layer of a kind, mirrored as chance has it."""
        layer = self.layers[kind][rng.integers(len(self.layers[kind]))]
        steps = rng.choice((-1, 1), 2)
        coverage = layer.coverage[:: steps[0], :: steps[1]]
        shine = None if layer.shine is None else layer.shine[:: steps[0], :: steps[1]]
        shade = float(rng.uniform(0.8, 1.2))
        red, green, blue = (min(255.0, level * shade) for level in layer.colour)
        return Layer(coverage, (red, green, blue), shine)


def draw_bank(
    shape: tuple[int, int], *, each: int, seed: int, track: Track = untracked
) -> LayerBank:
    """Draw `each` layers of each kind for pictures of [height, width] pixels."""
    jobs = [(kind, number) for kind in Artefact for number in range(each)]
    drawn = in_order(partial(_draw, shape=shape, seed=seed), jobs)
    layers: dict[Artefact, list[Layer]] = {kind: [] for kind in Artefact}
    for (kind, _), layer in zip(
        jobs, track(drawn, label="drawing artefacts", total=len(jobs)), strict=True
    ):
        layers[kind].append(layer)
    return LayerBank(layers, shape)


def _draw(job: tuple[Artefact, int], *, shape: tuple[int, int], seed: int) -> Layer:
    kind, number = job
    rng = np.random.default_rng([seed, list(Artefact).index(kind), number])
    return make_layer(kind, rng, shape)


def lay_over(view: NDArray[np.float32], layer: Layer) -> NDArray[np.float32]:
    """A picture with an artefact over it: float32 [height, width, 3], 0…1."""
    colour = np.asarray(layer.colour, dtype=np.float32) / np.float32(255)
    covered = view + layer.coverage[..., None] * (colour - view)
    if layer.shine is not None:
        covered += layer.shine[..., None] * (1 - covered)
    return covered
