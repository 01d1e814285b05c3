"""One training in several processes, one a device: how they start, and what they tell each other.

Every process draws the whole batch, since draws follow from the step's number, and passes its own
rows through the backbone. What the rows of all give is gathered with its gradient (`whole`);
heads and losses are computed of the whole batch, in every process alike. By the chain rule the mean
over processes of each weight's gradient is then the gradient of one process with the whole batch,
but for the order of sums.

With one process each of these functions hands back what it is given.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import current_process
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException

from dermtwin.errors import DermtwinError, MissingExtraError, SettingsError
from dermtwin.running import Track, untracked


def count() -> int:
    """Processes that train together."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def rank() -> int:
    """This process's number, from 0; the first one measures and writes."""
    return distributed.get_rank() if count() > 1 else 0


def part_of(batch: Tensor) -> Tensor:
    """This process's rows of a batch [N, …]; N is a multiple of the processes."""
    return batch.chunk(count())[rank()] if count() > 1 else batch


def whole(part: Tensor) -> Tensor:
    """The rows [N, …] of all processes, of which `part` has as many as each, with gradient."""
    if count() == 1:
        return part
    gathered: Tensor = _Whole.apply(part)  # type: ignore[no-untyped-call]
    return gathered


class _Whole(Function):
    """Rows of all processes; torch's own function for this is deprecated and warns."""

    @staticmethod
    def forward(_ctx: object, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part.contiguous()) for _ in range(count())]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return part_of(total)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter the mean of its gradients over all processes."""
    if count() == 1:
        return
    gradients = [each.grad for each in parameters if each.grad is not None]
    flat = torch.cat([each.reshape(-1) for each in gradients])
    distributed.all_reduce(flat)
    means = torch.split(flat / count(), [each.numel() for each in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view(gradient.shape))


def of_first(make: Callable[[], float | None]) -> float | None:
    """What the first process makes, known to all; the others wait for it."""
    made = [make() if rank() == 0 else None]
    if count() > 1:
        distributed.broadcast_object_list(made)
    return made[0]


class _WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all processes' rows.

    PyTorch's SyncBatchNorm does the same on GPUs alone, and so could not be tested on processors.
    """

    def forward(self, level: Tensor) -> Tensor:
        """[N, C, H, W] to the same, every process with equally many rows."""
        if not self.training:
            return super().forward(level)
        wide = level.float() if level.dtype in (torch.bfloat16, torch.float16) else level
        variance, mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        means, variances = whole(torch.stack([mean, variance])[None]).unbind(dim=1)
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        self._remember(mean.detach(), variance.detach(), values=count() * level[:, 0].numel())
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (level * scale[:, None, None] + shift[:, None, None]).to(level.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, *, values: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * values / max(values - 1, 1), self.momentum)
        self.num_batches_tracked += 1


def synchronise(network: nn.Module) -> None:
    """Let a network's batch normalisations see the rows of all processes.

    Raises:
        SettingsError: it has some of a kind of its own.
    """
    if count() == 1:
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _WholeBatchNorm  # parameters and names stay
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            raise SettingsError(
                f"the backbone's {type(module).__name__} cannot be synchronised between devices; "
                "set optimiser.devices to 1."
            )


def refuse_without_guard() -> None:
    """Refuse to start processes in one that is itself still being started.

    A new process reads the script that it comes from; without a guard it would train as well.

    Raises:
        SettingsError: it is so.
    """
    if getattr(current_process(), "_inheriting", False):
        raise SettingsError(
            "several devices need new processes, which read the calling script again; there, put "
            'the call under `if __name__ == "__main__":`, or use `dermtwin train`.'
        )


def in_processes(function: Callable[..., None], *given: object, processes: int) -> None:
    """Call a function in several new processes, each with a device of its own, and wait for them.

    Args:
        function: of a module, so that it can be found by the new processes.
        given: its arguments; they travel pickled, and each process has its own copy.
        processes: how many; on GPUs where there are any, else on the processor.

    Raises:
        SettingsError: there are fewer GPUs.
        MissingExtraError: lightning-fabric is not installed.
        DermtwinError: what the function raises, or a process died; then none is left.
    """
    try:
        from lightning_fabric import Fabric  # noqa: PLC0415 - slow to import, and seldom needed
    except ModuleNotFoundError as error:
        raise MissingExtraError("training on several devices", extra="train") from error
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise SettingsError(f"optimiser.devices is {processes}, but there are {gpus} GPUs here.")
    fabric = Fabric(accelerator="cuda" if gpus else "cpu", devices=processes, strategy="ddp_spawn")
    try:
        with _same_environment():
            refused = fabric.launch(partial(_with_errors_returned, function, *given))
    except ProcessException as error:
        raise _died(error, processes) from error
    if refused is not None:
        raise refused


def _with_errors_returned(function: Callable[..., None], *given: Any) -> DermtwinError | None:  # noqa: ANN401
    """Call a function; a sentence for people travels as a value, not as a traceback."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        function(*given[:-1])  # the last one is Fabric's own
    except DermtwinError as error:
        return error
    return None


def _died(error: ProcessException, processes: int) -> DermtwinError:
    why = str(error).strip().rsplit("\n", 1)[-1]
    if isinstance(error, ProcessExitedException):
        why = error.signal_name or f"exit code {error.exit_code}"
    return DermtwinError(
        f"process {error.error_index + 1} of the training's {processes} ended before its time "
        f"({why}), and the others were stopped; the same command goes on from the last point of "
        "the curve."
    )


@contextmanager
def _same_environment() -> Iterator[None]:
    """Take back the port that Fabric leaves behind, which a second training could not use."""
    before = os.environ.get("MASTER_PORT")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("MASTER_PORT", None)


def travelling(track: Track) -> Track:
    """What looks on, where it can be sent to another process; else nothing does."""
    try:
        pickle.dumps(track)
    except (pickle.PicklingError, AttributeError, TypeError):
        return untracked
    return track
