"""Curves, maps and picture strips: drawn once for the page (light and dark) and once as PNG."""

from dermtwin.evaluation.pictures.style import DARK, LIGHT, Picture, Theme

__all__ = ["DARK", "LIGHT", "Picture", "Theme"]
