"""Near-duplicates: one photograph that stands in a dataset twice, as it is or changed a little.

Found in three steps. Equal bytes are duplicates. Otherwise pairs whose perceptual hashes
(`hashing`) are near are candidates, mirrored and turned copies included. A candidate is
confirmed on pixels: both pictures are reduced to their fine detail (grey 64x64, the blurred picture
taken away, divided by its local contrast) and correlated, best over shifts of a few pixels. Two
photographs of one lesion agree in their coarse shape, copies of one photograph also in their grain.
The dark surround of a lens is left out. docs/datasets.md shows how the thresholds were chosen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dermtwin.datasets.hashing import TURNS, laid, perceptual_hashes
from dermtwin.images import Rgb, decode, digest, read_file
from dermtwin.running import Track, in_order, untracked

HASH_DISTANCE = 10
"""Bits of 64 in which the hashes of two candidates differ at most."""

HASH_DISTANCE_OF_COPIES = 16
"""The same where few pictures are looked at and none may be missed: of 1,800 copies (saved anew,
smaller, turned, mirrored, recoloured, cut by 3 %) the farthest was 12 away, of strangers 3 % are
nearer than 16."""

CORRELATION = 0.6
"""Correlation of fine detail from which on a candidate is a near-duplicate."""

DETAIL_SIDE = 64
"""Pixels of a side in which fine detail is looked at."""

Detail = NDArray[np.float16]
"""Fine detail of a picture: float16 [64, 64]."""

SmallGrey = NDArray[np.uint8]
"""A picture made small and grey: uint8 [64, 64]."""

_BLUR = 3.0
# Copies agree far better than that, changed colours and small shifts included; most strangers less.
_COARSE_CORRELATION = 0.9
# Grey levels: below it, contrast is noise and must not be blown up.
_FLOOR = 2.0
# What is darker than this part of the bright skin, from the side inwards, is the lens; then its rim
# in pixels.
_DARK = 0.4
_RIM = 7
_SHIFTS = (-3, -2, -1, 0, 1, 2, 3)
_BLOCK = 512

_Pairs = NDArray[np.int64]
"""Candidates: int64 [n, 3] as first, second, turn of the second."""

_Spectra = NDArray[np.complexfloating[Any, Any]]
"""Fourier transforms of details: complex [..., 64, 33]."""


@dataclass(frozen=True, slots=True)
class _Prints:
    """What is compared, a row a picture.

    Attributes:
        digests: SHA-256 of the bytes [n].
        hashes: of the picture and its seven turned and mirrored copies, uint64 [n, 8].
        details: fine detail, float16 [n, 64, 64].
    """

    digests: NDArray[np.str_]
    hashes: NDArray[np.uint64]
    details: NDArray[np.float16]


def near_duplicates(images: Sequence[Path], *, track: Track = untracked) -> list[tuple[int, int]]:
    """Find the near-duplicates among image files, as pairs of places (i < j), sorted.

    Raises:
        ImageError: a file cannot be read or decoded.
    """
    prints = _take_prints(images, track=track)
    pairs = _find_pairs(prints, prints, track=track, within=True)
    return sorted(pairs)


def near_duplicates_between(
    queries: Sequence[Path], gallery: Sequence[Path], *, track: Track = untracked
) -> list[tuple[int, int]]:
    """Find near-duplicates of queries in a gallery, as (place in queries, in gallery), sorted.

    Raises:
        ImageError: a file cannot be read or decoded.
    """
    first, second = _take_prints(queries, track=track), _take_prints(gallery, track=track)
    return sorted(_find_pairs(first, second, track=track, within=False))


def small_grey(rgb: Rgb) -> SmallGrey:
    """A picture as `same_photographs` looks at it: uint8 [64, 64]."""
    return np.asarray(_small_grey(rgb))


def may_be_copies(grey: SmallGrey, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which pictures may show one photograph with another, by their perceptual hashes alone.

    Args:
        grey: that other picture.
        hashes: uint64 [N]; mirrored and turned copies are tried.

    Returns:
        bool [N]; `same_photographs` knows more.
    """
    apart = np.bitwise_count(perceptual_hashes(grey)[:, None] ^ hashes).min(axis=0)
    return np.asarray(apart <= HASH_DISTANCE_OF_COPIES)


