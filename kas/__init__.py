"""kas: Kernel Architecture Search.

Finds small graphs of tensor primitives that replace a network's convolutions, faster on a device at nearly the same
accuracy. The public calls are below; what needs torch is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kas import zoo
    from kas.evaluation.latency import latency
    from kas.evaluation.networks import load
    from kas.generation import sample
    from kas.language import Infeasible, InvalidKernel, KasError, Kernel, cost
    from kas.lowering import build, source
    from kas.replacement import Placeholder, find_targets, fuse, replace
    from kas.solvers import Target, solve
    from kas.study.calls.search import search
    from kas.study.calls.study import Study
    from kas.study.sampler import KernelSampler
    from kas.study.suggest import suggest_kernel

__all__ = [
    "Infeasible",
    "InvalidKernel",
    "KasError",
    "Kernel",
    "KernelSampler",
    "Placeholder",
    "Study",
    "Target",
    "build",
    "cost",
    "find_targets",
    "fuse",
    "latency",
    "load",
    "replace",
    "sample",
    "search",
    "solve",
    "source",
    "suggest_kernel",
    "zoo",
]

__version__ = "0.1.0"

_HOMES = {
    "Infeasible": "kas.language",
    "InvalidKernel": "kas.language",
    "KasError": "kas.language",
    "Kernel": "kas.language",
    "KernelSampler": "kas.study.sampler",
    "Placeholder": "kas.replacement",
    "Study": "kas.study.calls.study",
    "Target": "kas.solvers",
    "build": "kas.lowering",
    "cost": "kas.language",
    "find_targets": "kas.replacement",
    "fuse": "kas.replacement",
    "latency": "kas.evaluation.latency",
    "load": "kas.evaluation.networks",
    "replace": "kas.replacement",
    "sample": "kas.generation",
    "search": "kas.study.calls.search",
    "solve": "kas.solvers",
    "source": "kas.lowering",
    "suggest_kernel": "kas.study.suggest",
}


def __getattr__(name: str) -> Any:
    """Load a public call from its package on first use."""
    if name == "zoo":
        return importlib.import_module("kas.zoo")
    if name not in _HOMES:
        raise AttributeError(f"module 'kas' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
