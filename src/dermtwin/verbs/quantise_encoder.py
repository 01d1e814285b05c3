"""`dermtwin encoder quantise`: an encoder in, its int8 version out."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dermtwin.datasets import read_dataset
from dermtwin.encoders import Encoder
from dermtwin.errors import MissingExtraError, SettingsError
from dermtwin.learning.images import load_images
from dermtwin.running import Track, untracked

if TYPE_CHECKING:
    from dermtwin.learning.quantisation import Quantised

IMAGES = 300


def quantise_encoder(
    encoder: str | Path,
    *,
    calibration: str | Path,
    out: str | Path,
    images: int = IMAGES,
    seed: int = 0,
    track: Track = untracked,
) -> "Quantised":
    """Write an encoder's int8 version: a third of the size, and faster on most processors.

    It is an encoder of its own: its codes are not compared with the float encoder's. Its card keeps
    no quality, which must be measured anew (`dermtwin.compare`); its distances are those of all
    images of the calibration folder, so give the encoder's training images where you have them.

    Args:
        encoder: the float encoder, a file or the name of the one that comes with dermtwin.
        calibration: a dataset; images neither benign nor malignant are left out.
        out: the encoder file to write.
        images: how many of them to find the ranges of values on.
        seed: of their choice.
        track: looks on while images are read and encoded.

    Raises:
        MissingExtraError: the extra `train` is not installed.
        EncoderError: the encoder cannot be read, is quantised already, or cannot be quantised.
        SettingsError: too few images, or `out` is the encoder itself.
        DatasetError: the dataset cannot be used as asked; all faults are told at once.
        DermtwinError: the file cannot be written.
    """
    if find_spec("onnx") is None:
        raise MissingExtraError("quantising", extra="train")
    # Needs the extra.
    from dermtwin.learning.quantisation import quantise, refuse_quantised  # noqa: PLC0415

    out = Path(out)
    if out.resolve() == Path(encoder).resolve():
        raise SettingsError(f"{out} would replace the encoder itself; give another file as out.")
    opened = Encoder.open(encoder)
    # Before thousands of images are read.
    refuse_quantised(opened)
    dataset = read_dataset(calibration, track=track)
    dataset.refuse_faults()
    loaded = load_images(dataset, opened.card.input, preparation=opened.preparation, track=track)
    return quantise(
        opened, loaded, count=images, seed=seed, out=out, where=str(calibration), track=track
    )
