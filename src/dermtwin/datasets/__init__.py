"""Folders of images with their tables: read, checked, split, drawn."""

from dermtwin.datasets.table import Dataset, Fault, FaultKind, Row, describe_faults

__all__ = ["Dataset", "Fault", "FaultKind", "Row", "describe_faults"]
