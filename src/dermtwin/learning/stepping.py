"""The loop that trains on batches drawn by number: one cycle of the rate, averaged weights."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dermtwin.errors import DermtwinError
from dermtwin.learning import devices
from dermtwin.learning.checkpoint import Checkpoint, are_numbers
from dermtwin.running import Track, untracked

_LONGEST_NORM = 5.0
_APART = 0x9E3779B1  # 2**32 divided by the golden ratio, made odd (Knuth's multiplicative hash)


class Batches(Protocol):
    """What draws batches."""

    def draw(self, step: int) -> tuple[Tensor, object]:
        """The images of a step and what is known of them, from the step's number alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a network is moved.

    Attributes:
        rates: the highest learning rates, each with the parameters that it is for.
        steps: how many.
        every: steps between two points of the curve; at each a checkpoint is written.
        decay: of the weights' moving average, a step.
        weight_decay: pull of each weight towards 0.
        seed: of what dropout leaves out.
        patience: points without a better quality after which training stops; 0: never.
    """

    rates: Sequence[tuple[float, Sequence[nn.Parameter]]]
    steps: int
    every: int = 250
    decay: float = 0.998
    weight_decay: float = 0.01
    seed: int = 0
    patience: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of the training's curve.

    Attributes:
        step: steps done.
        loss: mean since the last point.
        rate: the highest learning rate now.
        quality: of the averaged weights, more is better; None: not measured.
    """

    step: int
    loss: float
    rate: float
    quality: float | None


@dataclass(slots=True)
class Trained:
    """What comes out.

    Attributes:
        network: with the moving average of the weights, at its best point where quality was
            measured and `patience` given, else at the last.
        curve: all points.
    """

    network: nn.Module
    curve: list[Point] = field(default_factory=list)


Measure = Callable[[int, nn.Module], float | None]


def _unmeasured(_step: int, _network: nn.Module) -> None:
    return None


def train_network(  # noqa: PLR0913 - all that a training is made of
    network: nn.Module,
    *,
    batches: Batches,
    loss: Callable[[Any, Any], Tensor],
    pace: Pace,
    checkpoint: Checkpoint,
    measure: Measure = _unmeasured,
    track: Track = untracked,
) -> Trained:
    """Train a network; killed and called again, it goes on as if nothing had happened.

    Among several processes (`learning.devices`) the network is given this process's rows of each
    batch and must give what it makes of the whole one; the first process measures and writes.

    Args:
        network: with its first weights.
        batches: to learn from.
        loss: of what the network gives and what is known; an nn.Module's parameters are kept too.
        pace: how.
        checkpoint: where an unfinished training is kept.
        measure: called with the averaged network at each point.
        track: looks on.

    Raises:
        SettingsError: the checkpoint is of another training.
        DermtwinError: the loss or a weight stops being a number; the last good checkpoint stays.
    """
    parts = _Parts(network, loss, pace)
    state = checkpoint.load()
    if state is not None:
        parts.restore(state)
    trained = Trained(parts.average.module, [Point(**each) for each in parts.curve])
    total, begin = 0.0, parts.step
    for step in track(range(begin, pace.steps), label="training", total=pace.steps - begin):
        if _has_stalled(trained.curve, pace.patience):
            break
        with _luck_of(pace.seed, step):
            value = parts.move(*batches.draw(step), loss=loss)
        if not math.isfinite(value):
            raise _diverged("the loss", step, trained.curve, checkpoint)
        total += value
        if (step + 1) % pace.every and step + 1 < pace.steps:
            continue
        if not parts.are_numbers:
            raise _diverged("a weight", step, trained.curve, checkpoint)
        quality = devices.of_first(partial(measure, step + 1, parts.average.module.eval()))
        since = step + 1 - (trained.curve[-1].step if trained.curve else 0)
        trained.curve.append(
            Point(step=step + 1, loss=total / since, rate=parts.rate, quality=quality)
        )
        total = 0.0
        if pace.patience and _is_best(trained.curve):
            parts.remember_as_best()
        if devices.rank() == 0:
            checkpoint.save(parts.state(step + 1, trained.curve))
    if pace.patience and parts.best is not None:
        parts.average.module.load_state_dict(parts.best)
    trained.network = parts.average.module.eval()
    return trained


