"""Statistics over axes: fold, softmax, normalize."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import exp, inf, log, sqrt

from kas.language.scales.signal import POSITIVE, SLOTS, Parts, Signal, added, constant, extreme, rescaled
from kas.language.scales.walk import Walk

__all__ = ["folded", "normalised", "softened"]

_EPSILON = 1e-6  # of both normalisations

Lengths = Mapping[int, int]  # of the non-empty axes, by slot


@lru_cache(maxsize=1 << 10)
def bits_of(axes: tuple[str, ...]) -> int:
    """The bits of named axes."""
    bits = 0
    for name in axes:
        bits |= SLOTS[name]
    return bits


def count(bits: int, lengths: Lengths) -> int:
    """How many positions there are along the axes with these bits."""
    total = 1
    for slot, length in lengths.items():
        if slot & bits:
            total *= length
    return total


def folded(x: Signal, over: int, how: str, lengths: Lengths, number: int) -> Signal:
    """The mean or the maximum over axes."""
    parts: Parts = {}
    if how == "mean":
        gone = x.centred if x.centred and not x.centred & ~over else 0
        for bits, variance in x.parts.items():
            if not bits & gone:
                added(parts, bits & ~over, variance / count(bits & over, lengths) if bits & over else variance)
        return Signal(x.mean, parts, x.low, x.high, number, x.centred & ~over)
    touched, moving = 0, 0.0
    for bits, variance in x.parts.items():
        if bits & over:
            touched |= bits & over
            moving += variance
    rise, shrink = extreme(count(touched, lengths))
    for bits, variance in x.parts.items():
        added(parts, bits & ~over, variance * shrink if bits & over else variance)
    mean = min(x.mean + rise * sqrt(moving), x.high)
    return Signal(mean, parts, x.low, x.high, number)


def softened(walk: Walk, x: Signal, over: int, number: int) -> Signal:
    """A softmax over axes: what does not vary along them cancels."""
    length = count(over, walk.lengths(number))
    parts = {bits: variance for bits, variance in x.parts.items() if bits & over}
    moving = sum(parts.values())
    walk.sharpest = max(walk.sharpest, moving)
    if moving <= 0.0 or length == 1:
        return constant(1 / length, number)
    second = (exp(moving) if moving < log(length) else length) / length**2  # between evenly spread and all on one
    return Signal(1 / length, rescaled(parts, second - 1 / length**2), POSITIVE, 1.0, number, over)


def normalised(x: Signal, over: int, how: str, lengths: Lengths, number: int) -> Signal:
    """Unit length, or zero mean and unit variance: then what does not vary along the axes cancels."""
    length = count(over, lengths)
    if how == "standard":
        parts = {bits: variance for bits, variance in x.parts.items() if bits & over}
        moving = sum(parts.values())
        if moving <= 0.0 or length == 1:
            return constant(0.0, number)
        return Signal(0.0, rescaled(parts, moving / (moving + _EPSILON)), -inf, inf, number, over)
    factor = 1 / (length * x.second + _EPSILON)
    parts = {bits: variance * factor for bits, variance in x.parts.items()}
    low, high = (0.0 if x.low >= 0 else -1.0), (0.0 if x.high <= 0 else 1.0)
    return Signal(x.mean * sqrt(factor), parts, low, high, number)
