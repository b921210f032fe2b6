"""What each primitive makes of the signals that it reads: one small function each, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf, sqrt
from typing import Any

from kas.language.dims import ONE
from kas.language.primitives import Step
from kas.language.primitives._base import channel_side
from kas.language.primitives.binary import Binary, align
from kas.language.scales import products, windows
from kas.language.scales.joins import joined, matrix_product, with_squares
from kas.language.scales.pointwise import FUNCTIONS, applied
from kas.language.scales.reductions import bits_of, count, folded, normalised, softened
from kas.language.scales.signal import BATCH, SIDES, SLOTS, Parts, Signal, added, few, weight_bit
from kas.language.scales.walk import Walk, layout
from kas.language.shapes import Shape

__all__ = ["FORMAL", "RULES"]

_MOST = 1e4  # times a fan-in initialisation, or that part of it
_CHANNELS = (SLOTS["0.c"], SLOTS["1.c"])
_POSITIONS = (SLOTS["1.h"], SLOTS["1.w"])
_WIDTH = SIDES[0].bit_length()
_BENT = ("sigmoid", "tanh", "exp", "sin")  # flat, or wild, for large values
FORMAL = 1e-9  # the share of a weight that starts as a constant, which stands for its later changes


def _gain(walk: Walk, number: int) -> float:
    """The second moment that a linear map is to have: 2 where a relu, which halves it, reads the result; 1 elsewhere."""
    after, _ = walk.only_reader(number, ("group", "ungroup", "transpose", "bias", "scale"))
    return 2.0 if after is not None and after.op == "relu" else 1.0


def _restored(walk: Walk, number: int, second: float) -> float:
    """The gain of a weight that brings a second moment to what it is to be."""
    gain = walk.gains[number] = _bounded(_gain(walk, number), second)
    return gain


@lru_cache(maxsize=1 << 12)
def _bounded(wanted: float, second: float) -> float:
    gain = sqrt(wanted / second) if second > 0.0 else 1.0
    return float(f"{min(max(gain, 1 / _MOST), _MOST):.6g}")  # so that what is one but for rounding is one


def _mapped(walk: Walk, number: int, old: int, new: int, inside: bool = True) -> Signal:
    """A linear map with random weights: of the axes `old`, which become `new`; `inside`: no tap of it is outside."""
    x = walk.signals[walk.steps[number - 1].ins[0]]
    factor = _restored(walk, number, x.second) ** 2
    bit = weight_bit(number) | new
    parts: Parts = {}
    added(parts, bit, x.mean * x.mean * factor)
    for bits, variance in x.parts.items():
        added(parts, bits & ~old | bit, variance * factor)
    return Signal(0.0, few(parts), -inf, inf, number, x.centred if inside and not x.centred & old else 0)


def _fc(walk: Walk, step: Any, number: int) -> Signal:
    shape = walk.shapes[step.ins[0]]
    side = channel_side(shape, step.side)
    return _mapped(walk, number, SIDES[side], _CHANNELS[side] if step.to is not ONE else 0)


def _conv(walk: Walk, step: Any, number: int) -> Signal:
    outside = any(k > 1 and slot & walk.signals[step.ins[0]].centred for k, slot in zip(step.k, _POSITIONS, strict=True))
    return _mapped(walk, number, SIDES[0], _CHANNELS[0] if step.to is not ONE else 0, not outside)


def _mix(walk: Walk, step: Any, number: int) -> Signal:
    new = bits_of(tuple(name for name, dim in zip(step.axes, step.to, strict=True) if dim is not ONE))
    return _mapped(walk, number, bits_of(step.axes), new)


def _filter(walk: Walk, step: Any, number: int) -> Signal:
    """The same weights everywhere: what varies along the axis still does, and the taps outside are zero."""
    mapped, slot = _mapped(walk, number, 0, 0), SLOTS[step.axis]
    return mapped._replace(centred=0) if mapped.centred & slot else mapped


def _scale(walk: Walk, step: Any, number: int) -> Signal:
    x, over = walk.signals[step.ins[0]], bits_of(step.axes)
    spread = _summed(walk, step, number)
    parts: Parts = {}
    if spread:
        walk.random.add(number)
        factor = _restored(walk, number, x.second) ** 2 * spread
        walk.gains[number] = sqrt(factor)
        bit = weight_bit(number) | over
        added(parts, bit, x.mean * x.mean * factor)
        for bits, variance in x.parts.items():
            added(parts, bits | bit, variance * factor)
        return Signal(0.0, few(parts), -inf, inf, number)
    start = _restored(walk, number, x.second)
    bit = weight_bit(number)
    for bits, variance in x.parts.items():
        added(parts, bits | bit, variance * start * start)
    added(parts, over | bit, FORMAL * x.mean * x.mean * start * start)
    return Signal(x.mean * start, few(parts), x.low * start, x.high * start, x.root, x.centred)


def _summed(walk: Walk, step: Any, number: int) -> float:
    """How many values with weights of their own a mean adds up that follows a scale, over the square of their share; or 0."""
    after, tensor = walk.only_reader(number, ("group", "ungroup", "transpose"))
    if after is None or after.op != "fold" or after.how != "mean":  # type: ignore[attr-defined]
        return 0.0
    axes: tuple[str, ...] = after.axes  # type: ignore[attr-defined]
    own = [name for name in axes if name in step.axes and (tensor == number or name[2:] not in ("g", "c"))]
    return float(count(bits_of(tuple(own)), walk.lengths(tensor))) if own else 0.0


def _bias(walk: Walk, step: Any, number: int) -> Signal:
    x = walk.signals[step.ins[0]]
    parts = dict(x.parts)
    added(parts, bits_of(step.axes) | weight_bit(number), FORMAL)
    return Signal(x.mean, few(parts), x.low, x.high, x.root, x.centred)


def _views(walk: Walk, step: Any, number: int) -> Signal:
    """Bits of split or joined channels; a shift changes nothing."""
    x = walk.signals[step.ins[0]]
    if step.op == "shift":
        return Signal(x.mean, x.parts, x.low, x.high, number, x.centred)
    side = channel_side(walk.shapes[step.ins[0]], step.side)
    g, c = SLOTS[f"{side}.g"], SLOTS[f"{side}.c"]
    there = layout(walk.shapes[number]).bits
    shuffled = step.op == "transpose"

    def moved(bits: int) -> int:
        if shuffled:
            return bits & ~(g | c) | (c if bits & g else 0) | (g if bits & c else 0)
        return bits & ~(g | c) | ((g | c) & there if bits & (g | c) else 0)

    parts: Parts = {}
    for bits, variance in x.parts.items():
        added(parts, moved(bits), variance)
    return Signal(x.mean, parts, x.low, x.high, number if shuffled else x.root, moved(x.centred))


def _fold(walk: Walk, step: Any, number: int) -> Signal:
    i = step.ins[0]
    return folded(walk.signals[i], bits_of(step.axes), step.how, walk.lengths(i), number)


def _softmax(walk: Walk, step: Any, number: int) -> Signal:
    return softened(walk, walk.signals[step.ins[0]], bits_of(step.axes), number)


def _normalize(walk: Walk, step: Any, number: int) -> Signal:
    i = step.ins[0]
    return normalised(walk.signals[i], bits_of(step.axes), step.how, walk.lengths(i), number)


def _pointwise(walk: Walk, step: Step, number: int) -> Signal:
    x = walk.signals[step.ins[0]]
    if step.op in _BENT:
        walk.sharpest = max(walk.sharpest, x.second)
    return applied(step.op, x)


def _binary(walk: Walk, step: Binary, number: int) -> Signal:
    left, right = (walk.signals[i] for i in step.ins)
    source, target = (walk.shapes[i] for i in step.ins)
    if source is not target:
        parts: Parts = {}
        for bits, variance in left.parts.items():
            added(parts, _broadcast(bits, source, target), variance)
        left = left._replace(parts=parts, centred=_broadcast(left.centred, source, target))
    if getattr(step, "swap", False):
        left, right = right, left
    return joined(step.op, left, right, number)


def _broadcast(bits: int, source: Shape, target: Shape) -> int:
    """The bits of a part of the left operand in the axes of the right one."""
    for number, side in enumerate(SIDES):
        if bits & side and not _by_name(source, target, number):
            bits = bits & ~side | layout(target).sides[number]
    return bits


@lru_cache(maxsize=1 << 14)
def _by_name(source: Shape, target: Shape, number: int) -> bool:
    return align(source.sides[number], target.sides[number]).by_name


def _matmul(walk: Walk, step: Any, number: int) -> Signal:
    left, right = (walk.signals[i] for i in step.ins)
    over_l, over_r = 0 if step.t[0] else 1, 1 if step.t[1] else 0  # the contracted sides
    ours = _contracted(left, over_l, 0, walk.lengths(step.ins[0]))
    theirs = _contracted(right, over_r, 1, walk.lengths(step.ins[1]))
    length = walk.value(walk.shapes[step.ins[0]].sides[over_l].product)
    result = matrix_product(ours, theirs, (left.mean, right.mean), length, number)
    centred = 0
    for x, over, to in ((left, over_l, 0), (right, over_r, 1)):  # a sum over an axis that stays
        if x.centred and not x.centred & SIDES[over]:
            centred = _moved(x.centred, over, to)
    result = result._replace(centred=centred)
    if left.root == right.root and over_l == over_r:
        rows = walk.value(walk.shapes[step.ins[0]].sides[1 - over_l].product)
        result = with_squares(result, left, right, (length, rows), layout(walk.shapes[number]).bits | BATCH)
    if not step.softmax:
        return result
    return softened(walk, result, layout(walk.shapes[number]).sides[1], number)


def _contracted(x: Signal, over: int, to: int, lengths: dict[int, int]) -> list[tuple[int, float, int]]:
    """The parts of an operand as `matrix_product` wants them: the side that stays moves to side `to` of the result."""
    found = [(0, x.mean * x.mean, 1)]
    for bits, variance in x.parts.items():
        found.append((_moved(bits, over, to), variance, count(bits & SIDES[over], lengths)))
    return found


def _moved(bits: int, over: int, to: int) -> int:
    """The bits of the side that is not `over`, moved to side `to`, and those that are of no axis."""
    side = bits & SIDES[1 - over]
    return bits & ~(SIDES[0] | SIDES[1]) | (side << _WIDTH if to > 1 - over else side >> _WIDTH if to < 1 - over else side)


RULES: dict[str, Callable[[Walk, Any, int], Signal]] = {
    **dict.fromkeys(("group", "ungroup", "transpose", "shift"), _views),
    **dict.fromkeys(FUNCTIONS, _pointwise),
    **dict.fromkeys(("add", "sub", "mul", "div", "max", "min"), _binary),
    "fold": _fold,
    "softmax": _softmax,
    "normalize": _normalize,
    "fc": _fc,
    "conv": _conv,
    "mix": _mix,
    "filter": _filter,
    "scale": _scale,
    "bias": _bias,
    "matmul": _matmul,
    **windows.RULES,
    **products.RULES,
}