def same_photographs(grey: SmallGrey, others: Sequence[SmallGrey]) -> list[bool]:
    """Which of some pictures are one photograph with another, mirrored and turned copies included.

    The last of the three steps, by the same threshold, on those that agree in their coarse shape;
    unlike hashes, neither needs an extra.
    """
    near = [place for place, agrees in enumerate(_agree_coarsely(grey, others)) if agrees]
    if not near:
        return [False] * len(others)
    detail, *details = (
        _detail(Image.fromarray(each)) for each in (grey, *map(others.__getitem__, near))
    )
    poses = np.stack([laid(detail, turn) for turn in range(TURNS)])
    # [1, turns, 64, 33] times [near, 1, 64, 33]
    product = _spectra(poses)[None] * np.conj(_spectra(np.stack(details)))[:, None]
    best = dict(zip(near, _over_shifts(product).max(axis=1), strict=True))
    return [bool(best.get(place, 0) >= CORRELATION) for place in range(len(others))]


def _agree_coarsely(grey: SmallGrey, others: Sequence[SmallGrey]) -> NDArray[np.bool_]:
    """Whether means over 8x8 places correlate in any turn: bool [others]."""
    if not others:
        return np.zeros(0, dtype=np.bool_)
    first, rest = _coarse(grey[None]), _coarse(np.stack(others))
    poses = np.stack([laid(first[0], turn).ravel() for turn in range(TURNS)])
    correlation = rest.reshape(len(others), -1) @ poses.T
    agrees: NDArray[np.bool_] = correlation.max(axis=1) >= _COARSE_CORRELATION
    return agrees


def _coarse(greys: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Means over 8x8 places, of mean 0 and length 1: [n, 64, 64] to [n, 8, 8]."""
    means = greys.reshape(-1, 8, DETAIL_SIDE // 8, 8, DETAIL_SIDE // 8).mean(axis=(2, 4))
    means -= means.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((means * means).sum(axis=(1, 2), keepdims=True))
    coarse: NDArray[np.float64] = means / np.maximum(lengths, 1e-6)
    return coarse


def _take_prints(images: Sequence[Path], *, track: Track) -> _Prints:
    def take(path: Path) -> tuple[str, NDArray[np.uint64], Detail]:
        data = read_file(path)
        grey = _small_grey(decode(data, name=str(path), at_least=DETAIL_SIDE))
        return digest(data), perceptual_hashes(np.asarray(grey)), _detail(grey)

    taken = list(
        track(in_order(take, images), label="looking for near-duplicates", total=len(images))
    )
    return _Prints(
        np.array([each[0] for each in taken], dtype=np.str_),
        np.array([each[1] for each in taken], dtype=np.uint64).reshape(-1, TURNS),
        np.array([each[2] for each in taken], dtype=np.float16).reshape(
            -1, DETAIL_SIDE, DETAIL_SIDE
        ),
    )


def _small_grey(rgb: Rgb) -> Image.Image:
    picture = Image.fromarray(rgb).convert("L")
    return picture.resize((DETAIL_SIDE, DETAIL_SIDE), Image.Resampling.BOX)


def _detail(grey: Image.Image) -> Detail:
    """Fine detail, evened out over the picture, of mean 0 and length 1: [64, 64]."""
    fine = np.asarray(grey, dtype=np.float32) - _blur(grey)
    # Eight bits are what Pillow blurs; four times the contrast fits in them and rounds less.
    contrast = _blur(Image.fromarray(np.minimum(np.abs(fine) * 4, 255).astype(np.uint8))) / 4
    even = fine / (contrast + _FLOOR)
    seen = ~_find_frame(np.asarray(grey))
    even -= even.mean(where=seen) if seen.any() else 0
    even *= seen
    length = max(float(np.sqrt((even * even).sum())), 1e-6)
    detail: Detail = (even / length).astype(np.float16)
    return detail


def _find_frame(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The dark surround of a round lens, with its soft rim: the same in unrelated photographs."""
    dark = grey < _DARK * np.percentile(grey, 90)
    outside = np.zeros_like(dark)
    for turn in range(4):
        # Dark all the way from one side.
        reached = np.logical_and.accumulate(np.rot90(dark, turn), axis=0)
        outside |= np.rot90(reached, -turn)
    if not outside.any():
        return outside
    grown = Image.fromarray(outside.astype(np.uint8))
    for _ in range(_RIM):  # many small steps grow the same square as a large one, and sooner
        grown = grown.filter(ImageFilter.MaxFilter(3))
    return np.asarray(grown) > 0


def _blur(grey: Image.Image) -> NDArray[np.float32]:
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(_BLUR)), dtype=np.float32)


