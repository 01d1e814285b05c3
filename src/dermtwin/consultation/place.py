"""Where a picture would lie on the casebook's map, told from its nearest cases alone.

openTSNE starts a new code at the median of its neighbours' places and then optimises (Poličar
2024), for which it needs the whole map. The start alone did as well where it was measured:
docs/map.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dermtwin.consultation.answer import FoundCase

_NEAREST = 10


def place_among(
    hits: Sequence[FoundCase], points: Mapping[str, NDArray[np.float64]]
) -> tuple[float, float] | None:
    """The median of the places of the nearest ten hits, of x and of y by itself.

    Args:
        hits: the nearest cases, nearest first.
        points: float64 [2] by case; a case without a place is passed over.

    Returns:
        x and y in the map's own units; None: no hit has a place.
    """
    names = [each.hit.isic_id for each in hits if each.hit.isic_id in points][:_NEAREST]
    if not names:
        return None
    x, y = np.median([points[name] for name in names], axis=0).tolist()
    return x, y
