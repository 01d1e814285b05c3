"""The one question, whoever asks it: which diagnosed cases are like this picture?"""

from dermtwin.consultation.answer import Answer, FoundCase, Share
from dermtwin.consultation.comparison import Comparison
from dermtwin.consultation.consultation import Consultation
from dermtwin.consultation.neighbours import Neighbours
from dermtwin.consultation.source import BITS, OUTPUT
from dermtwin.consultation.steering import Region
from dermtwin.consultation.trust import Level, Reason, Trust

__all__ = [
    "BITS",
    "OUTPUT",
    "Answer",
    "Comparison",
    "Consultation",
    "FoundCase",
    "Level",
    "Neighbours",
    "Reason",
    "Region",
    "Share",
    "Trust",
]
