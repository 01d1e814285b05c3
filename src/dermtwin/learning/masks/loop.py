"""The loop that trains a mask network: one cycle of the rate, averaged weights, checkpoints."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dermtwin.files import replacing
from dermtwin.running import Track, untracked

_DECAY = 0.998


class Batches(Protocol):
    """What draws batches."""

    def draw(self, rng: np.random.Generator, *, size: int) -> tuple[Tensor, object]:
        """Images and what is known of them."""
        ...


def train_network(  # noqa: PLR0913 - all that a training is made of
    network: nn.Module,
    *,
    batches: Batches,
    loss: Callable[[Any, Any], Tensor],
    rates: Sequence[tuple[float, Sequence[nn.Parameter]]],
    steps: int,
    size: int,
    seed: int,
    checkpoint: Path,
    every: int = 250,
    watch: Callable[[int, nn.Module], None] = lambda _step, _network: None,
    track: Track = untracked,
) -> nn.Module:
    """Train, and give the network with the weights' moving average.

    Batches are drawn from the seed and the step's number, so that a training that was killed goes
    on from its checkpoint as if nothing had happened. A checkpoint is written, and `watch` called,
    each `every` steps and at the end. `rates` are the highest learning rates, each with what it is
    for.
    """
    groups: list[dict[str, Any]] = [
        {"params": [each for each in parameters if each.requires_grad], "lr": rate}
        for rate, parameters in rates
    ]
    trained = [each for group in groups for each in group["params"]]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [rate for rate, _ in rates], total_steps=steps, pct_start=0.15
    )
    # A young average leans on what came last.
    average = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(  # type: ignore[no-untyped-call]
            _DECAY
        ),
        use_buffers=True,
    )
    parts: dict[str, Any] = {
        "network": network,
        "optimiser": optimiser,
        "schedule": schedule,
        "average": average,
    }
    if isinstance(loss, nn.Module):
        parts["loss"] = loss
    begin = _restore(checkpoint, parts)
    for step in track(range(begin, steps), label="training", total=steps - begin):
        network.train()
        images, truth = batches.draw(np.random.default_rng([seed, step]), size=size)
        value = loss(network(images), truth)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        if (step + 1) % every == 0 or step + 1 == steps:
            _keep(checkpoint, parts, step + 1)
            watch(step + 1, average.module.eval())
    return average.module.eval()


def _keep(checkpoint: Path, parts: dict[str, Any], step: int) -> None:
    with replacing(checkpoint) as temporary:
        torch.save({"step": step} | {k: v.state_dict() for k, v in parts.items()}, temporary)


def _restore(checkpoint: Path, parts: dict[str, Any]) -> int:
    if not checkpoint.exists():
        return 0
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return int(kept["step"])
