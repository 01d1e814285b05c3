"""How the lesion mask's confidence follows from its map, fitted on pictures not learnt from."""

import numpy as np

from dermtwin.evaluation.preparation import jaccard
from dermtwin.learning.masks.pictures import MaskedPictures
from dermtwin.preparation.lesion import Looks

_PULL = 1.0


def fit_confidence(looks: list[Looks], pictures: MaskedPictures) -> list[float]:
    """Weights of the features that predict the mask's Jaccard index, by ridge regression.

    Args:
        looks: the lesion network at the pictures, in their order.
        pictures: at half the inner size.
    """
    rows, indices = [], []
    for look, mask in zip(looks, pictures.masks, strict=True):
        if look.inside is not None:
            rows.append(look.features())
            indices.append(jaccard(look.inside, mask > 127))
    features, truth = np.array(rows), np.array(indices)
    # The constant is not pulled towards 0.
    pull = _PULL * np.diag([0.0] + [1.0] * (features.shape[1] - 1))
    weights = np.linalg.solve(features.T @ features + pull, features.T @ truth)
    return [float(weight) for weight in weights]
