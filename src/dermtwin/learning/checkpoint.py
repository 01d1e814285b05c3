"""A training's state on disk now and then, so that a killed training goes on from there.

Nothing random has a running state: first weights come from the seed, what an epoch or a step draws
from seed and number. So weights, optimiser and what was measured are all there is to keep.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dermtwin.errors import DermtwinError, SettingsError
from dermtwin.files import replacing

_FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What must be the same for a training to be continued.

    Attributes:
        settings: every setting by its dotted key.
        data: of the training images, with all that is known of them.
        validation: of the validation images likewise; empty: none.
        defaults: by dotted key; a setting that is younger than a checkpoint had its default there.
    """

    settings: Mapping[str, Any]
    data: str
    validation: str
    defaults: Mapping[str, Any] = field(default_factory=dict)


def are_numbers(*modules: nn.Module) -> bool:
    """Whether all weights still are numbers, fit to be kept.

    A step can break them after its own loss was still a number.
    """
    return all(
        bool(torch.isfinite(value).all())
        for module in modules
        for value in module.state_dict().values()
    )


class Checkpoint:
    """The folder beside an encoder-to-be that keeps its unfinished training.

    Attributes:
        folder: `<encoder>.training`.
    """

    def __init__(self, out: Path, identity: Identity) -> None:
        """Name the folder; nothing is read or made yet.

        Args:
            out: the encoder file that the training will write.
            identity: of the training that is to be begun or continued.
        """
        self.folder = out.with_name(f"{out.name}.training")
        self._file = self.folder / "checkpoint.pt"
        self._identity = identity

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state of tensors and plain values, whole or not at all; raises DermtwinError."""
        kept = {"format": _FORMAT, "identity": asdict(self._identity), "state": dict(state)}
        with replacing(self._file) as temporary:
            torch.save(kept, temporary)

    def load(self) -> dict[str, Any] | None:
        """The state to go on from; None: there is none.

        Raises:
            SettingsError: it belongs to other settings or images.
            DermtwinError: the file is damaged.
        """
        if not self._file.exists():
            return None
        kept = self._read()
        self._refuse_others(Identity(**kept["identity"]))
        state: dict[str, Any] = kept["state"]
        return state

    def discard(self) -> None:
        """Remove the folder, if there is one."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _read(self) -> dict[str, Any]:
        try:
            kept = torch.load(self._file, map_location="cpu", weights_only=True)
            if kept["format"] == _FORMAT:
                return dict(kept)
        except Exception as error:  # torch raises whatever a damaged archive leads to
            raise DermtwinError(
                f"{self._file} is damaged; begin the training anew with --restart."
            ) from error
        raise DermtwinError(
            f"{self._file} is of another dermtwin; begin the training anew with --restart."
        )

    def _refuse_others(self, found: Identity) -> None:
        way_out = "go on as it was begun, or begin anew with --restart."
        begun = {**self._identity.defaults, **found.settings}
        now = self._identity.settings
        changed = [
            f"{key} was {_shown(begun.get(key))} and is {_shown(now.get(key))}"
            for key in sorted(begun.keys() | now.keys())
            if begun.get(key) != now.get(key)
        ]
        if changed:
            raise SettingsError(
                f"{self.folder} holds a training with other settings ({'; '.join(changed)}); "
                + way_out
            )
        if found.data != self._identity.data:
            raise SettingsError(f"{self.folder} holds a training on other images; {way_out}")
        if found.validation != self._identity.validation:
            raise SettingsError(
                f"{self.folder} holds a training with other validation images; {way_out}"
            )


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else repr(value)
