"""`dermtwin stats`: what does a casebook hold?"""

from pathlib import Path

from dermtwin.casebook import Casebook
from dermtwin.casebook.statistics import Statistics, statistics


def stats(*, casebook: str | Path) -> Statistics:
    """Count cases, lesions, patients and images, and the cases by their fields.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.

    Raises:
        CasebookError: there is no casebook, or it cannot be read.
    """
    with Casebook.open(casebook) as opened:
        return statistics(opened)
