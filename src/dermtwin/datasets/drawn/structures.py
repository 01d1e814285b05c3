"""The structures of dermoscopy, one painter each, in the order in which they lie in the skin.

Terms as in the International Dermoscopy Society's consensus (Kittler 2016).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dermtwin.datasets.drawn.fields import (
    Canvas,
    Field,
    Points,
    make_curve,
    make_fractal,
    make_noise,
    smoothstep,
)
from dermtwin.datasets.drawn.kinds import Look, Traits
from dermtwin.datasets.drawn.tissue import BLOOD, MELANIN, Frame, Tissue


@dataclass(frozen=True, slots=True)
class Scene:
    """What a painter needs: its luck, the lesion's frame and looks, and the tissue to paint in."""

    rng: np.random.Generator
    frame: Frame
    traits: Traits
    look: Look
    depth: Field
    body: Field
    tissue: Tissue


@dataclass(frozen=True, slots=True)
class Structure:
    """A painter and when it is called."""

    paint: Callable[[Scene], None]
    probability: Callable[[Scene], float]


def _blobs(scene: Scene, *, cells: float, share: float, sharpness: float = 0.35) -> Field:
    """Soft islands that cover about `share` of the lesion."""
    noise = make_fractal(scene.rng, scene.frame.shape, cells=cells, octaves=2)
    inner = noise[scene.depth > 0.08]
    level = float(np.quantile(inner[::7], 1 - share)) if inner.size else 9.0
    return smoothstep(noise, level - sharpness, level + sharpness) * smoothstep(
        scene.depth, 0.0, 0.15
    )


def _scatter(scene: Scene, count: int, *, low: float, high: float = 9.0) -> Points:
    """Random places in pixels whose depth lies between the two, about `count` of them."""
    places = scene.rng.uniform(0, len(scene.depth) - 1, (count * 8, 2)).astype(np.float32)
    rows, columns = places[:, 1].astype(int), places[:, 0].astype(int)
    depth = scene.depth[rows, columns]
    chosen: Points = places[(depth > low) & (depth < high)][:count]
    return chosen


def _paint_network(scene: Scene) -> None:
    """Pigment network: a honeycomb of brown lines; the atypical one is coarse and uneven."""
    rng, frame, severity = scene.rng, scene.frame, scene.traits.severity
    warp = np.float32(0.02 + 0.04 * severity)
    x = frame.x + warp * make_fractal(rng, frame.shape, cells=11)
    y = frame.y + warp * make_fractal(rng, frame.shape, cells=11)
    pitch = rng.uniform(0.07, 0.1) * (1 + 0.25 * severity)
    mesh = np.zeros_like(x)
    turn = rng.uniform(0, np.pi)
    for third in range(3):
        angle = turn + third * np.pi / 3
        wave = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) / np.float32(pitch)
        mesh += np.cos(wave * np.float32(2 * np.pi))
    thickness = make_noise(rng, frame.shape, cells=6) * np.float32(0.25 + 0.75 * severity)
    lines = smoothstep(mesh + thickness, 0.75, -1.15)
    # Typical network thins out towards the border and often spares the middle.
    patchy = 1 - np.float32(0.25 + 0.65 * severity) * smoothstep(
        make_noise(rng, frame.shape, cells=4), -0.3, 0.7
    )
    band = smoothstep(scene.depth, -0.06, 0.12) * (
        1 - np.float32(rng.uniform(0, 0.6)) * smoothstep(scene.depth, 0.45, 0.9)
    )
    strength = np.float32(rng.uniform(0.35, 0.65) + 0.25 * severity)
    scene.tissue.absorb((lines - 0.35) * patchy * band * scene.body * strength, MELANIN)


def _paint_globules(scene: Scene) -> None:
    """Globules and dots: round and alike in a nevus, unequal and to one side in melanoma."""
    rng, unit, severity = scene.rng, scene.frame.unit, scene.traits.severity
    typical = scene.look.globules > 0.9
    centres = _scatter(
        scene, int(rng.uniform(90, 190) if typical else rng.uniform(15, 70)), low=0.04
    )
    if severity > 0.35:
        side = rng.uniform(0, 2 * np.pi)
        towards = ((centres - scene.frame.centre) / unit) @ np.array([np.cos(side), np.sin(side)])
        centres = centres[towards + rng.normal(0, 0.25, len(centres)) > -0.1]
    sizes = rng.lognormal(np.log(0.028), 0.2 + 0.5 * severity, len(centres)) * unit
    canvas = Canvas(scene.frame.shape)
    canvas.discs(centres, np.clip(sizes, 0.9, 0.11 * unit))
    spots = canvas.read(softness=0.011 * unit)
    scene.tissue.absorb(spots * np.float32(rng.uniform(0.3, 0.6) + 0.4 * severity), MELANIN)


