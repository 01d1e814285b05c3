"""An encoder's card as people read it: facts line by line, then its figures as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from dermtwin.cli.printing import is_narrow, out
from dermtwin.vocabulary import DRAWN_NOTICE

if TYPE_CHECKING:
    from dermtwin.encoders import Card
    from dermtwin.verbs.show_encoder import EncoderDescription

_LABEL_WIDTH = 15
_FINGERPRINT = 12  # letters that tell it from others
_CODE = "code"
_DIAGNOSES = "diagnoses: "

_Figure = Mapping[str, Any]
_Rows = Iterator[tuple[str, str]]


def print_card(shown: "EncoderDescription") -> None:
    """Print all of it."""
    for label, text in _rows(shown):
        out.print(f"{label:<{_LABEL_WIDTH}}{text}", soft_wrap=True)
    for table in _tables(shown.card.quality.get("figures", {})):
        out.print()
        out.print(table)


def number(value: float | None) -> str:
    """A figure with three places, as cards and reports have them."""
    return "undefined" if value is None else f"{value:.3f}"


def _rows(shown: "EncoderDescription") -> _Rows:
    card = shown.card
    yield "name", card.name
    yield "id", shown.id
    yield "file", f"{shown.file}, {shown.size_bytes / 1e6:,.3g} MB"
    yield "made", f"{card.made_at} by {card.made_by}"
    yield "input", _input(card)
    yield "preparation", _preparation(card)
    for name, output in sorted(card.outputs.items()):
        yield "output", f"{name} {list(output.shape)}, {output.metric}"
    yield from _origin(card)
    yield "measured on", _images(card.quality.get("data"), otherwise="not measured")
    if asked := card.quality.get("gallery"):
        yield "  asked of", _images(asked)
    for name, found in sorted(card.distances.items()):
        yield "nearest", f"{name}: {_percentiles(found)}"
    if not card.distances:
        yield "nearest", "not measured"
    yield "licence", card.licence
    yield "intended use", card.intended_use


def _origin(card: "Card") -> _Rows:
    training = card.training
    yield "learnt from", _images(training.get("data"))
    if beside := training.get("beside"):
        yield "  and from", _images(beside)
    if start := training.get("start"):
        yield "started from", f"{start['name']} ({start['id'][:_FINGERPRINT]})"
    if "adopted_sha256" in training:
        yield "adopted from", f"output {training['adopted_output']!r} of a file of SHA-256"
        yield "", str(training["adopted_sha256"])
    if "quantised_from" in training:
        yield "quantised from", str(training["quantised_from"])
        yield "  calibrated", _images(training["calibration"])


def _input(card: "Card") -> str:
    spec = card.input
    mean, std = (", ".join(f"{each:g}" for each in three) for three in (spec.mean, spec.std))
    rules = f"{spec.resize}, light {spec.light}"
    return f"{spec.size}x{spec.size} pixels, {rules}, mean {mean}, std {std}"


def _preparation(card: "Card") -> str:
    recipe = card.preparation
    if recipe is None:
        return "none"
    ablations = ["no_hair"] if recipe.no_hair else []
    margins = f"margin {recipe.margin:g}, at least {recipe.least_margin:g}"
    return ", ".join([f"crop {recipe.shape}", margins, *ablations])


def _images(described: Mapping[str, Any] | None, *, otherwise: str = "not known") -> str:
    """How many of what, and by which fingerprint they are known again."""
    if not described:
        return otherwise
    told = f"{described['images']:,} images"
    if "lesions" in described:
        told += f" of {described['lesions']:,} lesions"
    classes = [
        f"{described[name]:,} {name}" for name in ("malignant", "benign") if described.get(name)
    ]
    notes = [DRAWN_NOTICE] if described.get("drawn") else []
    if described.get("left_out"):
        notes.append(f"{described['left_out']:,} left out")
    notes.append(f"fingerprint {str(described['fingerprint'])[:_FINGERPRINT]}")
    return f"{': '.join([told, *filter(None, [', '.join(classes)])])} ({'; '.join(notes)})"


def _percentiles(found: Mapping[str, float]) -> str:
    ordered = sorted(found.items(), key=lambda item: float(item[0]))
    told = ", ".join(f"{percent} %: {distance:.4g}" for percent, distance in ordered)
    return f"distance to the nearest other lesion, percentiles: {told}"


def _tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """A table a protocol: a row a measure, a column an output."""
    by_protocol: dict[str, dict[str, dict[str, _Figure]]] = {}
    for (output, *above, measure), figure in _figures(figures):
        if measure.startswith(_DIAGNOSES):
            above.append("diagnoses")
        rows = by_protocol.setdefault(", ".join(above), {})
        rows.setdefault(measure.removeprefix(_DIAGNOSES), {})[output] = figure
    outputs = sorted(figures, key=lambda name: (name != _CODE, name))
    for protocol, rows in sorted(by_protocol.items()):
        yield _table(protocol, rows, outputs=outputs)


def _table(
    protocol: str, rows: Mapping[str, Mapping[str, _Figure]], *, outputs: Sequence[str]
) -> Table:
    queries = {figure["queries"] for row in rows.values() for figure in row.values()}
    title = ", ".join(
        [*filter(None, [protocol]), *(f"{each:,} queries" for each in sorted(queries))]
    )
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        collapse_padding=is_narrow(),
    )
    table.add_column("")
    for name in outputs:
        table.add_column(name, justify="right")
        if name == _CODE:
            table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("chance", justify="right")
    for measure, row in rows.items():
        cells = [cell for name in outputs for cell in _cells(name, row.get(name))]
        chance = next(iter(row.values()))["chance"]
        table.add_row(measure, *cells, number(chance))
    return table


def _cells(output: str, figure: _Figure | None) -> list[str]:
    value = "–" if figure is None else number(figure["value"])
    if output != _CODE:
        return [value]
    if figure is None or figure["low"] is None:
        return [value, "–"]
    return [value, f"{number(figure['low'])} – {number(figure['high'])}"]


def _figures(values: Mapping[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], _Figure]]:
    """Each figure beneath with its way there."""
    for key, value in values.items():
        if "value" in value:
            yield (*above, key), value
        else:
            yield from _figures(value, *above, key)
