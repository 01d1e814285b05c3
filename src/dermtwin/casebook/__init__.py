"""The record of cases: schema, migrations, image files, change log, erasure, checks."""

from dermtwin.casebook.casebook import Casebook, Changes
from dermtwin.casebook.checking import CheckReport, check_casebook
from dermtwin.casebook.forgetting import ForgetReport, Kind
from dermtwin.casebook.placing import NewImage, Outcome, Placed, compare
from dermtwin.casebook.records import EncoderRecord, Record
from dermtwin.casebook.store import image_path
from dermtwin.casebook.writer import Writer, other_encoder

__all__ = [
    "Casebook",
    "Changes",
    "CheckReport",
    "EncoderRecord",
    "ForgetReport",
    "Kind",
    "NewImage",
    "Outcome",
    "Placed",
    "Record",
    "Writer",
    "check_casebook",
    "compare",
    "image_path",
    "other_encoder",
]
