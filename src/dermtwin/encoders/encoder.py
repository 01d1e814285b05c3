"""An encoder file, opened: pictures in, codes out, by ONNX Runtime alone."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dermtwin.encoders import graph
from dermtwin.encoders.card import Card, card_from_json
from dermtwin.encoders.pixels import Look, look_at, normalised
from dermtwin.encoders.shipped import shipped_or_file
from dermtwin.encoders.views import symmetric_views
from dermtwin.errors import EncoderError
from dermtwin.files import write_bytes
from dermtwin.images import Rgb
from dermtwin.preparation import Preparation

INPUT_NAME = "image"


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of N pictures.

    Attributes:
        by_output: name of an output to float32 [N, *shape of that output].
    """

    by_output: Mapping[str, NDArray[np.float32]]

    def vectors(self, output: str = "code") -> NDArray[np.float32]:
        """One output as rows to compare: float32 [N, D]; see `Encoder.check_output`."""
        values = self.by_output[output]
        return values.reshape(len(values), math.prod(values.shape[1:]))

    def bits(self) -> list[str] | None:
        """Each picture's bit code in hexadecimal (a bit is set where the number is above 0)."""
        if "bits" not in self.by_output:
            return None
        packed = np.packbits(self.by_output["bits"] > 0, axis=1)
        return [row.tobytes().hex() for row in packed]


class Encoder:
    """A network and its card; open one with `Encoder.open`.

    Attributes:
        id: SHA-256 of the file, in hexadecimal.
        card: what the file says of itself.
        data: the file's bytes.
        preparation: as the card says; None: pictures are not prepared.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        """Open an encoder from its bytes.

        Args:
            data: an encoder file.
            name: what to call it in errors.

        Raises:
            EncoderError: no ONNX, external data, no card, or a graph that is not as the card says.
        """
        self.data = data
        self.id = hashlib.sha256(data).hexdigest()
        self.card = card_from_json(graph.card_text(data, where=name), where=name)
        recipe = self.card.preparation
        self.preparation = None if recipe is None else Preparation(recipe)
        self._name = name
        self._session = open_session(data, name=name)
        self._outputs = sorted(self.card.outputs)
        self._check_graph()

    @classmethod
    def open(cls, path: str | Path) -> "Encoder":
        """Open an encoder file, or the one that `BASE_ENCODER` names; raises EncoderError."""
        try:
            data = shipped_or_file(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise EncoderError(f"{path} cannot be read: {reason}; check the path.") from error
        return cls(data, name=str(path))

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        """Travel to another process as a file does: ONNX Runtime's session cannot."""
        return partial(type(self), name=self._name), (self.data,)

    @property
    def label(self) -> str:
        """Name and the beginning of the id, for people."""
        return f"{self.card.name} ({self.id[:12]})"

    def check_output(self, output: str) -> None:
        """Raise EncoderError unless the encoder has this output."""
        if output not in self._outputs:
            known = ", ".join(self._outputs)
            raise EncoderError(f"{self._name} has no output {output!r}; it has {known}.")

    def look(self, data: bytes, *, name: str) -> Look:
        """What the encoder sees of a picture: prepared as its card says, and brought to size.

        Raises:
            ImageError: the bytes are no such picture.
        """
        return look_at(data, self.card.input, name=name, preparation=self.preparation)

    def encode(self, data: bytes, *, name: str, views: int = 1) -> Codes:
        """Encode one picture from its file's bytes: the way that every picture takes.

        Args:
            data: the file's bytes.
            name: what to call it in errors.
            views: see `encode_view`.

        Raises:
            ImageError: the bytes are no such picture.
            SettingsError: a picture cannot be asked in so many views.
        """
        return self.encode_view(self.look(data, name=name).view, views=views)

    def encode_view(self, view: Rgb, *, views: int = 1) -> Codes:
        """Encode what `look` has brought to size, uint8 [size, size, 3].

        Args:
            view: the picture as the network sees it.
            views: 1, 4 or 8: codes of so many of its turned and mirrored views, its own the first
                (`encoders.views`).

        Raises:
            SettingsError: a picture cannot be asked in so many views.
        """
        return self.encode_views(symmetric_views(view, views=views))

    def encode_views(self, views: Sequence[Rgb] | Rgb) -> Codes:
        """Encode pictures that `look` has brought to size: uint8 [N, size, size, 3].

        Each picture runs by itself: its code never depends on what else is in the batch, to the
        last bit. Threads may call this at once.
        """
        singles = [self._run(view[None]) for view in np.asarray(views)]
        return Codes(
            {
                name: np.concatenate([single[name] for single in singles])
                if singles
                else np.empty((0, *self.card.outputs[name].shape), np.float32)
                for name in self._outputs
            }
        )

    def _run(self, view: Rgb) -> dict[str, NDArray[np.float32]]:
        try:
            values = self._session.run(
                self._outputs, {INPUT_NAME: normalised(view, self.card.input)}
            )
        except Exception as error:  # ONNX Runtime has a dozen kinds for a graph that fails
            raise EncoderError(f"{self._name} fails on its input: {error}") from error
        named = dict(zip(self._outputs, values, strict=True))
        for name, value in named.items():
            self._check_output(name, value)
        return named

    def _check_output(self, name: str, value: NDArray[np.float32]) -> None:
        expected = (1, *self.card.outputs[name].shape)
        if value.shape != expected or value.dtype != np.float32:
            raise EncoderError(
                f"{self._name}: output {name!r} is {value.dtype}{list(value.shape)}, the card says "
                f"float32{list(expected)}."
            )
        if not np.isfinite(value).all():
            raise EncoderError(f"{self._name}: output {name!r} is not a number; train it again.")

    def _check_graph(self) -> None:
        size = self.card.input.size
        inputs = {each.name: [each.type, *each.shape] for each in self._session.get_inputs()}
        kind, count, *sides = inputs.get(INPUT_NAME) or [None, None]
        fits = kind == "tensor(float)" and sides == [3, size, size]
        # Pictures run one by one: a graph for one picture will do, one for two will not.
        if len(inputs) != 1 or not fits or (isinstance(count, int) and count != 1):
            raise EncoderError(
                f"{self._name} takes {inputs}, the card says {INPUT_NAME!r} float32 [N or 1, 3, "
                f"{size}, {size}]."
            )
        offered = {each.name for each in self._session.get_outputs()}
        if not self._outputs or (absent := set(self._outputs) - offered):
            missing = ", ".join(sorted(absent)) if self._outputs else "any output"
            raise EncoderError(f"{self._name} does not give {missing}, though the card says so.")


def write_encoder(path: Path, *, model: bytes, card: Card) -> Encoder:
    """Put a card into an ONNX model, open the result, and write it whole or not at all.

    Raises:
        EncoderError: model and card do not agree.
        DermtwinError: the file cannot be written.
    """
    encoder = Encoder(graph.with_card(model, card.to_json()), name=str(path))
    write_bytes(path, encoder.data)
    return encoder


def open_session(data: bytes, *, name: str) -> onnxruntime.InferenceSession:
    """Open a network in ONNX Runtime, one thread a picture; raises EncoderError."""
    options = onnxruntime.SessionOptions()
    # Pictures are spread over threads by the caller; within one, a single thread adds up in one
    # order, so that a code is the same to the last bit wherever it was made on this machine.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a dozen kinds for a graph that it refuses
        raise EncoderError(f"{name} is refused by ONNX Runtime: {error}") from error
