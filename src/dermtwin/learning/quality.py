"""How well an encoder retrieves from images that it has not seen, for its card."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dermtwin.encoders import Card, Codes, Encoder
from dermtwin.evaluation.distances import METRICS
from dermtwin.evaluation.intervals import resample
from dermtwin.evaluation.levels import summarise_level
from dermtwin.evaluation.protocols import BALANCED, GALLERY, LEAVE_ONE_OUT
from dermtwin.evaluation.study import Compared, Design, balanced, derived, scored
from dermtwin.evaluation.subjects import DIAGNOSIS, subjects_of
from dermtwin.evaluation.summary import MAP_MICRO, Figure, summarise, vote_auc
from dermtwin.images import Rgb
from dermtwin.learning.images import TrainingImages
from dermtwin.running import Track, in_order

_OF_CLASSES = ("precision@10", MAP_MICRO, vote_auc(16))
OF_DIAGNOSES = (
    "precision@1, macro",
    "precision@10, macro",
    "precision@10, micro",
    "mAP, macro",
    "mAP, micro",
)
"""What is told of diagnoses."""

_BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImages:
    """Images with their codes.

    Attributes:
        images: at the encoder's input size.
        codes: of the images, in their order.
    """

    images: TrainingImages
    codes: Codes


def encode_images(encoder: Encoder, images: TrainingImages, *, track: Track) -> EncodedImages:
    """Encode images, each by itself."""
    return EncodedImages(images=images, codes=encode_all(encoder, images.views, track=track))


def encode_all(encoder: Encoder, views: Rgb, *, track: Track) -> Codes:
    """Encode views, uint8 [N, size, size, 3], each by itself."""
    singles = in_order(lambda view: encoder.encode_views(view[None]).by_output, views)
    watched = list(track(singles, label="encoding", total=len(views)))
    by_output = {name: np.concatenate([each[name] for each in watched]) for name in watched[0]}
    return Codes(by_output)


def measured_quality(
    card: Card, queries: EncodedImages, *, gallery: EncodedImages | None = None
) -> dict[str, Any]:
    """Each query against all others, against a gallery, and against draws as large as the paper's.

    Args:
        card: says how codes compare.
        queries: nothing was learnt from them.
        gallery: such as the training images; None: no such protocol.

    Returns:
        What was measured on; by output, protocol and measure the value with its 95 % interval,
        chance and number of queries; None where no query defines it.
    """
    design = Design(
        queries=subjects_of(queries.images.cases),
        gallery=None if gallery is None else subjects_of(gallery.images.cases),
        near_duplicates={},
        seed=_BOOTSTRAP_SEED,
    )
    codes = {LEAVE_ONE_OUT: queries.codes}
    if gallery is not None:
        codes[GALLERY] = gallery.codes
    return {
        "data": queries.images.described(),
        "gallery": None if gallery is None else gallery.images.described(),
        "figures": {each.output: _figures(each, design) for each in compared_outputs(card, codes)},
    }


def compared_outputs(
    card: Card, codes: Mapping[str, Codes], *, turned: Sequence[Codes] = ()
) -> list[Compared]:
    """The outputs to measure, and what is derived from them.

    Args:
        card: says how codes compare.
        codes: by protocol, of its gallery; those of leave-one-out are the queries' own.
        turned: the queries' in further views.
    """
    found = {name: _compared(card, name, codes, turned) for name in card.compared_by(*METRICS)}
    return [*found.values(), *derived(found)]


def _compared(
    card: Card, output: str, codes: Mapping[str, Codes], turned: Sequence[Codes]
) -> Compared:
    spec = card.outputs[output]
    return Compared(
        output=output,
        shape=spec.shape,
        metric=spec.metric,
        codes={protocol: each.vectors(output) for protocol, each in codes.items()},
        turned=tuple(each.vectors(output) for each in turned),
    )


def _figures(compared: Compared, design: Design) -> dict[str, dict[str, Any]]:
    by_protocol = {protocol: _protocol(compared, protocol, design) for protocol in design.sides()}
    if drawn := balanced(compared, design):
        by_protocol = {BALANCED: drawn} | by_protocol
    return {
        protocol: {name: _without_nan(asdict(figure)) for name, figure in figures.items()}
        for protocol, figures in by_protocol.items()
    }


def _protocol(compared: Compared, protocol: str, design: Design) -> dict[str, Figure]:
    scores, levels = scored(compared, protocol, design)
    found = summarise(scores, seed=design.seed).figures
    figures = {name: found[name] for name in _OF_CLASSES}
    if DIAGNOSIS in levels:
        resamples = resample(scores.clusters, seed=design.seed)
        of_diagnoses = summarise_level(levels[DIAGNOSIS], resamples=resamples).figures
        figures |= {f"diagnoses: {name}": of_diagnoses[name] for name in OF_DIAGNOSES}
    return figures


def _without_nan(figure: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no word for "not a number".
    return {name: None if math.isnan(value) else value for name, value in figure.items()}
