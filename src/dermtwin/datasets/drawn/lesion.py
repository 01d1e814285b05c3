"""One lesion, painted once in its own frame; its photographs are all taken of this painting."""

from dataclasses import dataclass

import numpy as np

from dermtwin.datasets.drawn.fields import Field, make_fractal, make_noise, smoothstep
from dermtwin.datasets.drawn.kinds import LOOKS, Kind, Look, Traits
from dermtwin.datasets.drawn.structures import STRUCTURES, Scene
from dermtwin.datasets.drawn.tissue import BLOOD, MELANIN, SOOT, Frame, Stack, Tissue, make_frame


@dataclass(frozen=True, slots=True)
class Lesion:
    """A painted lesion: what it does to light, and where it is.

    Attributes:
        passed, scattered: float32 [3, side, side], 0…1.
        inside: 0…1 [side, side]; the lesion is where it is at least a half.
    """

    passed: Stack
    scattered: Stack
    inside: Field


def paint_lesion(traits: Traits, *, side: int) -> Lesion:
    """Paint a lesion in a frame of `side` pixels; the same traits give the same pixels."""
    rng = np.random.default_rng(traits.seed)
    frame, look = make_frame(side), LOOKS[traits.kind]
    depth = _make_contour(rng, frame, traits)
    inside = smoothstep(depth, -0.03, 0.03)
    body = smoothstep(depth, *_border(rng, frame, traits, look))
    tissue = Tissue(frame.shape)
    scene = Scene(rng, frame, traits, look, depth, body, tissue)
    _paint_body(scene)
    for structure in STRUCTURES:
        if rng.random() < structure.probability(scene):
            structure.paint(scene)
    passed, scattered = tissue.read()
    return Lesion(passed, scattered, inside)


def _make_contour(rng: np.random.Generator, frame: Frame, traits: Traits) -> Field:
    """How deep inside the lesion each place lies: 1 in the middle, 0 on the border."""
    ragged = traits.severity
    warp = np.float32(0.028 + 0.13 * ragged)
    x = frame.x + warp * make_fractal(rng, frame.shape, cells=5 + 4 * ragged, octaves=3)
    y = frame.y + warp * make_fractal(rng, frame.shape, cells=5 + 4 * ragged, octaves=3)
    depth = _lobe(rng, (x, y), centre=(0.0, 0.0), radius=rng.uniform(0.85, 1.0), ragged=ragged)
    for _ in range(rng.binomial(3, 0.75 * ragged**1.3)):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.8)
        centre = (distance * np.cos(angle), distance * np.sin(angle))
        lobe = _lobe(rng, (x, y), centre=centre, radius=rng.uniform(0.35, 0.6), ragged=ragged)
        depth = _soft_union(depth, lobe)
    edge = smoothstep(np.maximum(np.abs(frame.x), np.abs(frame.y)), 1.45, 1.7)
    return depth - edge * np.float32(2)


def _lobe(
    rng: np.random.Generator,
    at: tuple[Field, Field],
    *,
    centre: tuple[float, float],
    radius: float,
    ragged: float,
) -> Field:
    """An ellipse whose radius swings a little with the angle."""
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.12 + 0.45 * ragged)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dy = at[0] - np.float32(centre[0]), at[1] - np.float32(centre[1])
    u = (dx * cos + dy * sin) / np.float32(stretch**0.5)
    v = (dy * cos - dx * sin) * np.float32(stretch**0.5)
    distance: Field = np.sqrt(u * u + v * v)
    return np.float32(1) - distance / np.float32(radius)


def _soft_union(first: Field, second: Field) -> Field:
    """The deeper of two depths, rounded where they meet (polynomial smooth maximum)."""
    width = np.float32(0.3)
    h: Field = np.clip(np.float32(0.5) * (1 + (first - second) / width), 0, 1)
    union: Field = second + (first - second) * h + width * h * (1 - h)
    return union


def _border(
    rng: np.random.Generator, frame: Frame, traits: Traits, look: Look
) -> tuple[Field, Field]:
    """Where the pigment begins and where it is full: an even fade, or abrupt in places."""
    uneven = make_noise(rng, frame.shape, cells=4) * np.float32(0.5 * traits.severity)
    width = np.float32(look.fade * (1.25 - 0.6 * traits.severity)) * np.exp(uneven)
    return -width * np.float32(0.6), width * np.float32(1.4)


def _paint_body(scene: Scene) -> None:
    """The even part of the colour: pigment in zones, redness, a paler or darker middle."""
    rng, frame, traits, look = scene.rng, scene.frame, scene.traits, scene.look
    zones = make_fractal(rng, frame.shape, cells=3.2, octaves=3)
    variety = 0.1 + 0.34 * traits.severity
    tone = look.melanin * rng.lognormal(0, 0.22)
    middle = rng.normal(0.0, 0.18) * smoothstep(scene.depth, 0.2, 0.8)
    grain = make_noise(rng, frame.shape, cells=90) * np.float32(0.05)
    melanin = scene.body * np.clip(
        tone * (1 + np.float32(variety) * zones + middle + grain), 0.04, None
    )
    scene.tissue.absorb(melanin, MELANIN)
    flush = make_noise(rng, frame.shape, cells=4) * np.float32(0.3) + 1
    scene.tissue.absorb(scene.body * flush * np.float32(look.blood * rng.lognormal(0, 0.2)), BLOOD)
    if traits.kind.is_melanocytic:
        _paint_dark_zone(scene)


def _paint_dark_zone(scene: Scene) -> None:
    """Melanoma darkens off its middle, in some places to black; a nevus hardly."""
    rng, severity = scene.rng, scene.traits.severity
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3 + 0.45 * severity)
    dx = scene.frame.x - np.float32(distance * np.cos(angle))
    dy = scene.frame.y - np.float32(distance * np.sin(angle))
    spread = np.sqrt(dx * dx + dy * dy) + 0.16 * make_fractal(rng, scene.frame.shape, cells=7)
    zone = smoothstep(spread, rng.uniform(0.5, 0.85), 0.1) * scene.body
    strength = np.float32(rng.uniform(0.1, 0.3) + 0.75 * severity**1.5)
    scene.tissue.absorb(zone * strength, MELANIN)
    if scene.traits.kind is Kind.MELANOMA:
        scene.tissue.absorb(zone * zone * np.float32(rng.uniform(0.1, 0.6)), SOOT)
