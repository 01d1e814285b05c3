"""Lesions that are drawn, not real: plausible dermoscopic pictures with known truth.

traits (kinds) -> painted lesion (lesion, structures, tissue) -> photographs (photograph, artefacts)
-> patients and records (population) -> a dataset (drawing).
"""
