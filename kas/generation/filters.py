"""Steps that are legal but void: they do nothing, or undo what came before. They are not generated."""

from __future__ import annotations

from collections.abc import Sequence

from kas.language import Shape, Step
from kas.language.primitives.binary import Binary
from kas.language.primitives.pointwise import Pointwise
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.language.primitives.scaling import Bias, Scale

__all__ = ["is_void"]

_NOT_NEGATIVE = ("abs", "relu", "sigmoid", "exp", "sqr", "sqrt", "softmax")
_SIGNED_ONLY = ("relu", "abs")  # the identity on what is not negative
_EVEN = ("sqr", "abs", "sqrt")  # after a neg or an abs it makes no difference
_EXPLOSIVE = ("exp", "sqr", "div")


def is_void(step: Step, steps: Sequence[Step], shapes: Sequence[Shape]) -> bool:
    """Whether a step, put after `steps`, is pointless: each line below is one reason."""
    if any(i >= len(shapes) for i in step.ins):
        return False
    before = [steps[i - 1] if i else None for i in step.ins]
    first = before[0]
    if isinstance(step, Binary):
        return _is_void_binary(step, before)
    if first is None:
        return isinstance(step, Scale | Bias)  # a weight on the input, which the next linear map absorbs
    if isinstance(step, Pointwise):
        if isinstance(first, Pointwise) and step.op == first.op:
            return True  # twice the same function
        if step.op in _SIGNED_ONLY and first.op in _NOT_NEGATIVE:
            return True
        if step.op in _EVEN and first.op in ("neg", "abs"):
            return True
        if step.op in _EXPLOSIVE and first.op in _EXPLOSIVE:
            return True  # values grow without bound
        if isinstance(first, Pointwise) and first.ins[0] and isinstance(steps[first.ins[0] - 1], Pointwise):
            return True  # a third function of single elements in a row
    if (step.op, first.op) in (("ungroup", "group"), ("group", "ungroup"), ("transpose", "transpose")):
        return True  # undoes what came before
    if isinstance(step, Scale | Bias) and type(step) is type(first):
        return True  # one weight over the axes of both does the same
    if isinstance(step, Scale) and first.op in ("fc", "conv", "mix"):
        return True  # the weight before it absorbs this one
    if isinstance(step, Softmax | Normalize) and isinstance(first, Bias | Scale | Softmax | Normalize):
        return True  # ignores what the step before it did, or nearly so
    if isinstance(step, Fold) and isinstance(first, Softmax | Normalize):
        return set(step.axes) >= set(first.axes)  # a mean that is constant
    return isinstance(step, Fold) and isinstance(first, Fold) and step.how == first.how  # one joint fold does the same


def _is_void_binary(step: Binary, before: list[Step | None]) -> bool:
    if step.ins[0] == step.ins[1]:
        return True  # a function of one tensor, which the functions of single elements cover
    left, right = before
    for one, other, source in ((left, right, step.ins[1]), (right, left, step.ins[0])):
        if isinstance(one, Bias) and one.ins[0] == source:
            return True  # sub(x, bias(x)) and its like: a constant, or another bias
        if one is not None and one.op in ("neg", "abs", "relu") and one.ins[0] == source and other is not one:
            return True  # add(x, neg x) and its like
    if left is not None and left == right and (step.op in ("add", "sub") or left.op not in ("fc", "conv", "mix")):
        return True  # two equal computations without weights, or a re-parametrisation of one
    return step.op == "div" and any(one is not None and one.op in _EXPLOSIVE for one in before)
