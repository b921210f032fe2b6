"""Products of two tensors for each of several groups, windows, rows or columns, and for each position."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from kas.language.primitives.products import contraction
from kas.language.scales.joins import matrix_product, with_squares
from kas.language.scales.reductions import bits_of, count, softened
from kas.language.scales.signal import BATCH, SIDES, SLOTS, Parts, Signal
from kas.language.scales.walk import Walk, layout

__all__ = ["RULES"]

_AXES = SIDES[0] | SIDES[1]


def _operand(x: Signal, places: dict[str, str], over: int, lengths: dict[int, int]) -> list[tuple[int, float, int]]:
    """The parts of an operand as `matrix_product` wants them; `places`: where each axis is in the result."""
    found = [(0, x.mean * x.mean, 1)]
    for bits, variance in x.parts.items():
        found.append((_moved(bits, places), variance, count(bits & over, lengths)))
    return found


def _moved(bits: int, places: dict[str, str]) -> int:
    new = bits & ~_AXES
    for old, name in places.items():
        if bits & SLOTS[old]:
            new |= SLOTS[name]
    return new


def _bmm(walk: Walk, step: Any, number: int) -> Signal:
    left, right = (walk.signals[i] for i in step.ins)
    shapes = [walk.shapes[i] for i in step.ins]
    parts = contraction(step, *shapes)
    over_l, over_r = int(not step.t[0]), int(step.t[1])
    batch = {name: f"{home}.{name}" for home, name in zip(parts.homes, step.batch, strict=True)}
    ours = {f"{1 - over_l}.{name}": f"0.{name}" for name in parts.kept_l} | _named(shapes[0], batch)
    theirs = {f"{1 - over_r}.{name}": f"1.{name}" for name in parts.kept_r} | _named(shapes[1], batch)
    bits_l = bits_of(tuple(f"{over_l}.{name}" for name in parts.over_l))
    bits_r = bits_of(tuple(f"{over_r}.{name}" for name in parts.over_r))
    length = walk.value(parts.contracted)
    result = matrix_product(
        _operand(left, ours, bits_l, walk.lengths(step.ins[0])),
        _operand(right, theirs, bits_r, walk.lengths(step.ins[1])),
        (left.mean, right.mean),
        length,
        number,
    )
    if left.root == right.root and over_l == over_r:
        result = with_squares(result, left, right, (length, walk.value(parts.rows)), layout(parts.result).bits | BATCH)
    if not step.softmax:
        return result
    return softened(walk, result, bits_of(tuple(f"1.{name}" for name in parts.kept_r)), number)


def _named(shape: Any, batch: dict[str, str]) -> dict[str, str]:
    """Where the axes of the batch are in the result, by their full names in an operand."""
    return {full: batch[full[2:]] for full, _ in shape.axes() if full[2:] in batch}


def _reassemble(walk: Walk, step: Any, number: int) -> Signal:
    """A sum over the taps, which is not divided by its root."""
    left, right = (walk.signals[i] for i in step.ins)
    lengths = [walk.lengths(i) for i in step.ins]
    places = ("1.h", "1.w")
    ours = {name: name for name in ("0.g", "0.c", *places)}
    theirs = {name: name for name in ("0.g", "0.kh", "0.kw", *places)}
    taps = bits_of(("0.kh", "0.kw"))
    length = count(taps, lengths[0])
    result = matrix_product(
        _operand(left, ours, taps, lengths[0]),
        _operand(right, theirs, SLOTS["0.c"], lengths[1]),
        (left.mean, right.mean),
        length,
        number,
    )
    parts: Parts = {bits: variance * length for bits, variance in result.parts.items()}
    return result._replace(mean=result.mean * sqrt(length), parts=parts)


RULES: dict[str, Callable[[Walk, Any, int], Signal]] = {"bmm": _bmm, "reassemble": _reassemble}
