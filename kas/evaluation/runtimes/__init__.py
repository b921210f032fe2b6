"""What networks are run in for inference: one small file each. The names need no torch; the rest loads on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

from kas.evaluation._checks import one_of
from kas.evaluation.settings import RuntimeName

if TYPE_CHECKING:
    import torch

    from kas.evaluation.runtimes._base import Refusal, Runtime

__all__ = ["RUNTIMES", "Refusal", "Runtime", "installed", "make_runtime"]

RUNTIMES: tuple[str, ...] = get_args(RuntimeName)

_CLASSES = {"eager": "Eager", "compile": "Compile", "onnxruntime": "OnnxRuntime"}


def make_runtime(name: str, device: torch.device | str = "cpu") -> Runtime:
    """The runtime of that name for networks on `device`; whether it works there says its `missing()`.

    Raises KasError for an unknown name.

    >>> make_runtime("eager").version().startswith("torch 2.")
    True
    """
    one_of("runtime", name, RuntimeName)
    made: Runtime = getattr(import_module(f"kas.evaluation.runtimes.{name}"), _CLASSES[name])(device)
    return made


def installed(device: torch.device | str = "cpu") -> list[Runtime]:
    """The runtimes that work here for networks on `device`, in the order of RUNTIMES.

    >>> installed()[0].name
    'eager'
    """
    return [runtime for runtime in (make_runtime(name, device) for name in RUNTIMES) if runtime.missing() is None]


def __getattr__(name: str) -> Any:
    if name not in ("Refusal", "Runtime"):
        raise AttributeError(f"module 'kas.evaluation.runtimes' has no attribute {name!r}")
    return getattr(import_module("kas.evaluation.runtimes._base"), name)
