"""What the steps of a program alone say about the values of a tensor: their sign, their distance from zero, what cancels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kas.language import Step

__all__ = ["are_shares", "cancels", "is_away_from_zero", "made", "sign", "ungrouped"]

_VIEWS = ("group", "ungroup", "transpose", "shift")
_COPIES = (*_VIEWS, "window", "unwindow", "subpixel", "upsample")  # every value of the result is a value of the operand
_KEEP_SIGN = (*_COPIES, "spatial_shift", "unfold", "fold", "scale", "bias", "pool", "col2im", "tanh", "gelu")
_NOT_NEGATIVE = ("abs", "relu", "sigmoid", "exp", "sqr", "sqrt", "softmax")
_TAPS = ("kh", "kw")


def made(tensor: int, steps: Sequence[Step]) -> Step | None:
    """The step that makes a tensor, looking through views; None for the input."""
    while tensor:
        step = steps[tensor - 1]
        if step.op not in _VIEWS:
            return step
        tensor = step.ins[0]
    return None


def ungrouped(tensor: int, steps: Sequence[Step]) -> int:
    """The tensor that another one is, but for how its channels are grouped or numbered as taps."""
    while tensor and steps[tensor - 1].op in ("group", "ungroup", "subpixel"):
        tensor = steps[tensor - 1].ins[0]
    return tensor


def are_shares(tensor: int, steps: Sequence[Step]) -> bool:
    """Whether the values of a tensor are those of a softmax, but for signs and places."""
    while tensor:
        step = steps[tensor - 1]
        if step.op == "softmax" or getattr(step, "softmax", False):
            return True
        if step.op not in _COPIES and step.op not in ("neg", "unfold", "spatial_shift"):
            return False
        tensor = step.ins[0]
    return False


def sign(tensor: int, steps: Sequence[Step]) -> int:
    """1 where all values of a tensor start at 0 or more, -1 at 0 or less, 0 where it is unknown."""
    flip = 1
    while tensor:
        step = steps[tensor - 1]
        op = step.op
        if op in _NOT_NEGATIVE or (op in ("matmul", "bmm") and step.softmax):  # type: ignore[attr-defined]
            return flip
        if len(step.ins) == 2:
            return flip * _sign_of_two(op, sign(step.ins[0], steps), sign(step.ins[1], steps))
        if op == "neg":
            flip = -flip
        elif op not in _KEEP_SIGN:
            return 0
        tensor = step.ins[0]
    return 0


def _sign_of_two(op: str, one: int, other: int) -> int:
    if op in ("mul", "div", "matmul", "bmm", "reassemble"):
        return one * other
    if op == "sub":
        other = -other
    if one == other:
        return one  # add, sub, min, max
    return {"min": min(one, other, 0), "max": max(one, other, 0)}.get(op, 0)


def is_away_from_zero(tensor: int, steps: Sequence[Step]) -> bool:
    """Whether practically no value of a tensor starts near zero, so that a quotient by it has a bounded gradient.

    A quotient by values that have a density at zero has not: the square of its gradient goes with the fourth power of
    their inverse. Sigmoids and exponentials are away from zero, and sums of many values of one sign.
    """
    while tensor:
        step: Any = steps[tensor - 1]
        op = step.op
        if op in ("sigmoid", "exp"):
            return True
        if op in ("matmul", "bmm"):
            return not step.softmax and sign(tensor, steps) != 0
        if op == "fold":
            if any(name[2:] not in _TAPS for name in step.axes) and sign(step.ins[0], steps):
                return True
        elif len(step.ins) == 2:
            return _is_pair_away(step, steps)
        elif op not in _COPIES and op not in ("neg", "pool", "scale", "bias"):
            return False
        tensor = step.ins[0]
    return False


def _is_pair_away(step: Step, steps: Sequence[Step]) -> bool:
    """Of a function of two tensors."""
    one, other = (is_away_from_zero(i, steps) for i in step.ins)
    if step.op in ("mul", "min"):
        return one and other and (step.op == "mul" or sign(step.ins[0], steps) > 0 < sign(step.ins[1], steps))
    if step.op in ("add", "max"):
        return (one or other) and all(sign(i, steps) > 0 for i in step.ins)
    return False


_INVERSES = {"add": ("add", "sub"), "sub": ("add", "sub"), "mul": ("mul", "div"), "div": ("mul", "div")}
_LATTICE = ("max", "min")


def cancels(step: Step, steps: Sequence[Step]) -> bool:
    """Whether an operand drops out of a function of two tensors: a - (a - b), (a · b) / b, max(a, min(a, b))."""
    op, before = step.op, [steps[i - 1].op if i else "" for i in (ungrouped(i, steps) for i in step.ins)]
    if op in _LATTICE:
        for i, j in (step.ins, step.ins[::-1]):
            first = steps[j - 1] if j else None
            if first is not None and first.op in _LATTICE and i in first.ins:
                return True
        return False
    pair = _INVERSES.get(op)
    if pair is None or not any(one in pair or one == "neg" for one in before):
        return False
    powers: dict[int, int] = {}
    _collect(step, 1, pair, steps, powers)
    return 0 in powers.values()


def _collect(step: Any, power: int, pair: tuple[str, str], steps: Sequence[Step], powers: dict[int, int]) -> None:
    """How often each tensor is a term of a sum, or a factor of a product, that is made of sums, or products, before it."""
    inverse = step.op == pair[1]
    for place, i in enumerate(step.ins):
        ours = -power if inverse and place != int(step.swap) else power
        i = ungrouped(i, steps)
        while i and steps[i - 1].op == "neg":
            i = ungrouped(steps[i - 1].ins[0], steps)
            ours = -ours if pair[0] == "add" else ours
        if i and steps[i - 1].op in pair:
            _collect(steps[i - 1], ours, pair, steps, powers)
        else:
            powers[i] = powers.get(i, 0) + ours
