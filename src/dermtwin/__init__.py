"""dermtwin finds, for a picture of a skin lesion, the most similar diagnosed cases.

Every verb of the command line is one function here, with the same name and the same arguments:

    >>> import dermtwin
    >>> answer = dermtwin.find("lesion.jpg", casebook="cases", k=10)

They are imported on first use, so that `import dermtwin` itself costs next to nothing.
"""

import os
from importlib import import_module
from importlib.metadata import version
from typing import Any

# ONNX Runtime's own packages else keep a device id and report each model to their maker; it looks
# here once, when it is loaded: https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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
    "map",
    "prepare",
    "quantise_encoder",
    "reencode",
    "restore",
    "show_encoder",
    "split",
    "stats",
    "train",
)

# Those that share a file, or lie in a higher room.
_ELSEWHERE = {
    "add_token": "verbs.users",
    "add_user": "verbs.users",
    "list_tokens": "verbs.users",
    "list_users": "verbs.users",
    "remove_token": "verbs.users",
    "remove_user": "verbs.users",
    "serve": "web.serving",
    "set_user_openid": "verbs.users",
    "set_user_password": "verbs.users",
    "set_user_role": "verbs.users",
}

__all__ = ["__version__", *_ELSEWHERE, *_VERBS]


def __getattr__(name: str) -> Any:
    if name in _VERBS or name in _ELSEWHERE:
        room = _ELSEWHERE.get(name, f"verbs.{name}")
        return getattr(import_module(f"dermtwin.{room}"), name)
    raise AttributeError(f"module 'dermtwin' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
