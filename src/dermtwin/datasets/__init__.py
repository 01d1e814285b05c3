"""Folders of images with their tables: read, checked, split, drawn."""

from dermtwin.datasets.dicom import describe_dicom, is_dicom
from dermtwin.datasets.drawn.drawing import draw_dataset, draw_lesion
from dermtwin.datasets.drawn.kinds import Kind
from dermtwin.datasets.drawn.overlay import lay_artefact
from dermtwin.datasets.drawn.photograph import Photograph
from dermtwin.datasets.duplicates import (
    DETAIL_SIDE,
    HASH_DISTANCE,
    SmallGrey,
    may_be_copies,
    near_duplicates,
    near_duplicates_between,
    same_photographs,
    small_grey,
)
from dermtwin.datasets.fingerprint import card_fingerprint, fingerprint
from dermtwin.datasets.folder import names_cases
from dermtwin.datasets.hashing import perceptual_hashes
from dermtwin.datasets.held_out import HELD_OUT_SEED, HELD_OUT_SHARE, is_held_out
from dermtwin.datasets.holding_out import hold_out_value
from dermtwin.datasets.reading import read_dataset
from dermtwin.datasets.splitting import (
    Split,
    connect,
    count_lesions,
    share_dataset,
    split_dataset,
)
from dermtwin.datasets.table import Dataset, Fault, FaultKind, Row, describe_faults
from dermtwin.datasets.writing import write_table, write_tables
from dermtwin.vocabulary import Artefact

__all__ = [
    "DETAIL_SIDE",
    "HASH_DISTANCE",
    "HELD_OUT_SEED",
    "HELD_OUT_SHARE",
    "Artefact",
    "Dataset",
    "Fault",
    "FaultKind",
    "Kind",
    "Photograph",
    "Row",
    "SmallGrey",
    "Split",
    "card_fingerprint",
    "connect",
    "count_lesions",
    "describe_dicom",
    "describe_faults",
    "draw_dataset",
    "draw_lesion",
    "fingerprint",
    "hold_out_value",
    "is_dicom",
    "is_held_out",
    "lay_artefact",
    "may_be_copies",
    "names_cases",
    "near_duplicates",
    "near_duplicates_between",
    "perceptual_hashes",
    "read_dataset",
    "same_photographs",
    "share_dataset",
    "small_grey",
    "split_dataset",
    "write_table",
    "write_tables",
]
