"""Codes and fields in memory: filters, and exact nearest cases.

The gallery knows nothing of files or databases; it is handed arrays and changes.
"""

from dermtwin.gallery.entries import Encoded, Entries
from dermtwin.gallery.filters import Between, Condition, Filter, Known, OneOf, parse_where
from dermtwin.gallery.gallery import Gallery
from dermtwin.gallery.snapshot import Exclusion, Found, Snapshot

__all__ = [
    "Between",
    "Condition",
    "Encoded",
    "Entries",
    "Exclusion",
    "Filter",
    "Found",
    "Gallery",
    "Known",
    "OneOf",
    "Snapshot",
    "parse_where",
]
