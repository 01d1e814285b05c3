"""From the artefact network's maps to what lies in the way, one kind each."""

import numpy as np

from dermtwin.images import Rgb
from dermtwin.preparation.findings import FoundArtefact
from dermtwin.preparation.networks import mask_session, sigmoid
from dermtwin.vocabulary import Artefact


def find_artefacts(view: Rgb) -> dict[Artefact, FoundArtefact]:
    """Find all seven kinds in an inner view uint8 [256, 320, 3].

    A kind's confidence follows from its expected share f of the picture, 1 - exp(-f / scale), as in
    its training, which learnt the scales.
    """
    session = mask_session("artefacts")
    chances = sigmoid(session.logits(view))
    found = {}
    for kind, chance, scale in zip(Artefact, chances, session.numbers["scales"], strict=True):
        fraction = float(chance.mean(dtype=np.float64))
        found[kind] = FoundArtefact(fraction, float(-np.expm1(-fraction / scale)), chance)
    return found
