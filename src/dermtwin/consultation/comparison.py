"""Why two pictures are near: what each region of the one adds to their similarity.

With codes of length 1 that regions add up to, c = sum of r_i / |sum of r_i|, the similarity of
pictures a and b is s = <c_a, c_b>, and what region i of a adds to it is <r_i, c_b> / |sum of r_i|:
these add up to s (Zhou 2016's class activation maps, with the other picture's code in the place of
a class's weights; Stylianou 2019). A region may take away from the similarity: it is negative then.
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from dermtwin.consultation.source import OUTPUT, Source
from dermtwin.consultation.steering import Region, of_region
from dermtwin.encoders import Encoder, Look, resized
from dermtwin.images import Rgb, decode

SHOWN_SIDE = 320
"""Pixels on each side of a compared view as it is shown."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Side:
    """One of two pictures.

    Attributes:
        view: what was compared of it: uint8 [320, 320, 3].
        regions: what each adds to the similarity: float64 [h, w].
    """

    view: Rgb
    regions: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Comparison:
    """Two pictures side by side, at the same scale.

    Attributes:
        similarity: scalar product of their codes, -1…1; each side's regions add up to it.
        distance: between their codes.
        query: the picture that was asked about.
        case: the other one.
        encoder: the encoder's id.
        remarks: what else is to be said, in sentences.
    """

    similarity: float
    distance: float
    query: Side
    case: Side
    encoder: str
    remarks: tuple[str, ...] = ()


def contributions(
    one: NDArray[np.float32], other: NDArray[np.float32], *, region: Region | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each region adds to the similarity of two pictures.

    Args:
        one: the first's regions, float32 [h, w, D].
        other: the second's.
        region: the part of the first picture that is compared; None: all of it.

    Returns:
        Two float64 [h, w] of the same sum, the similarity.
    """
    wide = one.astype(np.float64)
    if region is not None:
        wide = wide * region.cover(*wide.shape[:2])[..., None]
    first, second = _scaled(wide), _scaled(other.astype(np.float64))
    return first @ second.sum(axis=(0, 1)), second @ first.sum(axis=(0, 1))


def _scaled(regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Regions of a code of length 1."""
    length = float(np.linalg.norm(regions.sum(axis=(0, 1))))
    return regions / max(length, np.finfo(np.float64).tiny)


def shown(
    data: bytes, look: Look, *, encoder: Encoder, name: str, pixels: Rgb | None = None
) -> Rgb:
    """What was compared of a picture, large enough for a person: uint8 [320, 320, 3].

    Args:
        data: the image file's bytes.
        look: how the encoder saw it.
        encoder: that encoder.
        name: what to call the picture in errors.
        pixels: the picture, where it is at hand, decoded to at least 320 pixels.
    """
    spec = replace(encoder.card.input, size=SHOWN_SIDE)
    if look.findings is None or encoder.preparation is None:
        if pixels is None:
            pixels = decode(data, name=name, at_least=SHOWN_SIDE)
        return resized(pixels, spec)
    if look.findings.lesion is None and encoder.preparation.recipe.shape != "whole":
        spec = replace(spec, resize="centre-square")
    crop, size = look.findings.crop, look.findings.size
    enough = ceil(SHOWN_SIDE * min(size) / max(1, min(crop.width, crop.height)))
    pixels = decode(data, name=name, at_least=enough)
    # A JPEG may have been decoded at a part of its size.
    x, y = pixels.shape[1] / size[0], pixels.shape[0] / size[1]
    left, top = round(crop.left * x), round(crop.top * y)
    right, bottom = max(left + 1, round(crop.right * x)), max(top + 1, round(crop.bottom * y))
    return resized(pixels[top:bottom, left:right], spec)


def compare(
    source: Source,
    query: tuple[bytes, str],
    case: tuple[bytes, str],
    *,
    region: Region | None,
) -> Comparison:
    """Compare two pictures by a casebook's encoder.

    Args:
        source: that encoder.
        query: the first one's bytes and name.
        case: the other's.
        region: the part of the first that is compared; None: all of it.

    Raises:
        ImageError: one of them is no picture that dermtwin accepts.
        EncoderError: the encoder has no regions.
    """
    encoder = source.encoder
    looks: list[Look] = [encoder.look(data, name=name) for data, name in (query, case)]
    codes = [encoder.encode_views(look.view[None]) for look in looks]
    one, other = (source.regions(each) for each in codes)
    first = codes[0].vectors(OUTPUT) if region is None else of_region(one, region)
    added = contributions(one, other, region=region)
    sides = [
        Side(view=shown(data, look, encoder=encoder, name=name), regions=regions)
        for (data, name), look, regions in zip((query, case), looks, added, strict=True)
    ]
    return Comparison(
        similarity=float(added[0].sum()),
        distance=float(np.linalg.norm(first - codes[1].vectors(OUTPUT))),
        query=sides[0],
        case=sides[1],
        encoder=encoder.id,
    )
