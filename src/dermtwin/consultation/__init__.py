"""The one question, whoever asks it: which diagnosed cases are like this picture?"""

from dermtwin.consultation.answer import Answer, FoundCase, Share
from dermtwin.consultation.consultation import OUTPUT, Consultation

__all__ = ["OUTPUT", "Answer", "Consultation", "FoundCase", "Share"]
