"""The encoder file: its card, its session, and the one way from a picture to its code."""

from dermtwin.encoders.card import Card, OutputSpec
from dermtwin.encoders.encoder import Codes, Encoder, write_encoder
from dermtwin.encoders.pixels import InputSpec, Look, ResizeRule, look_at, normalised, resized

__all__ = [
    "Card",
    "Codes",
    "Encoder",
    "InputSpec",
    "Look",
    "OutputSpec",
    "ResizeRule",
    "look_at",
    "normalised",
    "resized",
    "write_encoder",
]