def _find_pairs(
    first: _Prints, second: _Prints, *, track: Track, within: bool
) -> set[tuple[int, int]]:
    equal = _equal_bytes(first, second, within=within)
    starts = range(0, len(first.digests), _BLOCK)
    found = set(equal)
    for start in track(starts, label="comparing", total=len(starts)):
        for pairs in _candidates(first, second, start=start, within=within):
            matches = pairs[_correlate(first, second, pairs) >= CORRELATION]
            found.update((int(i), int(j)) for i, j, _ in matches)
    return found


def _equal_bytes(first: _Prints, second: _Prints, *, within: bool) -> Iterator[tuple[int, int]]:
    places: dict[str, list[int]] = {}
    for j, name in enumerate(second.digests.tolist()):
        places.setdefault(name, []).append(j)
    for i, name in enumerate(first.digests.tolist()):
        yield from ((i, j) for j in places.get(name, ()) if not within or i < j)


def _candidates(first: _Prints, second: _Prints, *, start: int, within: bool) -> Iterator[_Pairs]:
    """Pairs of a block of `first` with all of `second` whose hashes are near, in small batches."""
    own = first.hashes[start : start + _BLOCK, 0]
    for turn in range(TURNS):
        distance = np.bitwise_count(own[:, None] ^ second.hashes[None, :, turn])
        i, j = np.nonzero(distance <= HASH_DISTANCE)
        i += start
        if within:
            i, j = i[i < j], j[i < j]
        pairs = np.stack([i, j, np.full_like(i, turn)], axis=1)
        yield from (pairs[at : at + _BLOCK] for at in range(0, len(pairs), _BLOCK))


def _correlate(first: _Prints, second: _Prints, pairs: _Pairs) -> NDArray[np.float32]:
    """Correlation of fine detail of each pair, the best over small shifts: float32 [n]."""
    left, i = np.unique(pairs[:, 0], return_inverse=True)
    seen = _spectra(first.details[left])
    turned = np.stack([laid(second.details[place], turn) for _, place, turn in pairs.tolist()])
    return _over_shifts(seen[i] * np.conj(_spectra(turned)))


def _spectra(details: NDArray[np.float16]) -> _Spectra:
    """Fourier transforms of details: [n, 64, 64] to [n, 64, 33]."""
    return np.fft.rfft2(details.astype(np.float32))


def _over_shifts(product: _Spectra) -> NDArray[np.float32]:
    """The best correlation over small shifts: products of spectra [..., 64, 33] to [...]."""
    surface = np.fft.irfft2(product, s=(DETAIL_SIDE, DETAIL_SIDE))
    best: NDArray[np.float32] = surface[..., _SHIFTS, :][..., _SHIFTS].max(axis=(-2, -1))
    return best
