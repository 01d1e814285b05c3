"""The checklists' questions about the encoder, from its card."""

from collections.abc import Mapping
from typing import Any

from dermtwin.evaluation.checklist.asked import Record
from dermtwin.evaluation.checklist.learnt import met
from dermtwin.evaluation.groups import UNKNOWN


def preprocessing(record: Record) -> list[str]:
    """What is done to an image before the network."""
    card, views = record["encoder"]["card"], record["views"]
    given, recipe = card["input"], card["preparation"]
    mean, std = (", ".join(f"{each:.3f}" for each in given[name]) for name in ("mean", "std"))
    crop = "none" if recipe is None else f"crop {recipe['shape']}, margin {recipe['margin']}"
    return [
        (
            f"Preparation: {crop}. Then {given['size']} x {given['size']} pixels, "
            f"{given['resize']}; mean {mean}, std {std}."
        ),
        f"Views of each query: {views}"
        + (
            "; a case is as near as to the nearest of them, the vote is the mean of theirs."
            if views > 1
            else "."
        ),
    ]


def model(record: Record) -> list[str]:
    """The network, its input and output, its licence."""
    card = record["encoder"]["card"]
    backbone = _settings(record).get("backbone")
    name = backbone.get("name") if isinstance(backbone, Mapping) else None
    outputs = "; ".join(
        f"{name} {' x '.join(map(str, each['shape']))}, {each['metric']}"
        for name, each in card["outputs"].items()
    )
    return [
        (
            f"{card['name']}, file {record['encoder']['id'][:12]}, made {card['made_at'][:10]} by "
            f"{card['made_by']}. Backbone: {name or UNKNOWN}."
        ),
        f"In: one image; out: codes, compared by distance: {outputs}. It states no diagnosis.",
        f"Licence of the weights: {card['licence']}",
    ]


def _settings(record: Record) -> Mapping[str, Any]:
    settings = record["encoder"]["card"]["training"].get("settings")
    return settings if isinstance(settings, Mapping) else {}


def training(record: Record) -> list[str]:
    """On what and how the network was trained, as far as its card says."""
    training, settings = record["encoder"]["card"]["training"], _settings(record)
    found = [
        f"{use}: {each.get('images', UNKNOWN)} images, {each.get('lesions', UNKNOWN)} lesions, "
        f"{each.get('malignant', UNKNOWN)} malignant, {each.get('benign', UNKNOWN)} benign"
        for use, _, each in met(training)
    ] or ["training data: unknown, the card names none"]
    method = f"method {settings['method']}" if "method" in settings else "method unknown"
    where = f"seed {training.get('seed', UNKNOWN)}, device {training.get('device', UNKNOWN)}"
    told = "settings: in the card, under Methods" if settings else "settings unknown"
    return [*found, f"{method}, {where}; {told}."]


def ensembling(record: Record) -> list[str]:
    """What is averaged."""
    views = record["views"]
    return [f"One network, {views} {'view' if views == 1 else 'views'} of each query."]


def software(record: Record) -> list[str]:
    """Programs and versions."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    torch = record["encoder"]["card"]["training"].get("torch", UNKNOWN)
    return [f"This run: {versions}. Training: torch {torch}."]


def use(record: Record) -> list[str]:
    """The sentence of the card."""
    return [record["encoder"]["card"]["intended_use"]]
