"""What kernels are made of, as settings of the generation speak of it."""

from __future__ import annotations

from kas.generation.moves import is_local
from kas.language import Kernel

__all__ = ["attributes", "most_open", "ops", "weighted"]

_WEIGHTED = {"fc", "conv", "mix", "filter", "scale", "bias"}


def ops(kernel: Kernel) -> set[str]:
    """The primitives that occur."""
    return {step.op for step in kernel.steps}


def most_open(kernel: Kernel) -> int:
    """The most tensors that no step has read yet at once."""
    left, most = {0}, 1
    for number, step in enumerate(kernel.steps, 1):
        left = (left - set(step.ins)) | {number}
        most = max(most, len(left))
    return most


def weighted(kernel: Kernel) -> float:
    """The share of steps that have weights."""
    return sum(step.op in _WEIGHTED for step in kernel.steps) / len(kernel.steps)


def attributes(kernel: Kernel, name: str) -> set[int]:
    """The values of an attribute of the steps that read neighbours."""
    found: set[int] = set()
    for step in filter(is_local, kernel.steps):
        value = getattr(step, name, ())
        found |= set(value) if isinstance(value, tuple) else {value}
    return found
