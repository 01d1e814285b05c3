r"""What each step adds: trains and measures the rows of docs/ablation-results.md.

    python scripts/ablation.py HAM10000 --work FOLDER
    python scripts/ablation.py HAM10000 --work FOLDER --rows bits mixing --seeds 1
    python scripts/ablation.py HAM10000 --work FOLDER --rows source \
        --settings configs/base.toml --pictures 40000

A row is a name or a kind (ladder, unseen, source); --list shows them. Each row and seed gives one
result file, and is not done again while its settings stay as they are. Splits and encoders are kept
in FOLDER, one a dataset; a killed run goes on. scripts/ablation_results.py writes the page.
"""

import argparse
import hashlib
import json
import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ablation_measures import Asked, measured
from ablation_rows import (
    BEST,
    FROZEN,
    LADDER,
    PICTURES,
    SMALL,
    Kind,
    Row,
    config_of,
    settings_of,
)
from ablation_rows import chosen as chosen_rows
from torch import Tensor, nn

import dermtwin
from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.files import write_bytes, write_text
from dermtwin.learning.configuration import AnySettings, flat_settings, read_settings
from dermtwin.learning.efficientnet import DEVIATION, MEAN, EfficientNetLite, load_imagenet
from dermtwin.learning.export import onnx_bytes
from dermtwin.learning.metric.sampling import BalancedSampler
from dermtwin.learning.metric.training_settings import MetricTrainingSettings

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs/results/ablation"

TEST_SHARE, SPLIT_SEED = 0.15, 10
PAIRED_EPOCHS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for on the command line.

    Attributes:
        dataset: HAM10000, or one with its columns `dx` and `dataset`.
        work: where parts and encoders are kept.
        results: where result files go.
        pictures: seen in training, about.
        threads: of the processor.
        base: whose settings stand below the rows that are no step of the ladder.
        settings: a file that stands in for them.
    """

    dataset: Path
    work: Path
    results: Path
    pictures: int
    threads: int
    base: str
    settings: Path | None


def main() -> None:
    """Train, measure, write, row by row."""
    given = _parser().parse_args()
    rows = chosen_rows(given.rows)
    if given.settings is not None:
        rows = [row for row in rows if row.kind is not Kind.LADDER]
    plan = Plan(
        dataset=given.dataset,
        work=given.work,
        results=given.results,
        pictures=given.pictures,
        threads=given.threads,
        base=given.base,
        settings=given.settings,
    )
    for seed in range(given.seeds):
        for row in rows:
            if row.is_frozen and seed:
                continue  # nothing is drawn
            path = _result_path(row, seed, plan)
            if given.list:
                print(f"{row.name:30s}seed {seed}  {'done' if path.exists() else 'not run'}")
            else:
                _run(row, seed, plan, path=path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where encoders are kept")
    parser.add_argument("--rows", nargs="+", default=[], help="names or kinds; all of them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--list", action="store_true", help="show the rows, run none")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="seen in training, about")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--base",
        choices=[row.name for row in LADDER if row.is_trained and not config_of(row)],
        default=BEST,
        help="the step whose settings the unseen and source rows take",
    )
    parser.add_argument("--settings", type=Path, help="a file that they take instead")
    return parser


def _label(row: Row, plan: Plan) -> str:
    """What tells results of other settings from the table's own."""
    if row.kind is Kind.LADDER or (plan.settings is None and plan.base == BEST):
        return SMALL
    if plan.settings is None:
        return plan.base
    # With the file's text in its name, results of two versions of it never share a table.
    version = hashlib.sha256(plan.settings.read_bytes()).hexdigest()[:4]
    return f"{plan.settings.stem}-{version}-{plan.pictures // 1000}k"


def _result_path(row: Row, seed: int, plan: Plan) -> Path:
    return plan.results / f"{row.name}.{_label(row, plan)}-{seed}.json"


def _run(row: Row, seed: int, plan: Plan, *, path: Path) -> None:
    asked = _asked(row, plan)
    config, overrides = _settings(row, seed, plan)
    told = {
        "format": 1,
        "row": row.name,
        "label": _label(row, plan),
        "seed": seed,
        "views": row.views,
        "settings": {
            "file": config.name if plan.settings else config_of(row),
            "set": overrides,
            "changed": _changed(config, overrides),
        },
    }
    if path.exists() and _is_current(json.loads(path.read_text()), told):
        print(f"{row.name}, seed {seed}: done before", flush=True)
        return
    encoder = Encoder.open(_encoder(row, plan, config=config, overrides=overrides))
    found = measured(encoder, asked, views=row.views, has_rotated_bits=row.has_rotated_bits)
    told |= {
        "encoder": encoder.id,
        "pictures": 0 if row.is_frozen else _pictures_seen(encoder),
        "size": encoder.card.input.size,
        "machine": f"{_processor()}, {plan.threads} threads",
        **found,
    }
    write_text(path, json.dumps(told, indent=1, allow_nan=False) + "\n")
    print(f"{row.name}, seed {seed}: {_summary(found)}", flush=True)


def _changed(config: Path, overrides: list[str]) -> dict[str, Any]:
    """What is not as it is by default: a result is of these, whatever the file says by now."""
    settings = read_settings(config, overrides=overrides)
    default = flat_settings(type(settings)())
    found = {key: value for key, value in flat_settings(settings).items() if value != default[key]}
    return json.loads(json.dumps(found))


def _is_current(kept: dict[str, Any], told: dict[str, Any]) -> bool:
    return all(kept.get(name) == value for name, value in told.items())


def _summary(found: dict[str, Any]) -> str:
    figures = found["outputs"]["code"]["figures"]
    return ", ".join(
        f"{name} {figures[name]['value']:.3f}"
        for name in ("paper_map", "vote AUC", "mAP, macro")
        if name in figures and figures[name]["value"] is not None
    )


