"""Leak-free, balanced splits.

Rows that share a lesion, a patient or a photograph form a group, and a group stands on one side
only. Each side gets groups in proportion to what it needs; then one photograph of every lesion is
drawn, in random order, and further ones only when there are not lesions enough. What is left over
of a group is left out, never given to the other side.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dermtwin.datasets.duplicates import near_duplicates
from dermtwin.datasets.held_out import is_held_out
from dermtwin.datasets.table import Dataset, Row
from dermtwin.errors import DatasetError, SettingsError
from dermtwin.running import Track, untracked

_CLASSES = {False: "benign", True: "malignant"}
_SIDES = ("train", "test")
# Ways to fill the sides that the search keeps in view: all of them where little is asked for.
_BEAM = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A dataset in two parts that share no lesion, patient or photograph.

    Attributes:
        train, test: the rows drawn, sorted by `isic_id`.
        unclassified: rows left out because they are indeterminate or unknown.
        unused: rows of the two classes that were not needed, or had to stay off both sides.
        near_duplicates: pairs of rows found to be one photograph.
    """

    train: tuple[Row, ...]
    test: tuple[Row, ...]
    unclassified: int
    unused: int
    near_duplicates: int

    @property
    def train_lesions(self) -> int:
        """Lesions in `train`; a row without `lesion_id` counts as one."""
        return count_lesions(self.train)

    @property
    def test_lesions(self) -> int:
        """Lesions in `test`; a row without `lesion_id` counts as one."""
        return count_lesions(self.test)


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that must stay together, by class: for each its lesions, each its rows."""

    lesions: dict[bool, list[list[Row]]]

    def count(self, is_malignant: bool) -> int:
        return sum(map(len, self.lesions[is_malignant]))


_Needs = dict[str, int]
_Sides = dict[str, list[_Group]]


def count_lesions(rows: Iterable[Row]) -> int:
    """Different lesions; a row without `lesion_id` counts as one."""
    return len({row.case.lesion_id or (row.case.isic_id,) for row in rows})


def split_dataset(
    dataset: Dataset,
    *,
    train_per_class: int = 684,
    test_per_class: int = 113,
    seed: int = 0,
    track: Track = untracked,
) -> Split:
    """Draw a balanced training and test set; the same rows and seed give the same split.

    Args:
        dataset: what to draw from, its rows in any order.
        train_per_class: images of each class for training.
        test_per_class: images of each class for testing.
        seed: of the draw.
        track: watches the search for near-duplicates.

    Raises:
        DatasetError: the table has faults, or there are too few images, or of one class only.
        ImageError: an image cannot be decoded.
        SettingsError: a count is below 1.
    """
    needs = {"train": train_per_class, "test": test_per_class}
    if min(needs.values()) < 1:
        raise SettingsError(f"A split needs at least 1 image of a class on each side; got {needs}.")
    dataset.refuse_faults()
    rows = sorted(dataset.rows, key=lambda row: row.case.isic_id)
    _refuse_too_few(rows, needs=needs, dataset=dataset)
    pairs = near_duplicates([row.image for row in rows], track=track)
    rng = np.random.default_rng(seed)
    sides = _assign(_make_groups(rows, pairs), needs=needs, rng=rng)
    if sides is None:
        raise DatasetError(_describe_coarse(rows, needs=needs, dataset=dataset))
    drawn = {side: _draw(sides[side], needs[side], rng=rng) for side in _SIDES}
    known = sum(row.case.is_malignant is not None for row in rows)
    return Split(
        train=drawn["train"],
        test=drawn["test"],
        unclassified=len(rows) - known,
        unused=known - 2 * sum(needs.values()),
        near_duplicates=len(pairs),
    )


def share_dataset(
    dataset: Dataset, *, test_share: float, seed: int = 0, track: Track = untracked
) -> Split:
    """Put a share of all lesions aside for testing, with every photograph of theirs.

    Which ones is decided by a hash of the least `isic_id` of what belongs together. So cases that
    are added later and belong to nothing there move none of the others; one that shares a patient,
    a lesion or a photograph with others may move all that belongs together with it.

    Args:
        dataset: what to part, its rows in any order.
        test_share: of the lesions, about, above 0 and below 1.
        seed: another one chooses others.
        track: watches the search for near-duplicates.

    Raises:
        DatasetError: the table has faults, or a side is left empty.
        ImageError: an image cannot be decoded.
        SettingsError: the share is not between 0 and 1.
    """
    if not 0 < test_share < 1:
        raise SettingsError(f"A test share must be above 0 and below 1, got {test_share}.")
    dataset.refuse_faults()
    rows = sorted(dataset.rows, key=lambda row: row.case.isic_id)
    pairs = near_duplicates([row.image for row in rows], track=track)
    sides: dict[bool, list[Row]] = {False: [], True: []}
    for group in _make_groups(rows, pairs):
        members = [row for lesions in group.lesions.values() for each in lesions for row in each]
        name = min(row.case.isic_id for row in members)
        sides[is_held_out(name, share=test_share, seed=seed)] += members
    if not all(sides.values()):
        raise DatasetError(
            f"{dataset.table} holds too few lesions to put {test_share:.0%} aside; add images."
        )
    known = sum(row.case.is_malignant is not None for row in rows)
    return Split(
        train=tuple(sorted(sides[False], key=lambda row: row.case.isic_id)),
        test=tuple(sorted(sides[True], key=lambda row: row.case.isic_id)),
        unclassified=len(rows) - known,
        unused=0,
        near_duplicates=len(pairs),
    )


def _refuse_too_few(rows: Sequence[Row], *, needs: _Needs, dataset: Dataset) -> None:
    counts = Counter(row.case.is_malignant for row in rows)
    for is_malignant, name in _CLASSES.items():
        if not counts[is_malignant]:
            other = _CLASSES[not is_malignant]
            raise DatasetError(
                f"{dataset.table} holds no {name} image ({counts[not is_malignant]} {other}, "
                f"{counts[None]} indeterminate or unknown); a split needs both classes."
            )
    if min(counts[False], counts[True]) < sum(needs.values()):
        raise DatasetError(
            f"{dataset.table} holds too few images: {_describe_stock(rows)}; "
            f"{_describe_needs(needs)} Ask for fewer, or add images."
        )


def _describe_stock(rows: Sequence[Row]) -> str:
    parts = []
    for is_malignant, name in _CLASSES.items():
        own = [row for row in rows if row.case.is_malignant is is_malignant]
        parts.append(f"{len(own)} {name} of {count_lesions(own)} lesions")
    return ", ".join(parts)


def _describe_needs(needs: _Needs) -> str:
    total = sum(needs.values())
    return f"asked for are {needs['train']} + {needs['test']} = {total} of each class."


def _describe_coarse(rows: Sequence[Row], *, needs: _Needs, dataset: Dataset) -> str:
    return (
        f"{dataset.table} cannot be parted as asked: {_describe_stock(rows)}, but so many belong "
        "together (one lesion, patient or photograph) that no two sides hold enough; "
        f"{_describe_needs(needs)} Ask for fewer."
    )


def _make_groups(rows: Sequence[Row], pairs: Iterable[tuple[int, int]]) -> list[_Group]:
    """Connected rows as groups, in the rows' order."""
    pairs = list(pairs)
    lesion_of = connect(len(rows), [*_links(rows, lambda row: row.case.lesion_id), *pairs])
    group_of = group_rows(rows, pairs)
    groups: dict[int, dict[bool, dict[int, list[Row]]]] = {}
    for place, row in enumerate(rows):
        is_malignant = row.case.is_malignant
        if is_malignant is not None:
            group = groups.setdefault(group_of[place], {False: {}, True: {}})
            group[is_malignant].setdefault(lesion_of[place], []).append(row)
    return [
        _Group({each: list(lesions.values()) for each, lesions in group.items()})
        for group in groups.values()
    ]


