"""The record's tables, as queries speak of them; `migrations` makes them.

`key` columns are numbers of our own, never given twice; `isic_id` and its like are names. An
`audit_key` is 16 random bytes: the audit log names a case or patient by a hash that takes this key,
so that the log names nobody once the row is gone.
"""

from sqlalchemy import (
    BigInteger,
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

# A number as large as either database gives.
NUMBER = BigInteger().with_variant(Integer, "sqlite")

PATIENTS = Table(
    "patients",
    METADATA,
    Column("key", NUMBER, primary_key=True),
    Column("patient_id", Text, nullable=False, unique=True),
    Column("audit_key", LargeBinary),
)

LESIONS = Table(
    "lesions",
    METADATA,
    Column("key", NUMBER, primary_key=True),
    Column("lesion_id", Text, nullable=False, unique=True),
)

IMAGES = Table(
    "images",
    METADATA,
    Column("key", NUMBER, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("format", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", NUMBER, nullable=False),
    # A perceptual hash of 64 bits, as a signed number: near-duplicates differ in few bits.
    Column("phash", NUMBER),
)

# `isic_id` has a column of its own type; lesion and patient are rows of theirs.
PLAIN_FIELDS = tuple(name for name in FIELDS if name not in ("isic_id", "lesion_id", "patient_id"))

CASES = Table(
    "cases",
    METADATA,
    Column("key", NUMBER, primary_key=True),
    Column("isic_id", Text, nullable=False, unique=True),
    Column("image_key", NUMBER, ForeignKey("images.key"), nullable=False),
    Column("lesion_key", NUMBER, ForeignKey("lesions.key")),
    Column("patient_key", NUMBER, ForeignKey("patients.key")),
    *(Column(name, Integer if name == "age_approx" else Text) for name in PLAIN_FIELDS),
    Column("extra", Text, nullable=False),
    Column("audit_key", LargeBinary),
)

ENCODERS = Table(
    "encoders",
    METADATA,
    Column("key", NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("card", Text, nullable=False),
    Column("is_current", Boolean, nullable=False),
)

CODES = Table(
    "codes",
    METADATA,
    Column("case_key", NUMBER, ForeignKey("cases.key"), primary_key=True),
    Column("encoder_key", NUMBER, ForeignKey("encoders.key"), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    # The encoder's bits, where it has them: the signs, packed, the first in the highest bit.
    Column("bits", LargeBinary),
)

# Where a case lies on the map of an encoder's codes: x and y, little-endian float64 each.
MAP_POINTS = Table(
    "map_points",
    METADATA,
    Column("case_key", NUMBER, ForeignKey("cases.key"), primary_key=True),
    Column("encoder_key", NUMBER, ForeignKey("encoders.key"), primary_key=True),
    Column("point", LargeBinary, nullable=False),
)

# How that map was made; `mark` is another one whenever its points change.
MAPS = Table(
    "maps",
    METADATA,
    Column("encoder_key", NUMBER, ForeignKey("encoders.key"), primary_key=True),
    Column("seed", NUMBER, nullable=False),
    Column("at", Text, nullable=False),
    Column("mark", Text, nullable=False),
)

# No names in here: a change outlives the case that it speaks of.
CHANGES = Table(
    "changes",
    METADATA,
    Column("seq", NUMBER, primary_key=True),
    Column("case_key", NUMBER, nullable=False),
    Column("kind", Text, nullable=False),
)

# Files that may be there without a row, or are to go; see `journal`.
UNSETTLED = Table(
    "unsettled",
    METADATA,
    Column("path", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
)

# Who looked or changed, when, by which verb. Each entry's `chain` is a hash of itself and of the
# entry before, so that a cut is seen.
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", NUMBER, primary_key=True),
    Column("at", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("encoder", Text),
    Column("version", NUMBER, nullable=False),
    Column("details", Text, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)

# Whom an entry speaks of: 16 bytes of a keyed hash of a case's or patient's name.
AUDIT_SUBJECTS = Table(
    "audit_subjects",
    METADATA,
    Column("subject", LargeBinary, primary_key=True),
    Column("seq", NUMBER, ForeignKey("audit.seq"), primary_key=True),
)

# Patients who must not be erased.
HOLDS = Table(
    "holds",
    METADATA,
    Column("patient_key", NUMBER, ForeignKey("patients.key"), primary_key=True),
    Column("why", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", Text, nullable=False),
)

# Backups and exports that were made of this casebook: whoever forgets must know of them.
COPIES = Table(
    "copies",
    METADATA,
    Column("key", NUMBER, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("at", Text, nullable=False),
)

# The casebook's own secrets, by what they are for.
KEYS = Table(
    "keys",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# Who may use the casebook through a server; see `accounts`.
USERS = Table(
    "users",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("password", Text),
    Column("role", Text, nullable=False),
    Column("made_at", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("failed", NUMBER, nullable=False),
    Column("locked_until", Text),
    # By which word a server that is trusted to say who comes (OpenID Connect) knows this user.
    Column("openid", Text),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("user_name", Text, ForeignKey("users.name"), nullable=False),
    Column("label", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("made_at", Text, nullable=False),
    Column("last_used", Text),
    Column("expires_at", Text),
)

# One row: which casebook this is, so that a folder of image files is not taken for another's.
IDENTITY = Table("identity", METADATA, Column("id", Text, primary_key=True))

MIGRATIONS = Table(
    "migrations",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("applied_at", Text, nullable=False),
)