def _paint_streaks(scene: Scene) -> None:
    """Streaks: finger-like projections from a part of the border."""
    rng, frame, unit = scene.rng, scene.frame, scene.frame.unit
    border = _scatter(scene, 90, low=-0.01, high=0.09)
    middle, width = rng.uniform(-np.pi, np.pi), rng.uniform(0.5, 1.3)
    canvas = Canvas(frame.shape)
    for start in border:
        heading = _heading(frame.centre, end=start)
        off = (heading - middle + np.pi) % (2 * np.pi) - np.pi
        if abs(off) < width and rng.random() < 0.5:
            length = rng.uniform(0.1, 0.2) * unit
            curve = make_curve(
                rng, start, heading + rng.normal(0, 0.15), length=length, bend=rng.normal(0, 0.25)
            )
            canvas.tapered(curve, start=0.06 * unit, end=0.035 * unit)
            canvas.discs(curve[-1:], [0.026 * unit])
    scene.tissue.absorb(canvas.read(softness=0.02 * unit) * np.float32(0.7), MELANIN)


def _heading(start: Points, *, end: Points) -> float:
    """The direction from one place to another, in radians."""
    dx, dy = (end - start).tolist()
    return float(np.arctan2(dy, dx))


def _paint_lacunae(scene: Scene) -> None:
    """Red lacunae: the round red lakes of a hemangioma, parted by paler walls."""
    rng, unit = scene.rng, scene.frame.unit
    centres = _scatter(scene, int(rng.uniform(35, 70)), low=0.12)
    radii = rng.uniform(0.09, 0.2, len(centres)) * unit
    canvas = Canvas(scene.frame.shape)
    canvas.discs(centres, radii, strength=0.8)
    lakes = canvas.read(softness=0.035 * unit)
    canvas.discs(centres[: len(centres) // 4], radii[: len(centres) // 4] * 0.8)
    dark = canvas.read(softness=0.06 * unit)
    scene.tissue.absorb(lakes * np.float32(rng.uniform(0.45, 0.8)), BLOOD)
    scene.tissue.absorb(dark * np.float32(rng.uniform(0.1, 0.4)), (0.7, 0.8, 0.5))


def _paint_nests(scene: Scene) -> None:
    """Blue-grey ovoid nests of a basal cell carcinoma."""
    rng, unit = scene.rng, scene.frame.unit
    centres = _scatter(scene, int(rng.uniform(5, 18)), low=0.06)
    canvas = Canvas(scene.frame.shape)
    for centre in centres:
        size = rng.lognormal(np.log(0.06), 0.45) * unit
        points = centre + rng.normal(0, 0.8, (4, 2)) * size
        canvas.discs(points.astype(np.float32), rng.uniform(0.4, 1.0, 4) * size)
    ragged = canvas.read(softness=0.05 * unit) + 0.13 * make_noise(rng, scene.frame.shape, cells=26)
    nests = smoothstep(ragged, 0.1, 1.0) * smoothstep(scene.depth, -0.02, 0.1)
    scene.tissue.cover(nests * np.float32(rng.uniform(0.4, 0.7)), (92, 90, 104))


def _paint_veil(scene: Scene) -> None:
    """Blue-white veil: confluent blue under a whitish haze, in the raised part."""
    rng = scene.rng
    area = _blobs(scene, cells=2.6, share=rng.uniform(0.12, 0.38), sharpness=0.8)
    cloudy = 0.8 + np.float32(0.16) * make_fractal(rng, scene.frame.shape, cells=14)
    blue = area * np.clip(cloudy, 0.4, 1.1) * np.float32(rng.uniform(0.42, 0.66))
    scene.tissue.cover(blue, (86, 98, 128))
    haze = area * smoothstep(make_noise(rng, scene.frame.shape, cells=9), -0.4, 1.2)
    scene.tissue.cover(haze * np.float32(0.22), (186, 192, 208))


def _paint_regression(scene: Scene) -> None:
    """Regression: white as a scar, with grey-blue peppering."""
    rng, unit = scene.rng, scene.frame.unit
    area = _blobs(scene, cells=3.2, share=rng.uniform(0.08, 0.26))
    scene.tissue.cover(area * np.float32(rng.uniform(0.4, 0.7)), (222, 196, 188))
    canvas = Canvas(scene.frame.shape)
    pepper = _scatter(scene, 420, low=0.05)
    rows, columns = pepper[:, 1].astype(int), pepper[:, 0].astype(int)
    pepper = pepper[area[rows, columns] > 0.25]
    canvas.discs(pepper, rng.uniform(0.007, 0.017, len(pepper)) * unit)
    scene.tissue.cover(canvas.read(softness=0.5) * np.float32(0.6), (94, 94, 112))


def _paint_scar(scene: Scene) -> None:
    """The central white patch of a dermatofibroma."""
    rng = scene.rng
    ragged = scene.depth + np.float32(0.1) * make_fractal(rng, scene.frame.shape, cells=7)
    patch = smoothstep(ragged, 0.32, rng.uniform(0.7, 0.95))
    scene.tissue.cover(patch * np.float32(rng.uniform(0.4, 0.65)), (228, 196, 184))


def _paint_keratin(scene: Scene) -> None:
    """A seborrhoeic keratosis' waxy surface: fissures, milia-like cysts, comedo-like openings."""
    rng, frame, unit = scene.rng, scene.frame, scene.frame.unit
    ridges = np.abs(make_fractal(rng, frame.shape, cells=13))
    fissures = smoothstep(ridges, 0.28, 0.02) * smoothstep(scene.depth, 0.02, 0.2)
    scene.tissue.absorb(fissures * np.float32(rng.uniform(0.15, 0.5)), MELANIN)
    wax = scene.body * smoothstep(make_noise(rng, frame.shape, cells=8), -0.6, 1.4)
    scene.tissue.cover(wax * np.float32(0.28), (196, 158, 118))
    openings = Canvas(frame.shape)
    centres = _scatter(scene, int(rng.uniform(6, 26)), low=0.1)
    openings.discs(centres, rng.uniform(0.02, 0.05, len(centres)) * unit)
    scene.tissue.absorb(openings.read(softness=0.012 * unit) * np.float32(1.1), MELANIN)
    cysts = Canvas(frame.shape)
    centres = _scatter(scene, int(rng.uniform(8, 34)), low=0.1)
    cysts.discs(centres, rng.uniform(0.016, 0.042, len(centres)) * unit)
    scene.tissue.cover(cysts.read(softness=0.018 * unit) * np.float32(0.72), (240, 222, 196))


def _paint_vessels(scene: Scene) -> None:
    """Vessels: branching trees where nothing brown hides them, dots elsewhere."""
    rng, unit = scene.rng, scene.frame.unit
    canvas = Canvas(scene.frame.shape)
    if scene.look.vessels < 1:
        centres = _scatter(scene, 90, low=0.1)
        canvas.discs(centres, rng.uniform(0.009, 0.02, len(centres)) * unit)
    else:
        for start in _scatter(scene, int(rng.uniform(3, 7)), low=0.0, high=0.35):
            inwards = _heading(start, end=scene.frame.centre)
            _draw_branches(scene, canvas, start, inwards, width=0.034)
    seen = canvas.read(softness=0.006 * unit) * smoothstep(scene.depth, -0.15, 0.1)
    scene.tissue.absorb(seen * np.float32(rng.uniform(0.6, 0.9)), (0.28, 0.95, 0.75))


def _draw_branches(
    scene: Scene, canvas: Canvas, start: Points, heading: float, *, width: float
) -> None:
    rng, unit = scene.rng, scene.frame.unit
    length = rng.uniform(0.3, 0.75) * unit * (width / 0.034) ** 0.5
    curve = make_curve(rng, start, heading, length=length, bend=rng.normal(0, 1.5))
    canvas.tapered(curve, start=max(width * unit, 1.0), end=max(width * unit * 0.4, 0.7))
    if width > 0.012:
        for place in rng.uniform(0.35, 1.0, 2):
            at = curve[int(place * (len(curve) - 1))]
            side = heading + rng.choice((-1, 1)) * rng.uniform(0.3, 0.9)
            _draw_branches(scene, canvas, at, side, width=width * 0.6)


def _clearer_with(severity_share: float, name: str) -> Callable[[Scene], float]:
    """The look's probability, part of it scaled with severity."""

    def probability(scene: Scene) -> float:
        base: float = getattr(scene.look, name)
        return base * (1 - severity_share + severity_share * 1.6 * scene.traits.severity)

    return probability


STRUCTURES = (
    Structure(_paint_network, _clearer_with(0.0, "network")),
    Structure(_paint_globules, _clearer_with(0.0, "globules")),
    Structure(_paint_streaks, _clearer_with(0.7, "streaks")),
    Structure(_paint_lacunae, _clearer_with(0.0, "lacunae")),
    Structure(_paint_nests, _clearer_with(0.0, "nests")),
    Structure(_paint_veil, _clearer_with(0.6, "veil")),
    Structure(_paint_regression, _clearer_with(0.6, "regression")),
    Structure(_paint_scar, _clearer_with(0.0, "scar")),
    Structure(_paint_keratin, _clearer_with(0.0, "milia")),
    Structure(_paint_vessels, _clearer_with(0.0, "vessels")),
)