@contextmanager
def _luck_of(seed: int, step: int) -> Iterator[None]:
    """Let dropout's luck follow from seed and step, so that a killed training has the same."""
    with torch.random.fork_rng():
        # On the processor torch minds 32 bits alone; an odd factor keeps seeds' steps far apart.
        torch.manual_seed((seed * _APART + step) % 2**32)
        yield


class _Parts:
    """All that moves in a training."""

    def __init__(self, network: nn.Module, loss: object, pace: Pace) -> None:
        groups: list[dict[str, Any]] = [
            {"params": [each for each in parameters if each.requires_grad], "lr": rate}
            for rate, parameters in pace.rates
        ]
        self.network = network
        self._trained = [each for group in groups for each in group["params"]]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=pace.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            [rate for rate, _ in pace.rates],
            total_steps=pace.steps,
            pct_start=0.15,
        )
        self.average = torch.optim.swa_utils.AveragedModel(
            network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(  # type: ignore[no-untyped-call]
                pace.decay
            ),
            use_buffers=True,
        )
        self._named: dict[str, Any] = {
            "network": network,
            "optimiser": self._optimiser,
            "schedule": self._schedule,
            "average": self.average,
        }
        if isinstance(loss, nn.Module):
            self._named["loss"] = loss
        self.step = 0
        self.best: dict[str, Tensor] | None = None
        self.curve: list[dict[str, Any]] = []

    @property
    def rate(self) -> float:
        """The highest learning rate now."""
        return max(float(rate) for rate in self._schedule.get_last_lr())

    @property
    def are_numbers(self) -> bool:
        """Whether no weight has been broken, of the losses either."""
        parts = (self._named[name] for name in ("network", "loss") if name in self._named)
        return are_numbers(*parts)

    def move(self, images: Tensor, known: object, *, loss: Callable[[Any, Any], Tensor]) -> float:
        """One step; the loss before it."""
        self.network.train()
        value = loss(self.network(devices.part_of(images)), known)
        self._optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        devices.average_gradients(self._trained)
        nn.utils.clip_grad_norm_(self._trained, _LONGEST_NORM)
        self._optimiser.step()
        self._schedule.step()
        self.average.update_parameters(self.network)
        return value.item()

    def remember_as_best(self) -> None:
        """Keep the averaged weights as they are now."""
        own = self.average.module.state_dict()
        self.best = {name: value.clone() for name, value in own.items()}

    def state(self, step: int, curve: Sequence[Point]) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = {name: part.state_dict() for name, part in self._named.items()}
        points = [asdict(point) for point in curve]
        return kept | {"step": step, "curve": points, "best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, part in self._named.items():
            part.load_state_dict(state[name])
        self.step, self.curve, self.best = state["step"], state["curve"], state["best"]


def _is_best(curve: Sequence[Point]) -> bool:
    known = [point.quality for point in curve if point.quality is not None]
    return bool(known) and curve[-1].quality == max(known)


def _has_stalled(curve: Sequence[Point], patience: int) -> bool:
    known = [point.quality for point in curve if point.quality is not None]
    if not patience or not known:
        return False
    return len(known) - 1 - known.index(max(known)) >= patience


def _diverged(
    what: str, step: int, curve: Sequence[Point], checkpoint: Checkpoint
) -> DermtwinError:
    kept = (
        f"the state after step {curve[-1].step} is kept in {checkpoint.folder}; " if curve else ""
    )
    return DermtwinError(
        f"{what} is no longer a number in step {step + 1}; {kept}lower the learning rates and "
        "train with --restart."
    )