def _asked(row: Row, plan: Plan) -> Asked:
    parts = _parts(row, plan)
    return Asked(queries=parts / "test", gallery=parts / "train")


def _parts(row: Row, plan: Plan) -> Path:
    """Queries and gallery: by lesion, or by source."""
    if row.kind is Kind.SOURCE:
        return _split(plan.dataset, plan.work / row.held_out, hold_out=row.held_out)
    return _split(plan.dataset, plan.work / "parts", test_share=TEST_SHARE, seed=SPLIT_SEED)


def _learnt(row: Row, plan: Plan) -> Path:
    """What a row learns from."""
    parts = _parts(row, plan)
    if row.kind is Kind.UNSEEN:
        parts = _split(parts / "train", plan.work / row.held_out, hold_out=row.held_out)
    return parts / "train"


def _split(dataset: Path, out: Path, **how: Any) -> Path:  # noqa: ANN401 - of `dermtwin.split`
    if not (out / "test" / "metadata.csv").exists():  # written last
        print(f"splitting {dataset.name} into {out.name}", flush=True)
        dermtwin.split(dataset, out, **how)
    return out


def _settings(row: Row, seed: int, plan: Plan) -> tuple[Path, list[str]]:
    """The file and all that is set beside it, the budget too."""
    if row.is_frozen:
        file = plan.settings or _metric_file(plan)
        size = read_settings(file, overrides=_changes(row, plan)).input.size
        return file, [f"input.size={size}"]
    file = plan.settings or _config(row, plan)
    overrides = [*_changes(row, plan), f"seed={seed}", f"name={row.name}"]
    if not row.is_trained:
        overrides[-1] = f"name={row.on}"
    return file, [*overrides, *_budget(row, plan, read_settings(file, overrides=overrides))]


def _changes(row: Row, plan: Plan) -> list[str]:
    return [] if plan.settings else settings_of(row, base=plan.base)


def _config(row: Row, plan: Plan) -> Path:
    named = config_of(row)
    return ROOT / named if named else _metric_file(plan)


def _metric_file(plan: Plan) -> Path:
    path = plan.work / "metric.toml"
    if not path.exists():
        write_text(path, 'method = "metric"\n')
    return path


def _budget(row: Row, plan: Plan, settings: AnySettings) -> list[str]:
    """Epochs, so that about as many pictures are seen in every row."""
    pictures = plan.pictures * row.budget
    if not isinstance(settings, MetricTrainingSettings):
        pairs = 4 * math.ceil(pictures / 2 / PAIRED_EPOCHS / 4)
        return [f"pairs.per_epoch={pairs}", f"optimiser.epochs={PAIRED_EPOCHS}"]
    # An epoch is as long as the rarest diagnosis allows: it differs from part to part.
    epochs = max(1, round(pictures / _per_epoch(_learnt(row, plan), settings)))
    return [
        f"optimiser.epochs={epochs}",
        f"optimiser.measured_every={max(1, epochs // 4)}",
        f"optimiser.threads={plan.threads}",
    ]


def _per_epoch(dataset: Path, settings: MetricTrainingSettings) -> int:
    """Pictures in an epoch."""
    rows = read_dataset(dataset).rows
    names = sorted({row.case.diagnosis or "" for row in rows})
    sampler = BalancedSampler(
        [names.index(row.case.diagnosis or "") for row in rows],
        [row.case.lesion_id or row.case.isic_id for row in rows],
        names=names,
        power=settings.sampling.power,
        per_batch=settings.sampling.per_batch,
        seed=0,
    )
    return len(sampler) * settings.sampling.per_batch


def _encoder(row: Row, plan: Plan, *, config: Path, overrides: list[str]) -> Path:
    """The row's encoder, trained where it is not there yet."""
    own = hashlib.sha256(json.dumps([config.read_text(), overrides]).encode()).hexdigest()[:8]
    name = row.name if row.is_trained else (FROZEN if row.is_frozen else row.on)
    path = plan.work / "encoders" / f"{name}-{own}.onnx"
    if path.exists():
        return path
    if row.is_frozen:
        return _frozen(path, size=read_settings(config, overrides=overrides).input.size)
    print(f"training {path.stem}", flush=True)
    dermtwin.train(config, _learnt(row, plan), out=path, overrides=overrides)
    return path


class _Pooled(nn.Module):
    """The ImageNet backbone's 1,280 features, averaged over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite(0, with_features=True)
        load_imagenet(self.backbone, 0)

    def forward(self, image: Tensor) -> Tensor:
        return self.backbone(image).mean(dim=(2, 3))


def _frozen(path: Path, *, size: int) -> Path:
    """An encoder that has learnt nothing of lesions."""
    plain = path.with_suffix(".plain.onnx")
    model = onnx_bytes(
        _Pooled().eval(), torch.zeros(2, 3, size, size), outputs=["features"], any_number=True
    )
    write_bytes(plain, model)
    dermtwin.adopt_encoder(
        plain,
        out=path,
        input_size=size,
        mean=MEAN,
        std=DEVIATION,
        licence="Apache-2.0: ImageNet weights of TensorFlow's authors",
        unit_length=True,
        name="imagenet-frozen",
    )
    return path


def _pictures_seen(encoder: Encoder) -> int:
    """In training, from the card."""
    training: Any = encoder.card.training
    settings, last = training["settings"], training["losses"][-1]
    if settings["method"] == "metric":
        return int(last["step"] * settings["sampling"]["per_batch"])
    return int(2 * settings["pairs"]["per_epoch"] * settings["optimiser"]["epochs"])


def _processor() -> str:
    """What the processor calls itself."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


if __name__ == "__main__":
    main()
