"""The one way from a picture to its crop, and to what is said of it."""

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermtwin.images import Rgb, decode, read_header
from dermtwin.preparation.ablation import without_hair
from dermtwin.preparation.artefacts import find_artefacts
from dermtwin.preparation.crop import best_rectangle, best_square
from dermtwin.preparation.findings import (
    Chance,
    Findings,
    FoundArtefact,
    FoundLesion,
    Frame,
    Mask,
    Quality,
)
from dermtwin.preparation.lesion import LesionMap, find_lesion
from dermtwin.preparation.pose import Box, canonical_pose
from dermtwin.preparation.quality import FOREIGN, judge, remarks
from dermtwin.preparation.recipe import Recipe
from dermtwin.preparation.view import AT_LEAST, halved, inner_view
from dermtwin.vocabulary import Artefact

LEAST_SIDE = 64
"""Pixels of the shorter side below which nothing can be told."""

NOT_FOUND = "No lesion was found; the whole picture is used."

# Below it an artefact's chance is doubt, not area.
_SOME = 0.3
_UNSURE = 0.75
_HAIRY = 0.38
_CLEAR = 0.75
_WHOLE = 0.9


class Preparation:
    """Examines pictures by one recipe; threads may share it."""

    def __init__(self, recipe: Recipe | None = None) -> None:
        """Take a recipe; None: the default one."""
        self.recipe = recipe or Recipe()

    def examine(self, pixels: Rgb) -> Findings:
        """Find the lesion, what lies in the way, and the crop; the picture stays as it is.

        Args:
            pixels: uint8 [height, width, 3].
        """
        return self._examine(pixels, size=(pixels.shape[1], pixels.shape[0]))

    def examine_file(self, data: bytes, *, name: str) -> Findings:
        """Examine a picture from its file's bytes; large JPEGs are decoded at a part of their size.

        Returns:
            Crop and pixel counts are those of the original, upright picture, masks those of the
            picture as it was decoded.

        Raises:
            ImageError: the bytes are no such picture.
        """
        return self._examine_reduced(data, name=name)[0]

    def cut_file(self, data: bytes, *, name: str, at_least: int = 1) -> tuple[Rgb, Findings]:
        """Examine a picture from its file's bytes and cut it.

        Args:
            data: the file's bytes.
            name: what to call it in errors.
            at_least: pixels that the crop's shorter side should have, if the original has them.

        Returns:
            The crop of the picture as it was decoded (a large JPEG at a part of its size), and the
            findings of `examine_file`.

        Raises:
            ImageError: the bytes are no such picture.
        """
        pixels, findings = self._decoded_for(data, name=name, at_least=at_least)
        return self._cut_decoded(pixels, findings).copy(), findings

    def seen_by_network(self, data: bytes, *, name: str, at_least: int) -> tuple[Rgb, Findings]:
        """What an encoder is given: `cut_file`, altered where the recipe asks for an ablation."""
        pixels, findings = self._decoded_for(data, name=name, at_least=at_least)
        crop = self._cut_decoded(pixels, findings)
        if self.recipe.no_hair:
            height, width = pixels.shape[:2]
            found = Image.fromarray(findings.artefact_mask(Artefact.HAIR))
            hair = np.asarray(found.resize((width, height)), dtype=np.uint8)
            crop = without_hair(crop, self._cut_decoded(hair, findings) > 0)
        return crop.copy(), findings

    def cut(self, pixels: Rgb, findings: Findings) -> Rgb:
        """The crop of the picture that was examined: a copy of its pixels, none altered."""
        rows, columns = findings.crop.slices
        return pixels[rows, columns].copy()

    def _decoded_for(self, data: bytes, *, name: str, at_least: int) -> tuple[Rgb, Findings]:
        """The picture, decoded so that the crop is large enough, and what was found in it."""
        findings, pixels = self._examine_reduced(data, name=name)
        (height, width), crop = pixels.shape[:2], findings.crop
        reduced = findings.size[0] / width
        side = min(crop.width, crop.height) / reduced
        if side < at_least and reduced > 1:
            # A small lesion in a large picture: examined at a part of its size, cut from more.
            enough = int(np.ceil(min(height, width) * at_least / max(side, 1)))
            pixels = decode(data, name=name, at_least=enough)
        return pixels, findings

    def _cut_decoded(self, pixels: NDArray[np.uint8], findings: Findings) -> NDArray[np.uint8]:
        """The crop of a picture that was decoded at any scale."""
        (height, width), crop = pixels.shape[:2], findings.crop
        x, y = width / findings.size[0], height / findings.size[1]
        left, right = round(crop.left * x), round(crop.right * x)
        top, bottom = round(crop.top * y), round(crop.bottom * y)
        return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]

    def _examine_reduced(self, data: bytes, *, name: str) -> tuple[Findings, Rgb]:
        """Findings in the original's pixels, and the picture as it was decoded."""
        header = read_header(data, name=name)
        pixels = decode(data, name=name, at_least=AT_LEAST)
        height, width = pixels.shape[:2]
        full = (header.width, header.height)
        if (full[0] > full[1]) != (width > height):
            full = full[::-1]
        return self._examine(pixels, size=full), pixels

    def _examine(self, pixels: Rgb, *, size: tuple[int, int]) -> Findings:
        height, width = pixels.shape[:2]
        frame = Frame(width, height, canonical_pose(pixels))
        view = inner_view(frame.pose.apply(pixels))
        artefacts = find_artefacts(view)
        lens = artefacts[Artefact.DARK_CORNER].chance > 0.5
        lesion = find_lesion(halved(view))
        canonical = size[::-1] if frame.pose.transposed else size
        quality = judge(
            view, lens=lens, lesion=None if lesion is None else lesion.inside, size=canonical
        )
        if lesion is not None and not _is_believable(lesion, quality, size=size):
            lesion = None
            quality = replace(quality, lesion_pixels=float("nan"), border_share=float("nan"))
        said = list(remarks(quality))
        if min(size) < LEAST_SIDE:
            said.append(f"The picture is only {size[0]}x{size[1]} pixels; nothing can be told.")
        if artefacts[Artefact.HAIR].fraction > _HAIRY:
            said.append("Hair hides much of the picture; structures may be lost.")
        crop, more = self._crop(lesion, artefacts, size=canonical)
        back = frame.pose.undo_box(crop, width=canonical[0], height=canonical[1])
        return Findings(
            frame=frame,
            size=size,
            lesion=None if lesion is None else _found(lesion, frame),
            artefacts=artefacts,
            crop=back,
            quality=quality,
            remarks=(*said, *more),
        )

    def _crop(
        self,
        lesion: LesionMap | None,
        artefacts: Mapping[Artefact, FoundArtefact],
        *,
        size: tuple[int, int],
    ) -> tuple[Box, tuple[str, ...]]:
        """The crop in the canonical pose, and what is to be said of it."""
        whole = Box(0, 0, *size)
        if self.recipe.shape == "whole":
            return whole, ()
        if lesion is None:
            return whole, (NOT_FOUND,)
        if lesion.inside.mean() > _WHOLE:
            return whole, ("The lesion fills the picture; the whole picture is used.",)
        said = []
        if lesion.confidence < _UNSURE:
            said.append("The lesion's outline is uncertain; look at the crop.")
        box = _bounds(lesion.faint, size=size)
        noise = _noise(artefacts, lesion)
        margins = (self.recipe.least_margin, self.recipe.margin)
        if self.recipe.shape == "rectangle":
            return best_rectangle(box, size=size, noise=noise, margins=margins), tuple(said)
        square = best_square(box, size=size, noise=noise, margins=margins)
        if square is None:
            said.append("No square in the picture holds the whole lesion; the crop is longer.")
            square = best_rectangle(box, size=size, noise=noise, margins=margins)
        return square, tuple(said)


