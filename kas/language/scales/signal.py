"""What is expected of the values of a tensor before any training: their mean, and their variance by what it runs over.

The variance of a tensor is a sum of *parts*, one for each set of things that a part of the values varies with (as in an
analysis of variance): the samples of the batch, axes of the tensor, the weights of single steps. A mean over an axis
divides the parts that vary along it and leaves the others; a softmax over it cancels the others.
"""

from __future__ import annotations

from math import exp, inf, log, pi, sqrt
from typing import NamedTuple

__all__ = [
    "BATCH", "POSITIVE", "SIDES", "SLOTS", "Parts", "Signal", "added", "constant", "density", "extreme", "few", "rescaled",
    "weight_bit",
]  # fmt: skip

Parts = dict[int, float]

_AXES = ("g", "c", "kh", "kw", "h", "w")
SLOTS = {f"{side}.{name}": 1 << (len(_AXES) * side + place) for side in (0, 1) for place, name in enumerate(_AXES)}
SIDES = (0x03F, 0xFC0)
BATCH = 0x1000
POSITIVE = 1e-300  # the lower bound of what is never zero
_MOST_PARTS = 10


class Signal(NamedTuple):
    """Mean of all values; variance by the set of bits that a part varies with; bounds.

    Two tensors with the same `root` are functions of single elements of one tensor, so that they are not independent.
    `centred` are the bits of axes over which, jointly, the sum of every part is exactly zero (after a softmax over them).
    """

    mean: float
    parts: Parts
    low: float
    high: float
    root: int
    centred: int = 0

    @property
    def variance(self) -> float:
        return sum(self.parts.values())

    @property
    def second(self) -> float:
        """The second moment."""
        return self.mean * self.mean + sum(self.parts.values())


def weight_bit(number: int) -> int:
    """The bit of the weight of step `number` (from 1)."""
    return BATCH << number


def constant(value: float, root: int) -> Signal:
    """A tensor of one value."""
    return Signal(value, {}, value, value, root)


def added(parts: Parts, bits: int, variance: float) -> None:
    """Add a part."""
    if variance > 0.0:
        parts[bits] = parts.get(bits, 0.0) + variance


def few(parts: Parts) -> Parts:
    """The parts, the smallest ones joined where there are many: a joint part varies with all that they vary with."""
    if len(parts) <= _MOST_PARTS:
        return parts
    order = sorted(parts.items(), key=lambda part: -part[1])
    kept = dict(order[: _MOST_PARTS - 1])
    joined = 0
    for bits, _ in order[_MOST_PARTS - 1 :]:
        joined |= bits
    added(kept, joined, sum(variance for _, variance in order[_MOST_PARTS - 1 :]))
    return kept


def rescaled(parts: Parts, variance: float) -> Parts:
    """The parts with another sum."""
    total = sum(parts.values())
    if total <= 0.0 or variance <= 0.0:
        return {}
    factor = variance / total
    return {bits: part * factor for bits, part in parts.items()}


def density(mean: float, variance: float) -> float:
    """The density of a normal variable at zero."""
    if variance <= 0.0:
        return 0.0 if mean else inf
    return exp(max(-mean * mean / (2 * variance), -700.0)) / sqrt(2 * pi * variance)


def extreme(count: float) -> tuple[float, float]:
    """Mean and variance of the largest of `count` standard normal values, roughly."""
    if count < 2:
        return 0.0, 1.0
    reach = sqrt(2 * log(count))
    mean = max(reach - (log(log(count)) + log(4 * pi)) / (2 * reach), 0.56)
    return mean, min(1.6 / (1 + reach * reach), 1.0)
