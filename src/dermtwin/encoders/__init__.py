"""The encoder file: its card, its session, and the one way from a picture to its code."""

from dermtwin.encoders.adoption import Adopted, adopted, refuse_difference
from dermtwin.encoders.card import REGIONS, Card, OutputSpec, time_of_making
from dermtwin.encoders.encoder import Codes, Encoder, write_encoder
from dermtwin.encoders.pixels import (
    InputSpec,
    LightRule,
    Look,
    ResizeRule,
    look_at,
    normalised,
    resized,
)
from dermtwin.encoders.views import refuse_views

__all__ = [
    "REGIONS",
    "Adopted",
    "Card",
    "Codes",
    "Encoder",
    "InputSpec",
    "LightRule",
    "Look",
    "OutputSpec",
    "ResizeRule",
    "adopted",
    "look_at",
    "normalised",
    "refuse_difference",
    "refuse_views",
    "resized",
    "time_of_making",
    "write_encoder",
]
