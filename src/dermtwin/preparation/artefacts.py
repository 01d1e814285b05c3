"""From the artefact network's maps to what lies in the way, one kind each."""

import cv2
import numpy as np

from dermtwin.images import Rgb
from dermtwin.preparation.findings import Chance, FoundArtefact
from dermtwin.preparation.networks import mask_session, sigmoid
from dermtwin.vocabulary import Artefact

# Chosen by F1 on hair drawn over 50 validation pictures without any.
_THIN, _AROUND = 5, 21
_LIKELY, _CONTRAST, _ABOVE_TEXTURE, _NOISE = 0.6, 18, 1.25, 4


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
        found[kind] = FoundArtefact(
            fraction=fraction,
            confidence=float(-np.expm1(-fraction / scale)),
            chance=chance,
            sharp=_hairs(view, chance) if kind is Artefact.HAIR else chance,
        )
    return found


def _hairs(view: Rgb, chance: Chance) -> Chance:
    """1 on the hairs themselves, 0 beside them.

    The network says where hair is, some pixels wide. Within, a hair is what morphology takes for a
    thin line, darker (black-hat) or lighter (top-hat) than its surroundings, as in DullRazor
    (Lee 1997), and more so than the texture around it.
    """
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN, _THIN))
    darker = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, disc)
    lighter = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, disc)
    line = np.maximum(darker, lighter).astype(np.float32)
    texture = np.sqrt(cv2.blur(line * line, (_AROUND, _AROUND))) + _NOISE
    hair = (chance > _LIKELY) & (line > _CONTRAST) & (line > _ABOVE_TEXTURE * texture)
    return hair.astype(np.float32)
