"""The record's tables, as queries speak of them; `migrations` makes them.

`key` columns are numbers of our own, never given twice; `isic_id` and its like are names.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from dermtwin.vocabulary import FIELDS

METADATA = MetaData()

PATIENTS = Table(
    "patients",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("patient_id", Text, nullable=False, unique=True),
)

LESIONS = Table(
    "lesions",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("lesion_id", Text, nullable=False, unique=True),
)

IMAGES = Table(
    "images",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("format", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
)

# `isic_id` has a column of its own type; lesion and patient are rows of theirs.
PLAIN_FIELDS = tuple(name for name in FIELDS if name not in ("isic_id", "lesion_id", "patient_id"))

CASES = Table(
    "cases",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("isic_id", Text, nullable=False, unique=True),
    Column("image_key", Integer, ForeignKey("images.key"), nullable=False),
    Column("lesion_key", Integer, ForeignKey("lesions.key")),
    Column("patient_key", Integer, ForeignKey("patients.key")),
    *(Column(name, Integer if name == "age_approx" else Text) for name in PLAIN_FIELDS),
    Column("extra", Text, nullable=False),
)

ENCODERS = Table(
    "encoders",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("card", Text, nullable=False),
    Column("is_current", Boolean, nullable=False),
)

CODES = Table(
    "codes",
    METADATA,
    Column("case_key", Integer, ForeignKey("cases.key"), primary_key=True),
    Column("encoder_key", Integer, ForeignKey("encoders.key"), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

# No names in here: a change outlives the case that it speaks of.
CHANGES = Table(
    "changes",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("case_key", Integer, nullable=False),
    Column("kind", Text, nullable=False),
)

# Files that may be there without a row, or are to go; see `journal`.
UNSETTLED = Table(
    "unsettled",
    METADATA,
    Column("path", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
)

MIGRATIONS = Table(
    "migrations",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("applied_at", Text, nullable=False),
)
