"""`dermtwin encoder adopt`: a foreign network in, an encoder file out."""

import hashlib
import math
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias

from dermtwin.encoders import (
    Adopted,
    Card,
    Encoder,
    InputSpec,
    OutputSpec,
    ResizeRule,
    adopted,
    refuse_difference,
    time_of_making,
    write_encoder,
)
from dermtwin.encoders.adoption import CODE
from dermtwin.encoders.graph import with_card
from dermtwin.errors import EncoderError, SettingsError
from dermtwin.preparation import Recipe

Crop: TypeAlias = Literal["none", "square", "rectangle"]
Channels: TypeAlias = tuple[float, float, float]


def adopt_encoder(
    model: str | Path,
    *,
    out: str | Path,
    input_size: int,
    mean: Channels,
    std: Channels,
    licence: str,
    resize: ResizeRule | None = None,
    crop: Crop = "none",
    output: str | None = None,
    unit_length: bool = False,
    name: str | None = None,
) -> Encoder:
    """Make an encoder file of any ONNX network that turns a picture into a vector.

    Before it is written, the encoder is compared with the network it came from.

    Args:
        model: an ONNX file, weights included, with one input, float32 [N or 1, 3, H, W].
        out: the encoder file to write.
        input_size: pixels on each side of the square input.
        mean: per channel, red-green-blue, of values from 0 to 1, as the network was trained.
        std: likewise.
        licence: of the weights.
        resize: how a picture becomes a square; None: `pad` for crops, else `centre-square`.
        crop: whether pictures are cut to the lesion first.
        output: which of the network's outputs is the code; None: the only one of [N, D].
        unit_length: scale codes to length 1, so that Euclidean distances order as cosines do.
        name: what people will call it; None: the model file's name.

    Returns:
        The encoder; its card has no quality and no distances, as nothing was measured.

    Raises:
        EncoderError: the network cannot be read, or is no such network.
        SettingsError: a setting is out of bounds, or two contradict each other.
        DermtwinError: the file cannot be written.
    """
    path, out = Path(model), Path(out)
    _refuse_without_text(licence, "licence", need="under which the network may be used")
    _refuse_without_text(path.stem if name is None else name, "name", need="for the encoder")
    if out.resolve() == path.resolve():
        raise SettingsError(f"{out} would replace the network itself; give another file as out.")
    spec, recipe = _input(input_size, resize, mean=mean, std=std, crop=crop), _recipe(crop)
    data = _read(path)
    made = adopted(data, spec, where=str(path), output=output, unit_length=unit_length)
    card = Card(
        name=path.stem if name is None else name,
        made_by=f"dermtwin {version('dermtwin')}, adopted from {path.name}",
        made_at=time_of_making(),
        input=spec,
        preparation=recipe,
        outputs={CODE: OutputSpec((made.width,))},
        training=_origin(data, made, unit_length=unit_length),
        licence=licence,
    )
    candidate = Encoder(with_card(made.model, card.to_json()), name=str(path))
    refuse_difference(candidate, made, where=str(path))
    return write_encoder(out, model=made.model, card=card)


def _refuse_without_text(text: str, what: str, *, need: str) -> None:
    if not text.strip():
        raise SettingsError(f"the {what} is empty; give the {what} {need}.")


def _input(
    size: int, resize: ResizeRule | None, *, mean: Channels, std: Channels, crop: Crop
) -> InputSpec:
    if not all(map(math.isfinite, (*mean, *std))):
        raise SettingsError("mean and std must be numbers, none of them infinite.")
    if crop != "none" and resize == "centre-square":
        raise SettingsError(
            f"resize centre-square would cut what crop {crop} keeps; set resize to pad or stretch."
        )
    rule: ResizeRule = resize or ("centre-square" if crop == "none" else "pad")
    return InputSpec(size=size, resize=rule, mean=mean, std=std)


def _recipe(crop: Crop) -> Recipe | None:
    return None if crop == "none" else Recipe(shape=crop)


def _origin(data: bytes, made: Adopted, *, unit_length: bool) -> dict[str, object]:
    return {
        "adopted_sha256": hashlib.sha256(data).hexdigest(),
        "adopted_output": made.output,
        "unit_length": unit_length,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EncoderError(f"{path} cannot be read: {reason}; check the path.") from error
