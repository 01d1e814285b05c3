"""The report: one self-contained page and the pictures on it as PNG files."""

from dermtwin.evaluation.report.album import Album
from dermtwin.evaluation.report.page import Evaluated, comparison_page, page_files

__all__ = ["Album", "Evaluated", "comparison_page", "page_files"]
