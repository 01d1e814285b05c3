"""A split by a column's value: another clinic's pictures, or a diagnosis that is never learnt."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dermtwin.datasets.duplicates import near_duplicates
from dermtwin.datasets.splitting import Split, group_rows
from dermtwin.datasets.table import Dataset, Row
from dermtwin.errors import DatasetError
from dermtwin.running import Track, untracked
from dermtwin.vocabulary import FIELDS, Case

_EXAMPLES = 20


def hold_out_value(dataset: Dataset, *, column: str, value: str, track: Track = untracked) -> Split:
    """Put the rows that have a value in a column aside for testing; all others are for training.

    What shares a lesion, a patient or a photograph with a test row, however long the chain, is left
    out of training (`Split.unused`). Where the column is empty the row is for training.

    Args:
        dataset: what to part, its rows in any order.
        column: a typed field, such as `diagnosis_3`, or any other column of the table.
        value: as it stands there, spaces around it aside.
        track: watches the search for near-duplicates.

    Raises:
        DatasetError: the table has faults, no such column, no row with this value, or a side is
            left empty.
        ImageError: an image cannot be decoded.
    """
    dataset.refuse_faults()
    rows = sorted(dataset.rows, key=lambda row: row.case.isic_id)
    _refuse_unknown(rows, column=column, value=value, dataset=dataset)
    pairs = near_duplicates([row.image for row in rows], track=track)
    parted: dict[bool, list[tuple[int, Row]]] = {False: [], True: []}
    for group, row in zip(group_rows(rows, pairs), rows, strict=True):
        if row.case.is_malignant is not None:
            parted[_value(row.case, column) == value].append((group, row))
    held = {group for group, _ in parted[True]}
    train = tuple(row for group, row in parted[False] if group not in held)
    test = tuple(row for _, row in parted[True])
    _refuse_empty(train, test, told=f"{column}={value}", dataset=dataset)
    return Split(
        train=train,
        test=test,
        unclassified=len(rows) - sum(map(len, parted.values())),
        unused=len(parted[False]) - len(train),
        near_duplicates=len(pairs),
    )


def _value(case: Case, column: str) -> str:
    """What a case has in a column; empty where nothing is known."""
    if column in FIELDS:
        known = getattr(case, column)
        return "" if known is None else str(known)
    return case.extra.get(column, "").strip()


def _refuse_unknown(rows: Sequence[Row], *, column: str, value: str, dataset: Dataset) -> None:
    columns = _columns(row.case for row in rows)
    if column not in columns:
        raise DatasetError(
            f"{dataset.table} has no column {column} with a value; it has: {', '.join(columns)}."
        )
    counts = Counter(_value(row.case, column) for row in rows)
    if not counts[value]:
        raise DatasetError(f"{dataset.table} has no row with {column}={value}; {_told(counts)}.")


def _columns(cases: Iterable[Case]) -> list[str]:
    """The columns in which a case has a value: typed ones first."""
    found = dict.fromkeys(
        name
        for case in cases
        for name in (*(name for name, _ in case.known_fields()), *case.extra)
        if _value(case, name)
    )
    return [*(name for name in FIELDS if name in found), *(n for n in found if n not in FIELDS)]


def _told(counts: Counter[str]) -> str:
    """Which values there are, the most frequent first."""
    listed = [f"{name or '(empty)'} ({count:,})" for name, count in counts.most_common() if count]
    more = f" and {len(listed) - _EXAMPLES:,} more" if len(listed) > _EXAMPLES else ""
    return f"there are: {', '.join(listed[:_EXAMPLES])}{more}"


def _refuse_empty(
    train: Sequence[Row], test: Sequence[Row], *, told: str, dataset: Dataset
) -> None:
    if not test:
        raise DatasetError(
            f"{dataset.table}: every row with {told} is neither benign nor malignant, so nothing "
            "is left to test on; fill in diagnosis_1 or choose another value."
        )
    if not train:
        raise DatasetError(
            f"{dataset.table}: every row has {told} or shares a lesion, patient or photograph with "
            "one that has, so nothing is left to train on; choose another value."
        )
