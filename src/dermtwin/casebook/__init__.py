"""The record of cases: schema, migrations, image files, change log, erasure, checks."""

from dermtwin.casebook.auditing import Head
from dermtwin.casebook.casebook import Casebook, EncoderChangedError, NoSuchCaseError
from dermtwin.casebook.checking import CheckReport, check_casebook
from dermtwin.casebook.forgetting import ForgetPlan, Kind
from dermtwin.casebook.hashes import (
    ImageHashes,
    Shown,
    cases_of_images,
    changed_images,
    image_hashes,
    small_copy,
)
from dermtwin.casebook.holding import HeldError, Hold
from dermtwin.casebook.keys import KeyName, keep_key, kept_key
from dermtwin.casebook.placing import NewImage, Outcome, Placed, compare
from dermtwin.casebook.receipt import ForgetReport
from dermtwin.casebook.records import EncoderRecord, Record
from dermtwin.casebook.store import image_path, thumbnail_path
from dermtwin.casebook.writer import Writer, other_encoder

__all__ = [
    "Casebook",
    "CheckReport",
    "EncoderChangedError",
    "EncoderRecord",
    "ForgetPlan",
    "ForgetReport",
    "Head",
    "HeldError",
    "Hold",
    "ImageHashes",
    "KeyName",
    "Kind",
    "NewImage",
    "NoSuchCaseError",
    "Outcome",
    "Placed",
    "Record",
    "Shown",
    "Writer",
    "cases_of_images",
    "changed_images",
    "check_casebook",
    "compare",
    "image_hashes",
    "image_path",
    "keep_key",
    "kept_key",
    "other_encoder",
    "small_copy",
    "thumbnail_path",
]