def _is_believable(lesion: LesionMap, quality: Quality, *, size: tuple[int, int]) -> bool:
    """Whether what looks like a lesion may be one, in a picture like this."""
    # A white balance far off or a weak colour makes skin of many hues; a clear lesion outweighs it.
    looks_like_skin = quality.skin >= FOREIGN or lesion.confidence >= _CLEAR
    return looks_like_skin and min(size) >= LEAST_SIDE


def _found(lesion: LesionMap, frame: Frame) -> FoundLesion:
    return FoundLesion(frame, lesion.chance, float(lesion.inside.mean()), lesion.confidence)


def _bounds(mask: Mask, *, size: tuple[int, int]) -> Box:
    """The smallest box of whole pixels of the picture that holds a coarser mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = size[1] / mask.shape[0], size[0] / mask.shape[1]
    return Box(
        int(np.floor(columns[0] * x)),
        int(np.floor(rows[0] * y)),
        min(size[0], int(np.ceil((columns[-1] + 1) * x))),
        min(size[1], int(np.ceil((rows[-1] + 1) * y))),
    )


def _noise(artefacts: Mapping[Artefact, FoundArtefact], lesion: LesionMap) -> Chance:
    """How much of each place is artefact: where the lesion is, none; its structure wins."""
    worst = np.max([each.chance for each in artefacts.values()], axis=0)
    height, width = worst.shape
    inside = cv2.resize(lesion.inside.astype(np.uint8), (width, height)) > 0
    return np.where((worst > _SOME) & ~inside, worst, np.float32(0)).astype(np.float32)
