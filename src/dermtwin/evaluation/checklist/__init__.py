"""The reporting checklist of a run."""

from dermtwin.evaluation.checklist.sheet import checklist

__all__ = ["checklist"]
