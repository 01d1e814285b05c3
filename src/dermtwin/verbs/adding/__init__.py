"""What `dermtwin add` is made of: pictures made ready, and photographs that are there already."""

from enum import StrEnum


class OnDuplicate(StrEnum):
    """What becomes of a row whose image repeats that of another lesion's case."""

    REPORT = "report"
    SKIP = "skip"
    REFUSE = "refuse"
