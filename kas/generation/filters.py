"""Steps that are legal but void: they do nothing, undo what came before, or start without a sane scale. Not generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from kas.generation.centred import has_constant_mean
from kas.generation.values import are_shares, cancels, is_away_from_zero, made, sign, ungrouped
from kas.language import Shape, Step
from kas.language.dims import ONE
from kas.language.primitives._base import channel_side

__all__ = ["is_void"]

Rule = Callable[[Any, Sequence[Step], Sequence[Shape]], bool]

_LINEAR = ("fc", "conv", "mix")
_POINTWISE = ("gelu", "relu", "sigmoid", "tanh", "abs", "exp", "neg", "sin", "sqrt", "sqr")
_MOVES = ("window", "unwindow", "subpixel", "upsample", "spatial_shift")  # values, as they are; some may be repeated
_EVEN = ("sqr", "abs", "sqrt")  # after a neg or an abs it makes no difference
_EXPLOSIVE = ("exp", "sqr", "div")
_INVERSE = {"ungroup": "group", "group": "ungroup", "transpose": "transpose"}
_UNDONE = {
    "unwindow": ("window",),
    "window": ("unwindow",),
    "pool": ("pool", "upsample"),
    "upsample": ("upsample",),
    "col2im": ("unfold",),
}
_MOST_FACTORS = 4  # of an element, with no linear map or bounded function between


def is_void(step: Step, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    """Whether a legal step, put after `steps`, is pointless. `shapes` are those of all tensors so far, the input first."""
    for i in step.ins:
        if i >= len(shapes):
            return False
    rule = _RULES.get(step.op)
    return rule is not None and rule(step, steps, shapes)


def _factors(tensor: int, steps: Sequence[Step], most: int) -> int:
    """How many values are multiplied for an element of a tensor; counted up to a bit more than `most`."""
    total, todo = 0, [(tensor, 1)]
    while todo and total <= most:
        tensor, times = todo.pop()
        op = steps[tensor - 1].op if tensor else ""
        if op in ("mul", "matmul", "bmm", "reassemble"):
            todo += [(i, times) for i in steps[tensor - 1].ins]
        elif op == "sqr":
            todo.append((steps[tensor - 1].ins[0], 2 * times))
        elif op in ("relu", "gelu", "abs", "neg", "group", "ungroup", "transpose", "shift", "unfold", "scale", "bias", *_MOVES):
            todo.append((steps[tensor - 1].ins[0], times))
        else:
            total += (3 if op in ("exp", "div") else 1) * times
    return total


def _weight(step: Step, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    if not step.ins[0]:
        return True  # a weight on the input, which the next linear map absorbs
    first = made(step.ins[0], steps)
    if first is None or first.op == step.op:
        return True  # one weight over the axes of both does the same
    if step.op == "bias":
        return are_shares(step.ins[0], steps)  # of one, which a few updates would drown
    return first.op in _LINEAR  # the weight before it absorbs this one


def _pointwise(step: Step, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    first = made(step.ins[0], steps)
    if first is None:
        return False
    op, before = step.op, first.op
    if before in _POINTWISE:
        if op == before or (op in _EVEN and before in ("neg", "abs")):
            return True  # the same function twice; an even function of a sign
        if {op, before} == {"sqr", "sqrt"}:
            return True  # the absolute value
        again = made(first.ins[0], steps)
        if again is not None and again.op in _POINTWISE:
            return True  # a third function of single elements in a row
    if op in _EXPLOSIVE and before in _EXPLOSIVE:
        return True  # values grow without bound
    if op in ("relu", "abs"):
        return sign(step.ins[0], steps) != 0  # the identity, or nothing is left
    return op == "sqr" and 2 * _factors(step.ins[0], steps, _MOST_FACTORS // 2) > _MOST_FACTORS


def _view(step: Step, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    return bool(step.ins[0]) and steps[step.ins[0] - 1].op == _INVERSE[step.op]  # undoes what came before


def _windows(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    """Undoes what came before, or the one before could do both."""
    if not step.ins[0]:
        return False
    first: Any = steps[step.ins[0] - 1]
    if first.op not in _UNDONE.get(step.op, ()) or step.over != first.over:
        return False
    return step.op not in ("window", "unwindow", "pool") or first.op == "upsample" or _manner(step) == _manner(first)


def _manner(step: Any) -> Any:
    return step.how if step.op == "pool" else step.grid


def _filter(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    """A second one along the same axis; or one along channels that a dense map before it absorbs."""
    first: Any = made(step.ins[0], steps)
    if first is None or first.op not in ("filter", "fc", "conv"):
        return False
    if first.op == "filter":
        return bool(first.axis == step.axis)
    shape = shapes[first.ins[0]]
    side = 0 if first.op == "conv" else channel_side(shape, first.side)
    dense = shape.sides[side].dim("g") is ONE and not getattr(first, "depthwise", False)
    return dense and step.axis == f"{side}.c"


def _fc(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    """One number for a whole sample."""
    return step.to is ONE and any(side.product is ONE for side in shapes[step.ins[0]])


def _statistics(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    first = made(step.ins[0], steps)
    if first is not None and first.op in ("bias", "scale", "softmax", "normalize"):
        return True  # ignores it, or nearly so
    if step.op == "softmax":
        return first is not None and first.op == "exp"  # of which the largest is the only one that counts
    return _are_few(shapes[step.ins[0]], step.axes, shapes[0])


@lru_cache(maxsize=1 << 12)
def _are_few(shape: Shape, axes: tuple[str, ...], source: Shape) -> bool:
    """Whether so few values are normalised together, taps or a row of a small image, that all may be zero, or alike.

    The gradient is 1000 times the usual one there, as behind a rectifier.
    """
    dims = [shape.axis(name) for name in axes]
    if any(dim.power_of("C") or dim.variables for dim in dims):
        return False
    image = sum(dim is not ONE for dim in source.second.dims)
    return sum(dim.power_of("H") + dim.power_of("W") for dim in dims) < max(1, image)


def _fold(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    i = step.ins[0]
    if len(step.axes) == len(shapes[i].axes()):
        return True  # one number for a whole sample: near zero as a mean, and no gradient reaches what is behind it
    if not i:
        return False
    first = steps[i - 1]
    if first.op == "fold" and first.how == step.how:
        return True  # one joint fold does the same
    return step.how == "mean" and has_constant_mean(i, step.axes, steps, shapes)


def _binary(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    i, j = step.ins
    if i == j:
        return True  # a function of one tensor, which the functions of single elements cover
    i, j = ungrouped(i, steps), ungrouped(j, steps)
    if i == j:
        return True  # one tensor, differently grouped
    left, right = steps[i - 1] if i else None, steps[j - 1] if j else None
    op = step.op
    for one, other, source in ((left, right, j), (right, left, i)):
        if one is None or not one.ins or ungrouped(one.ins[0], steps) != source:
            continue
        if one.op == "bias" or (one.op in ("neg", "abs", "relu") and other is not one):
            return True  # sub(x, bias(x)) and its like: a constant, or another bias; add(x, neg x) and its like
    if left is not None and left == right and (op in ("add", "sub") or left.op not in _LINEAR):
        return True  # two equal computations without weights, or a re-parametrisation of one
    if cancels(step, steps):
        return True
    if op in ("max", "min"):
        return sign(i, steps) * sign(j, steps) < 0  # always the same one of both
    if op == "mul":
        return _factors(i, steps, _MOST_FACTORS) + _factors(j, steps, _MOST_FACTORS) > _MOST_FACTORS
    return op == "div" and _quotient(step, steps)


def _quotient(step: Any, steps: Sequence[Step]) -> bool:
    """By what may be near zero, or of what is large."""
    dividend, divisor = step.ins[::-1] if step.swap else step.ins
    first = steps[dividend - 1] if dividend else None
    return (first is not None and first.op in _EXPLOSIVE) or not is_away_from_zero(divisor, steps)


def _matmul(step: Any, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    i, j = step.ins
    if getattr(step, "softmax", False) and step.ins[0] == step.ins[1]:
        return True  # each row is nearest to itself by far: the softmax starts as the identity, without a gradient
    return _factors(i, steps, _MOST_FACTORS) + _factors(j, steps, _MOST_FACTORS) > _MOST_FACTORS


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(("add", "sub", "mul", "div", "max", "min"), _binary),
    **dict.fromkeys(("scale", "bias"), _weight),
    **dict.fromkeys(("group", "ungroup", "transpose"), _view),
    **dict.fromkeys(("softmax", "normalize"), _statistics),
    **dict.fromkeys(("window", "unwindow", "pool", "upsample", "col2im"), _windows),
    "filter": _filter,
    "fc": _fc,
    "fold": _fold,
    **dict.fromkeys(("matmul", "bmm", "reassemble"), _matmul),
}
