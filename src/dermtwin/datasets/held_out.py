"""A part of a dataset that is kept for the end, chosen by the cases' names alone."""

import hashlib

HELD_OUT_SHARE = 1 / 3
"""The share of a dataset with masks that no mask network learns from and nothing is tuned on."""

HELD_OUT_SEED = 9
"""Which third that is; never another one, or what was learnt from would be measured on."""

_PARTS = 2**32


def is_held_out(isic_id: str, *, share: float, seed: int) -> bool:
    """Whether a case belongs to the part kept for measuring.

    Chosen by a hash of its name, so that one case is on one side in every folder, whatever else
    the folder holds; about `share` of all cases are.

    Args:
        isic_id: the case.
        share: 0…1.
        seed: another one chooses other cases.
    """
    digest = hashlib.sha256(f"{seed}:{isic_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * _PARTS
