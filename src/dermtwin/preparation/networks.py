"""The mask networks that come with dermtwin, run by ONNX Runtime."""

import hashlib
import json
from functools import cache
from importlib.resources import files

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dermtwin.images import Rgb

NAMES = ("lesion", "artefacts")


class MaskSession:
    """A mask network, opened.

    Attributes:
        numbers: what its training wrote into the file beside the weights.
    """

    def __init__(self, data: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # One picture a thread is faster than many threads a picture, and always the same sum.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        written = self._session.get_modelmeta().custom_metadata_map
        self.numbers: dict[str, list[float]] = json.loads(written["numbers"])

    def logits(self, view: Rgb) -> NDArray[np.float32]:
        """One map a kind for a view uint8 [height, width, 3]: float32 [kinds, height, width]."""
        image = view.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        (maps,) = self._session.run(["logits"], {"image": np.ascontiguousarray(image)})
        found: NDArray[np.float32] = maps[0]
        return found


@cache
def mask_session(name: str) -> MaskSession:
    """The network of one of `NAMES`; opened once, threads may share it."""
    return MaskSession(_data(name))


@cache
def network_ids() -> dict[str, str]:
    """SHA-256 of each network's file, in hexadecimal."""
    return {name: hashlib.sha256(_data(name)).hexdigest() for name in NAMES}


def _data(name: str) -> bytes:
    return (files("dermtwin.preparation") / f"{name}.onnx").read_bytes()


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), without overflow."""
    half = np.float32(0.5)
    chance: NDArray[np.float32] = half * (np.tanh(half * logits) + np.float32(1))
    return chance
