"""The figures of the encoder that ships: docs/base-encoder.md, from its card and what views add.

    python scripts/encoder_results.py docs/results/base --out docs/base-encoder.md

`dermtwin encoder check` measures the card's figures again; `views.json` is what
scripts/view_figures.py wrote.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from result_page import write_page

from dermtwin.encoders import Card, Encoder
from dermtwin.vocabulary import BASE_ENCODER

OUTPUTS = {
    "code": "32 numbers",
    "bits": "64 bits",
    "bits[:32]": "32 bits",
    "bits, re-ranked": "64 bits, re-ranked by the numbers",
}
PROTOCOLS = {
    "balanced": "The paper's test set, ten draws of 113 + 113",
    "gallery": "Queries against the training gallery",
    "leave-one-out": "Queries against one another",
}


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, page)


def page(results: Path) -> Iterator[str]:
    """The page's lines; raises ValueError where the results are of another encoder."""
    encoder = Encoder.open(BASE_ENCODER)
    views = json.loads((results / "views.json").read_text())
    if views["encoder"] != encoder.id:
        raise ValueError(f"views.json is of the encoder {views['encoder']}, not of {encoder.id}.")
    for part, told in {"queries": "data", "gallery": "gallery"}.items():
        if views[part] != encoder.card.quality[told]["fingerprint"]:
            raise ValueError(f"views.json was measured on other {part} than the card.")
    card, training = encoder.card, encoder.card.training
    yield f"# {card.name}: what its card says"
    yield ""
    yield "Written by `scripts/encoder_results.py` from the encoder file and `docs/results/base`;"
    yield "`dermtwin encoder check` measures the card's figures again. [encoders.md](encoders.md)"
    yield "explains the settings, [measures.md](measures.md) the measures."
    yield ""
    yield f"- file: {len(encoder.data) / 1e6:.1f} MB, SHA-256 `{encoder.id}`"
    yield f"- made: {card.made_at} by {card.made_by} on torch {training['torch']}"
    yield f"- input: {card.input.size}x{card.input.size} pixels, {card.input.resize}"
    yield f"- learnt from: {_images(training['data'])}"
    if training.get("beside"):
        yield f"- and beside, without figures of their own: {_images(training['beside'])}"
    yield f"- measured on: {_images(card.quality['data'])}, of other lesions"
    yield f"- licence: {card.licence}"
    yield ""
    yield "95 % intervals by bootstrap over the queries' lesions; the training run is one."
    yield ""
    for protocol, heading in PROTOCOLS.items():
        yield from _table(card, protocol, heading)
    yield from _views(views["by_views"])
    yield from _distances(card)


def _images(data: Mapping[str, Any]) -> str:
    return (
        f"{data['images']:,} images of {data['lesions']:,} lesions, {data['malignant']:,} "
        f"malignant (fingerprint `{data['fingerprint'][:12]}`)"
    )


def _table(card: Card, protocol: str, heading: str) -> Iterator[str]:
    by_output = {
        output: card.quality["figures"][output][protocol]
        for output in OUTPUTS
        if protocol in card.quality["figures"].get(output, {})
    }
    if not by_output:
        return
    yield f"## {heading}"
    yield ""
    yield f"| measure | chance | {' | '.join(OUTPUTS[each] for each in by_output)} |"
    yield f"|---|---|{'---|' * len(by_output)}"
    first = next(iter(by_output.values()))
    for measure, figure in first.items():
        cells = " | ".join(_figure(each[measure]) for each in by_output.values())
        yield f"| {measure} | {figure['chance']:.3f} | {cells} |"
    yield ""


def _views(by_views: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "## A query asked in several views, 32 numbers"
    yield ""
    yield "`dermtwin evaluate dermtwin-base --views N`: turned by quarters (4), mirrored too (8)."
    yield "The nearest view ranks, the mean of the views votes; the gallery is as it is."
    yield ""
    yield f"| measure | {' | '.join(f'views: {each}' for each in by_views)} |"
    yield f"|---|{'---|' * len(by_views)}"
    for measure in next(iter(by_views.values())):
        cells = " | ".join(_figure(each[measure]) for each in by_views.values())
        yield f"| {measure} | {cells} |"
    yield ""


def _figure(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} – {figure['high']:.3f})"


def _distances(card: Card) -> Iterator[str]:
    yield "## Distance from a training image to its nearest neighbour of another lesion"
    yield ""
    for output, percentiles in sorted(card.distances.items()):
        ordered = sorted(percentiles.items(), key=lambda each: float(each[0]))
        yield f"| {output}: percentile | {' | '.join(name for name, _ in ordered)} |"
        yield f"|---|{'---|' * len(ordered)}"
        yield f"| distance | {' | '.join(f'{value:.3f}' for _, value in ordered)} |"


if __name__ == "__main__":
    main()
