"""dermtwin finds, for a picture of a skin lesion, the most similar diagnosed cases.

Every verb of the command line is one function here, with the same name and the same arguments:

    >>> import dermtwin
    >>> answer = dermtwin.find("lesion.jpg", casebook="cases", k=10)

They are imported on first use, so that `import dermtwin` itself costs next to nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("dermtwin")

_VERBS = (
    "add",
    "adopt_encoder",
    "audit",
    "backup",
    "check",
    "check_encoder",
    "compare",
    "draw",
    "encode",
    "evaluate",
    "evaluate_preparation",
    "export",
    "find",
    "forget",
    "hold",
    "prepare",
    "quantise_encoder",
    "reencode",
    "restore",
    "show_encoder",
    "split",
    "stats",
    "train",
)

__all__ = ["__version__", *_VERBS]


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(import_module(f"dermtwin.verbs.{name}"), name)
    raise AttributeError(f"module 'dermtwin' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