def group_rows(rows: Sequence[Row], pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Rows that share a lesion, a patient or a photograph, however long the chain.

    Args:
        rows: any.
        pairs: places of rows that are one photograph.

    Returns:
        For each row the first place of its group.
    """
    lesions = _links(rows, lambda row: row.case.lesion_id)
    patients = _links(rows, lambda row: row.case.patient_id)
    return connect(len(rows), [*lesions, *patients, *pairs])


def _links(rows: Sequence[Row], key: Callable[[Row], Hashable | None]) -> Iterable[tuple[int, int]]:
    """Each row with the first that has the same key."""
    first: dict[Hashable, int] = {}
    for place, row in enumerate(rows):
        value = key(row)
        if value is not None:
            yield first.setdefault(value, place), place


def connect(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """Connected components of `count` places: for each place the smallest one of its component."""
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        parents[high] = low
    return [root(place) for place in range(count)]


def _assign(groups: list[_Group], *, needs: _Needs, rng: np.random.Generator) -> _Sides | None:
    """Give each group to a side so that both hold enough; None where no way is found.

    A plain deal in random order does wherever there is a little more than what is asked for;
    otherwise the ways to deal are searched.
    """
    order = [groups[place] for place in rng.permutation(len(groups))]
    sides = _deal(order, needs=needs)
    if all(
        sum(group.count(each) for group in sides[side]) >= needs[side]
        for side in _SIDES
        for each in _CLASSES
    ):
        return sides
    order.sort(key=lambda group: -max(group.count(False), group.count(True)))
    return _search(order, needs=needs)


def _deal(order: Iterable[_Group], *, needs: _Needs) -> _Sides:
    """Give each group to the side that has least of what it brings, measured by its needs."""
    sides: _Sides = {side: [] for side in _SIDES}
    stock = {side: dict.fromkeys(_CLASSES, 0) for side in _SIDES}

    def fullness(side: str, group: _Group) -> float:
        brought = [each for each in _CLASSES if group.count(each)]
        return min(stock[side][each] / needs[side] for each in brought)

    for group in order:
        side = min(_SIDES, key=lambda each: fullness(each, group))
        sides[side].append(group)
        for each in _CLASSES:
            stock[side][each] += group.count(each)
    return sides


def _search(order: Sequence[_Group], *, needs: _Needs) -> _Sides | None:
    """Beam search over all ways to deal; exact while there are no more than `_BEAM` different ones.

    A way is what each side has of each class, cut at what it needs: int [n, 4] as train benign,
    train malignant, test benign, test malignant.
    """
    full = np.array([needs[side] for side in _SIDES for _ in _CLASSES])
    ways = np.zeros((1, len(full)), dtype=np.int64)
    steps = []
    for group in order:
        brought = [group.count(each) for each in _CLASSES]
        dealt = np.array([[*brought, 0, 0], [0, 0, *brought]])
        options = np.concatenate([ways + dealt[0], ways + dealt[1]])
        different, first = np.unique(np.minimum(options, full), axis=0, return_index=True)
        best = np.argsort(-different.sum(axis=1), kind="stable")[:_BEAM]
        steps.append((first[best], len(ways)))
        ways = different[best]
    if (ways[0] < full).any():
        return None
    sides: _Sides = {side: [] for side in _SIDES}
    place = 0
    for group, (origins, count) in zip(reversed(order), reversed(steps), strict=True):
        side, place = divmod(int(origins[place]), count)
        sides[_SIDES[side]].append(group)
    return sides


def _draw(groups: list[_Group], need: int, *, rng: np.random.Generator) -> tuple[Row, ...]:
    """Draw `need` rows of each class: first one of every lesion, then second ones, and so on."""
    drawn: list[Row] = []
    for each in _CLASSES:
        lesions = [lesion for group in groups for lesion in group.lesions[each]]
        ranked = []
        for lesion in lesions:
            order = rng.permutation(len(lesion))
            ranked += [(turn, rng.random(), lesion[place]) for turn, place in enumerate(order)]
        ranked.sort(key=lambda entry: entry[:2])
        drawn += [row for _, _, row in ranked[:need]]
    return tuple(sorted(drawn, key=lambda row: row.case.isic_id))
