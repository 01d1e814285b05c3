"""The plain loop: pairs in, weights moved, a checkpoint after each epoch."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from dermtwin.errors import DermtwinError
from dermtwin.learning.checkpoint import Checkpoint, are_numbers
from dermtwin.learning.examples import Material
from dermtwin.learning.loss import contrastive_loss
from dermtwin.learning.network import TwinNetwork
from dermtwin.learning.pairs import Pairs
from dermtwin.learning.report import EpochLoss
from dermtwin.learning.settings import TrainingSettings


class TrainingLoop:
    """A training under way.

    Attributes:
        network: the twin, in training mode between steps.
        losses: of the epochs done.
    """

    def __init__(self, settings: TrainingSettings, material: Material) -> None:
        """Make a network with first weights from the seed alone."""
        self._settings = settings
        self._examples = material.training
        self._validation = material.validation
        self.network = first_network(settings).to(material.training.device)
        self.losses: list[EpochLoss] = []
        self._optimiser = torch.optim.Adam(
            self.network.parameters(),
            lr=settings.optimiser.learning_rate,
            weight_decay=settings.optimiser.weight_decay,
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.losses = [EpochLoss(*loss) for loss in state["losses"]]

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "losses": [(loss.training, loss.validation) for loss in self.losses],
        }

    @property
    def steps_left(self) -> int:
        """Steps until the last epoch is done."""
        epochs = self._settings.optimiser.epochs - len(self.losses)
        return epochs * math.ceil(self._pairs_per_epoch / self._settings.optimiser.batch_pairs)

    def steps(self, checkpoint: Checkpoint) -> Iterator[None]:
        """Train to the last epoch, pausing after each step.

        Raises:
            DermtwinError: the loss or a weight stops being a number; the last good state stays.
        """
        for epoch in range(len(self.losses), self._settings.optimiser.epochs):
            pairs = self._examples.sampler.draw(self._pairs_per_epoch, epoch=epoch)
            total = 0.0
            for step, batch in enumerate(pairs.batches(self._settings.optimiser.batch_pairs)):
                loss = self._step(batch)
                if not math.isfinite(loss):
                    raise self._diverged(f"step {step + 1}", checkpoint)
                total += loss * len(batch)
                yield
            self._refuse_broken_weights(checkpoint)
            self.losses.append(EpochLoss(total / len(pairs), self._validation_loss()))
            checkpoint.save(self.state)

    @property
    def _pairs_per_epoch(self) -> int:
        asked = self._settings.pairs.per_epoch or len(self._examples.images)
        return -(-asked // 4) * 4

    def _step(self, pairs: Pairs) -> float:
        self.network.train()
        # Both twins in one pass: they share their weights, and one batch statistic serves both.
        codes = self.network(self._examples.batch(pairs.images))
        loss = self._loss(codes[: len(pairs)], codes[len(pairs) :], pairs)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return loss.item()

    def _validation_loss(self) -> float | None:
        if self._validation is None:
            return None
        self.network.eval()
        codes = self._validation.through(self.network)
        pairs = self._validation.sampler.draw(len(self._validation.images), epoch=0)
        return self._loss(codes[pairs.first], codes[pairs.second], pairs).item()

    def _loss(self, first: Tensor, second: Tensor, pairs: Pairs) -> Tensor:
        dissimilar = torch.from_numpy(pairs.dissimilar).to(first.device)
        return contrastive_loss(first, second, dissimilar, margin=self._settings.loss.margin)

    def _refuse_broken_weights(self, checkpoint: Checkpoint) -> None:
        if not are_numbers(self.network):
            raise self._diverged("its last step", checkpoint)

    def _diverged(self, step: str, checkpoint: Checkpoint) -> DermtwinError:
        done = len(self.losses)
        kept = f"the state after epoch {done} is kept in {checkpoint.folder}; " if done else ""
        return DermtwinError(
            f"the loss is no longer a number in epoch {done + 1}, {step}; {kept}"
            "lower optimiser.learning_rate or loss.margin and train with --restart."
        )


def first_network(settings: TrainingSettings) -> TwinNetwork:
    """The network before training, the same for the same seed; the global seed stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return TwinNetwork(settings.network, size=settings.input.size)
