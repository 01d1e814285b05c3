"""What a training tells of itself when it is done, and as it goes."""

from dataclasses import dataclass
from pathlib import Path

from dermtwin.vocabulary import DRAWN_NOTICE


@dataclass(frozen=True, slots=True)
class EpochLoss:
    """The mean loss over an epoch's pairs.

    Attributes:
        training: while the weights were moving.
        validation: after the epoch, on pairs that stay the same; None: no validation images.
    """

    training: float
    validation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """A finished training.

    Attributes:
        encoder: the file written.
        id: its SHA-256.
        images: how many it was trained on.
        left_out: rows that are neither benign nor malignant.
        is_drawn: whether any picture was generated; then everything shown says so.
        losses: an epoch each, or a point of the curve each.
        resumed_after: how many of them an earlier, interrupted call had finished.
        epochs: of the whole training.
        seconds: of this call.
        loss_png: the loss curve as a picture.
        loss_csv: the same as a table.
    """

    encoder: Path
    id: str
    images: int
    left_out: int
    is_drawn: bool
    losses: tuple[EpochLoss, ...]
    resumed_after: int
    epochs: int
    seconds: float
    loss_png: Path
    loss_csv: Path

    def __str__(self) -> str:
        """For people: a line each on what came out, from what, and how it went."""
        notice = f" ({DRAWN_NOTICE})" if self.is_drawn else ""
        left_out = (
            f"; {self.left_out} neither benign nor malignant left out" if self.left_out else ""
        )
        resumed = ", going on where it stopped" if self.resumed_after else ""
        checked = self.losses[-1].validation
        validation = "" if checked is None else f", validation {checked:.4f}"
        return "\n".join(
            (
                f"encoder {self.encoder} ({self.id[:12]})",
                f"trained on {self.images} images{notice}{left_out}",
                f"{self.epochs} epochs in {self.seconds:.0f} s{resumed}",
                f"loss {self.final_loss:.4f}{validation}; curve in {self.loss_png}",
            )
        )

    @property
    def final_loss(self) -> float:
        """The last epoch's mean training loss."""
        return self.losses[-1].training
