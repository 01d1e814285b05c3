"""The encoder file: its card, its session, and the one way from a picture to its code."""

from dermtwin.encoders.card import Card, OutputSpec
from dermtwin.encoders.encoder import Codes, Encoder, write_encoder
from dermtwin.encoders.pixels import InputSpec, ResizeRule, normalised, resized, view_of

__all__ = [
    "Card",
    "Codes",
    "Encoder",
    "InputSpec",
    "OutputSpec",
    "ResizeRule",
    "normalised",
    "resized",
    "view_of",
    "write_encoder",
]
