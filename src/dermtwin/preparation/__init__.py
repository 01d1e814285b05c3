"""Lesion and artefact masks, crops and quality: what is done to a picture before its code."""

from dermtwin.preparation.findings import Findings, FoundArtefact, FoundLesion, Frame, Mask, Quality
from dermtwin.preparation.pose import Box, Pose
from dermtwin.preparation.preparation import NOT_FOUND, Preparation
from dermtwin.preparation.recipe import CropShape, Recipe

__all__ = [
    "NOT_FOUND",
    "Box",
    "CropShape",
    "Findings",
    "FoundArtefact",
    "FoundLesion",
    "Frame",
    "Mask",
    "Pose",
    "Preparation",
    "Quality",
    "Recipe",
]
