"""The rows of the ablation: what each is trained with, what it adds to which other row."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PICTURES, SIZE, PER_BATCH = 16_000, 96, 48
"""The budget of each row: pictures seen in training, about; pixels a side; pictures a step."""

SOURCES = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")
"""HAM10000's `dataset`."""

UNSEEN = ("vasc", "df")
"""Diagnoses, as HAM10000's `dx`, that are left out of training in turn."""

SMALL = "small"
"""The label of results with the ladder's settings and budget."""


class Kind(StrEnum):
    """What a row is asked."""

    LADDER = "ladder"
    UNSEEN = "unseen diagnosis"
    SOURCE = "another source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes:
        name: as its files and `--rows` call it.
        told: what it adds, for the page.
        on: the row whose settings it goes on from; none: the settings file's.
        changes: settings that differ from that row's.
        config: a settings file of this repository, or, where empty, metric training's defaults.
        budget: pictures seen, in parts of the common budget.
        is_trained: whether it has an encoder of its own, or measures that of `on` otherwise.
        views: of each query.
        has_rotated_bits: whether bits are made of the code by iterative quantisation.
        is_frozen: whether the encoder is the ImageNet backbone as it comes.
        kind: what it is asked.
        held_out: `COLUMN=VALUE` that training never sees.
    """

    name: str
    told: str
    on: str | None = None
    changes: tuple[str, ...] = ()
    config: str = ""
    budget: float = 1.0
    is_trained: bool = True
    views: int = 1
    has_rotated_bits: bool = False
    is_frozen: bool = False
    kind: Kind = Kind.LADDER
    held_out: str = ""


def _loss(name: str, told: str) -> Row:
    changes = ("loss.contrastive=0", f"loss.{name}=1")
    return Row(name=name, told=told, on="backbone", changes=changes)


_CROPS = ("preparation.crop=square", "input.resize=pad")
_OTHER_CAMERAS = (
    "augmentation.gain=0.35",
    "augmentation.gamma=0.4",
    "augmentation.contrast=0.35",
    "augmentation.saturation=0.5",
    "augmentation.blur=0.3",
    "augmentation.noise=0.3",
    "augmentation.corner=0.2",
)

LADDER = (
    Row(name="paper", told="the paper's network and settings", config="configs/paper.toml"),
    Row(name="crops", told="crops (preparation)", on="paper", changes=_CROPS),
    Row(
        name="backbone",
        told="in the paper's network's place: EfficientNet-Lite0, 32 numbers, contrastive loss",
        changes=(
            f"input.size={SIZE}",
            f"sampling.per_batch={PER_BATCH}",
            "head.bits=0",
            "loss.contrastive=1",
            "loss.cosine_softmax=0",
            # The default looks back on more steps than this budget has.
            "optimiser.average=0.98",
        ),
    ),
    _loss("triplet", "triplet loss instead"),
    _loss("multi_similarity", "multi-similarity loss instead"),
    _loss("supervised_contrastive", "supervised contrastive loss instead"),
    _loss("proxy_anchor", "proxy-anchor loss instead"),
    _loss("cosine_softmax", "cosine softmax instead"),
    Row(
        name="hierarchy",
        told="hierarchical loss beside it",
        on="cosine_softmax",
        changes=("loss.hierarchical=0.5",),
    ),
    Row(
        name="itq",
        told="bits by iterative quantisation (ITQ) of the code",
        on="hierarchy",
        is_trained=False,
        has_rotated_bits=True,
    ),
    Row(
        name="sign",
        told="64 learned bits, quantisation penalty alone",
        on="hierarchy",
        changes=("head.bits=64", "bits.balance=0", "bits.decorrelation=0"),
    ),
    Row(
        name="bits",
        told="64 learned bits, quantised, balanced, decorrelated",
        on="hierarchy",
        changes=("head.bits=64",),
    ),
    Row(name="mixing", told="pictures mixed", on="bits", changes=("augmentation.mix=0.2",)),
    Row(
        name="views",
        told="asked in eight views",
        on="mixing",
        is_trained=False,
        views=8,
    ),
    Row(name="mixing-crops", told="crops (preparation)", on="mixing", changes=_CROPS),
    Row(
        name="light",
        told="colours as under grey light (shades of grey)",
        on="mixing",
        changes=("input.light=shades-of-grey",),
    ),
    Row(
        name="cameras",
        told="stronger changes of colour, sharpness and lens",
        on="light",
        changes=_OTHER_CAMERAS,
    ),
    Row(name="twice", told="twice the pictures seen", on="mixing", budget=2),
)

BEST = "mixing"
"""Whose settings the rows below take, unless told otherwise."""

FROZEN = "frozen"

ROWS = {
    row.name: row
    for row in (
        *LADDER,
        *(
            Row(
                name=f"unseen-{code}",
                told=f"trained without {code}",
                on=BEST,
                kind=Kind.UNSEEN,
                held_out=f"dx={code}",
            )
            for code in UNSEEN
        ),
        *(
            Row(
                name=f"source-{source}{'-frozen' * is_frozen}",
                told="ImageNet backbone, frozen" if is_frozen else "trained on the other sources",
                on=BEST,
                is_trained=not is_frozen,
                is_frozen=is_frozen,
                kind=Kind.SOURCE,
                held_out=f"dataset={source}",
            )
            for source in SOURCES
            for is_frozen in (False, True)
        ),
    )
}


def settings_of(row: Row, *, base: str = BEST) -> list[str]:
    """All settings that differ from the row's file, in the order in which they are given.

    Args:
        row: whose.
        base: the row that stands in for `BEST` below rows that are no step of the ladder.
    """
    above = base if row.kind is not Kind.LADDER else row.on
    return [*(settings_of(ROWS[above]) if above else ()), *row.changes]


def config_of(row: Row) -> str:
    """The settings file of the row's chain; empty: metric training's defaults."""
    return row.config or (config_of(ROWS[row.on]) if row.on else "")


def chosen(names: Sequence[str]) -> list[Row]:
    """Rows by name or kind, in the table's order; all of them where none is named.

    Raises:
        SystemExit: a name is neither.
    """
    known = {*ROWS, *(each.name.lower() for each in Kind)}
    for name in names:
        if name not in known:
            raise SystemExit(f"{name} is no row; there are: {', '.join(sorted(known))}.")
    return [
        row for row in ROWS.values() if not names or {row.name, row.kind.name.lower()} & {*names}
    ]
