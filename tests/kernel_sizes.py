"""Sizes at which a kernel exists, for the tests."""

from __future__ import annotations

from math import lcm

from kas.language import Kernel

__all__ = ["fitting"]


def fitting(kernel: Kernel, size: tuple[int, ...]) -> tuple[int, ...]:
    """The size, each axis made longer where the kernel's windows or pools need a multiple of something."""
    steps = dict.fromkeys("HW", 1)
    for _, dim in kernel.dims:
        for symbol in steps:
            if dim.power_of(symbol) and not dim.power_of("C"):
                steps[symbol] = lcm(steps[symbol], dim.denominator)
    return tuple(-(-length // step) * step for length, step in zip(size, steps.values(), strict=False))
