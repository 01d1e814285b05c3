"""How pictures are prepared, in a form that an encoder's card can carry."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from dermtwin.errors import SettingsError
from dermtwin.preparation.networks import network_ids

CropShape = Literal["square", "rectangle", "whole"]
"""Of the crop; `whole`: nothing is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what becomes of a picture.

    Attributes:
        shape: of the crop.
        margin: skin wanted on each side of the lesion, in lengths of the lesion's longer side.
        least_margin: what of it is kept even where an artefact lies in it.
        no_hair: ablation: encoders see hair painted over.
        networks: the mask networks by name, as the SHA-256 of their files.
    """

    shape: CropShape = "square"
    margin: float = 0.2
    least_margin: float = 0.1
    no_hair: bool = False
    networks: Mapping[str, str] = field(default_factory=network_ids)

    def __post_init__(self) -> None:
        if self.shape not in get_args(CropShape):
            known = ", ".join(get_args(CropShape))
            raise SettingsError(f"crop shape {self.shape!r} is unknown; choose one of {known}.")
        if not 0 <= self.least_margin <= self.margin <= 2:
            raise SettingsError(
                f"margins {self.least_margin} and {self.margin} must be from 0 to 2, the least not "
                "above the other."
            )

    @property
    def id(self) -> str:
        """SHA-256 over all of it, in hexadecimal: equal recipes cut equally."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As plain values; `from_json` reads them."""
        return asdict(self) | {"networks": dict(self.networks)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Recipe":
        """Read a recipe.

        Raises:
            SettingsError: a value is missing, unknown or out of bounds, or the recipe needs mask
                networks that this dermtwin does not have.
        """
        known = {each.name for each in fields(cls)}
        if values.keys() != known:
            wrong = ", ".join(sorted(values.keys() ^ known))
            raise SettingsError(f"the preparation's recipe has missing or unknown values: {wrong}.")
        recipe = cls(**values)
        if dict(recipe.networks) != network_ids():
            raise SettingsError(
                "the preparation's mask networks are not those of this dermtwin; use the dermtwin "
                "that the encoder was made with, or train the encoder again."
            )
        return recipe
