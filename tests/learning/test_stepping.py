import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dermtwin.errors import DermtwinError, SettingsError  # noqa: E402
from dermtwin.learning.checkpoint import Checkpoint, Identity  # noqa: E402
from dermtwin.learning.stepping import Pace, Trained, train_network  # noqa: E402


class Line:
    """Points of y = 3x, a batch a step."""

    def __init__(self, *, broken_at: int = -1) -> None:
        self.broken_at = broken_at

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = np.random.default_rng([5, step]).normal(size=(8, 1)).astype(np.float32)
        y = 3 * x if step != self.broken_at else x * np.nan
        return torch.from_numpy(x), torch.from_numpy(y)


def squared(found, known) -> torch.Tensor:
    return torch.nn.functional.mse_loss(found, known)


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Linear(1, 1)


def checkpoint(folder, data="line") -> Checkpoint:
    return Checkpoint(folder / "line.onnx", Identity(settings={}, data=data, validation=""))


def train(folder, *, batches=None, measure=None, data="line", track=None, **pace) -> Trained:
    line = network()
    options = {"steps": 60, "every": 10, "decay": 0.8} | pace
    extra = {name: each for name, each in (("measure", measure), ("track", track)) if each}
    return train_network(
        line,
        batches=batches or Line(),
        loss=squared,
        pace=Pace(rates=[(0.3, list(line.parameters()))], **options),
        checkpoint=checkpoint(folder, data),
        **extra,
    )


def test_a_line_is_learnt_and_its_curve_kept(tmp_path) -> None:
    trained = train(tmp_path, steps=65)
    assert trained.network.weight.item() == pytest.approx(3, abs=0.3)
    assert [point.step for point in trained.curve] == [10, 20, 30, 40, 50, 60, 65]
    losses = [point.loss for point in trained.curve]
    assert losses[-1] < 0.05 * losses[0]
    assert trained.curve[0].rate > trained.curve[-1].rate
    assert not trained.network.training


def test_the_mean_loss_of_a_point_is_that_of_its_steps(tmp_path) -> None:
    seen = []

    def noted(found, known):
        seen.append(squared(found, known))
        return seen[-1]

    line = network()
    trained = train_network(
        line,
        batches=Line(),
        loss=noted,
        pace=Pace(rates=[(0.1, list(line.parameters()))], steps=7, every=3),
        checkpoint=checkpoint(tmp_path),
    )
    values = [each.item() for each in seen]
    expected = [np.mean(values[:3]), np.mean(values[3:6]), values[6]]
    assert [point.loss for point in trained.curve] == pytest.approx(expected)


@pytest.mark.parametrize("stop", [3, 10, 11, 39])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path, stop) -> None:
    def watched(items, *, label, total=None):
        del label, total
        for item in items:
            if item == stop:
                raise KeyboardInterrupt
            yield item

    whole = train(tmp_path / "whole", measure=lambda step, _: -abs(step - 30), patience=9)
    with pytest.raises(KeyboardInterrupt):
        train(
            tmp_path / "killed", measure=lambda step, _: -abs(step - 30), patience=9, track=watched
        )
    again = train(tmp_path / "killed", measure=lambda step, _: -abs(step - 30), patience=9)
    assert whole.curve == again.curve
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])


def test_it_stops_when_the_quality_no_longer_rises_and_keeps_the_best(tmp_path) -> None:
    weights = {}

    def measure(step, now):
        weights[step] = now.weight.item()
        return {10: 0.2, 20: 0.5, 30: 0.4, 40: 0.4}.get(step, 0.9)

    trained = train(tmp_path, measure=measure, patience=2)
    assert [point.step for point in trained.curve] == [10, 20, 30, 40]
    assert trained.network.weight.item() == weights[20]


def test_a_loss_that_is_no_number_stops_and_leaves_the_last_good_state(tmp_path) -> None:
    with pytest.raises(DermtwinError, match=r"step 34; the state after step 30 is kept in .*line"):
        train(tmp_path, batches=Line(broken_at=33))
    assert checkpoint(tmp_path).load()["step"] == 30
    assert train(tmp_path).curve[-1].step == 60


def test_a_step_that_breaks_a_weight_leaves_the_last_good_state(tmp_path) -> None:
    def breaking(found, known):
        value = squared(found, known)
        if value.requires_grad and next(steps) == 19:  # the last before a point of the curve
            found.register_hook(lambda gradient: gradient * torch.nan)
        return value

    steps, line = iter(range(60)), network()
    with pytest.raises(DermtwinError, match=r"a weight is no longer .* step 20; .* step 10"):
        train_network(
            line,
            batches=Line(),
            loss=breaking,
            pace=Pace(rates=[(0.3, list(line.parameters()))], steps=60, every=10),
            checkpoint=checkpoint(tmp_path),
        )
    kept = checkpoint(tmp_path).load()
    assert kept["step"] == 10
    assert all(value.isfinite().all() for value in kept["network"].values())


def _luck(folder, *, seed: int) -> list[float]:
    """What is drawn in five steps."""
    seen = []

    def noted(found, known):
        seen.append(torch.rand(()).item())
        return squared(found, known)

    line = network()
    train_network(
        line,
        batches=Line(),
        loss=noted,
        pace=Pace(rates=[(0.1, list(line.parameters()))], steps=5, seed=seed),
        checkpoint=checkpoint(folder),
    )
    return seen


def test_dropout_goes_by_seed_and_step(tmp_path) -> None:
    zero, one, again = (
        _luck(tmp_path / str(place), seed=seed) for place, seed in enumerate((0, 1, 1))
    )
    assert one == again
    assert len({*zero, *one}) == 10


def test_a_checkpoint_of_another_training_is_refused(tmp_path) -> None:
    train(tmp_path)
    with pytest.raises(SettingsError, match="other images"):
        train(tmp_path, data="another")
