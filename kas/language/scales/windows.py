"""Neighbours, windows, sub-pixels, pooling, upsampling, overlapping sums and shifts of parts: values move, and some add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Any

from kas.language.scales.reductions import bits_of
from kas.language.scales.signal import SIDES, SLOTS, Parts, Signal, added, extreme, few
from kas.language.scales.walk import Walk, layout

__all__ = ["RULES"]

_CHANNELS, _PLACES = SLOTS["0.c"], SLOTS["1.h"] | SLOTS["1.w"]


def _there(walk: Walk, number: int) -> int:
    """The bits of the axes that the result of a step has, and of all that is no axis."""
    return layout(walk.shapes[number]).bits | ~(SIDES[0] | SIDES[1])


def _moved(x: Signal, move: Callable[[int], int], number: int, centred: int = 0) -> Signal:
    """The same values elsewhere: what they vary with moves."""
    parts: Parts = {}
    for bits, variance in x.parts.items():
        added(parts, move(bits), variance)
    return Signal(x.mean, few(parts), x.low, x.high, number, centred)


def _pairs(over: Iterable[str]) -> list[int]:
    """The bits of the tap and the position along each axis."""
    return [SLOTS[f"0.k{axis}"] | SLOTS[f"1.{axis}"] for axis in over]


def _unfold(walk: Walk, step: Any, number: int) -> Signal:
    x = walk.signals[step.ins[0]]
    parts: Parts = {}
    for bits, variance in x.parts.items():
        for axis in step.over:
            if bits & SLOTS[f"1.{axis}"]:
                bits |= SLOTS[f"0.k{axis}"]
        added(parts, bits, variance)
    centred = 0 if x.centred & bits_of(tuple(f"1.{axis}" for axis in step.over)) else x.centred  # taps outside are zero
    return Signal(x.mean, parts, min(x.low, 0.0), max(x.high, 0.0), number, centred)


def _window(walk: Walk, step: Any, number: int) -> Signal:
    """What varies along positions varies with the window and with the place in it."""
    x, there = walk.signals[step.ins[0]], _there(walk, number)

    def split(bits: int) -> int:
        for pair in _pairs(step.over):
            bits |= pair if bits & pair & _PLACES else 0
        return bits & there

    return _moved(x, split, number, split(x.centred))


def _unwindow(walk: Walk, step: Any, number: int) -> Signal:
    x, before = walk.signals[step.ins[0]], layout(walk.shapes[step.ins[0]]).bits
    whole = all(not x.centred & pair or x.centred & pair == before & pair for pair in _pairs(step.over))

    def joined(bits: int) -> int:
        for pair in _pairs(step.over):
            bits = bits & ~pair | (pair & _PLACES if bits & pair else 0)
        return bits

    return _moved(x, joined, number, joined(x.centred) if whole else 0)


def _subpixel(walk: Walk, step: Any, number: int) -> Signal:
    x, there = walk.signals[step.ins[0]], _there(walk, number)
    taps = _CHANNELS | bits_of(tuple(f"0.k{axis}" for axis in step.over))

    def split(bits: int) -> int:
        return (bits | taps if bits & _CHANNELS else bits) & there

    return _moved(x, split, number, split(x.centred))


def _upsample(walk: Walk, step: Any, number: int) -> Signal:
    x = walk.signals[step.ins[0]]
    return Signal(x.mean, x.parts, x.low, x.high, number, x.centred)


def _pool(walk: Walk, step: Any, number: int) -> Signal:
    """A mean divides the variance along each axis by k; a maximum is that of the values that differ."""
    x, there = walk.signals[step.ins[0]], _there(walk, number)
    slots = [SLOTS[f"1.{axis}"] for axis in step.over]
    gone = x.centred if x.centred and not x.centred & there else 0  # all of a centred axis in one window
    differ = {bits: step.k ** sum(bool(bits & slot) for slot in slots) for bits in x.parts}
    parts: Parts = {}
    if step.how == "mean":
        for bits, variance in x.parts.items():
            if not bits & gone:
                added(parts, bits & there, variance / differ[bits])
        return Signal(x.mean, parts, x.low, x.high, number, x.centred & there)
    rise, shrink = extreme(max(differ.values(), default=1))
    moving = sum(variance for bits, variance in x.parts.items() if differ[bits] > 1)
    for bits, variance in x.parts.items():
        added(parts, bits & there, variance * shrink if differ[bits] > 1 else variance)
    return Signal(min(x.mean + rise * sqrt(moving), x.high), parts, x.low, x.high, number)


def _col2im(walk: Walk, step: Any, number: int) -> Signal:
    """The sum of taps that come from as many positions; those that vary with neither are equal, and add up in step."""
    x, channels = walk.signals[step.ins[0]], walk.shapes[step.ins[0]].first
    total, parts = 1, dict(x.parts)
    for axis, pair in zip(step.over, _pairs(step.over), strict=True):
        taps = walk.value(channels.dim(f"k{axis}"))
        total *= taps
        parts = {bits: variance * (taps if bits & pair else taps * taps) for bits, variance in parts.items()}
    low, high = x.low * (total if x.low < 0 else 1), x.high * (total if x.high > 0 else 1)
    summed = Signal(x.mean * total, parts, low, high, number)
    there = _there(walk, number)
    return _moved(summed, lambda bits: bits & there, number)


def _spatial_shift(walk: Walk, step: Any, number: int) -> Signal:
    """What varies along positions alone varies with the part too."""
    x = walk.signals[step.ins[0]]
    moved = _moved(x, lambda bits: bits | _CHANNELS if bits & _PLACES else bits, number, x.centred if step.pad == "roll" else 0)
    return moved if step.pad != "zero" else moved._replace(low=min(x.low, 0.0), high=max(x.high, 0.0))


RULES: dict[str, Callable[[Walk, Any, int], Signal]] = {
    "unfold": _unfold,
    "window": _window,
    "unwindow": _unwindow,
    "subpixel": _subpixel,
    "upsample": _upsample,
    "pool": _pool,
    "col2im": _col2im,
    "spatial_shift": _spatial_shift,
}
