"""Axes over which a tensor adds up to a constant, so that a mean over them is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kas.generation.values import are_shares
from kas.language import Shape, Step
from kas.language.primitives._base import channel_side

__all__ = ["centred_axes", "has_constant_mean"]

_NOTHING: frozenset[str] = frozenset()
_KEPT = ("neg", "shift", "upsample", "bias", "scale")
_SMOOTH = ("gelu", "sigmoid", "tanh", "exp", "sin")  # linear, nearly, for the small shares of a softmax


def centred_axes(tensor: int, steps: Sequence[Step], shapes: Sequence[Shape]) -> frozenset[str]:
    """The axes over which, jointly, the mean of a tensor does not depend on the input: those of a softmax or of a
    `standard` normalisation before it, with steps between that keep the sum over them; none if there are no such axes.
    """
    if not tensor:
        return _NOTHING
    step = steps[tensor - 1]
    op = step.op
    if op == "softmax" or (op == "normalize" and step.how == "standard"):  # type: ignore[attr-defined]
        return frozenset(step.axes)  # type: ignore[attr-defined]
    if op == "matmul":
        return _of_product(step, tensor, steps, shapes)
    if op in _KEPT:
        return centred_axes(step.ins[0], steps, shapes)
    if op in ("filter", "unfold"):
        return _beyond_edges(step, centred_axes(step.ins[0], steps, shapes))
    if op in _SMOOTH:
        return centred_axes(step.ins[0], steps, shapes) if are_shares(step.ins[0], steps) else _NOTHING
    if op in ("fold", "mix"):
        return _after_gathering(step, centred_axes(step.ins[0], steps, shapes))
    if op in ("fc", "conv", "group", "ungroup", "transpose"):
        return _after_channels(step, tensor, steps, shapes)
    return _NOTHING


def has_constant_mean(
    tensor: int, over: tuple[str, ...], steps: Sequence[Step], shapes: Sequence[Shape], whole: Shape | None = None
) -> bool:
    """Whether the mean of a tensor over some axes does not depend on the input, or that of a term of it, if it is a sum.

    `whole`: the shape of the sum that the tensor is a term of, which may be repeated along another side than the axes'.
    """
    ours, whole = shapes[tensor], whole or shapes[tensor]
    axes = centred_axes(tensor, steps, shapes)
    if axes:
        return axes.issubset(over) and all(ours.sides[int(name[0])] is whole.sides[int(name[0])] for name in axes)
    step = steps[tensor - 1] if tensor else None
    if step is None or step.op not in ("add", "sub", "neg"):
        return False
    return any(has_constant_mean(i, over, steps, shapes, whole) for i in step.ins)


def _of_product(step: Step, tensor: int, steps: Sequence[Step], shapes: Sequence[Shape]) -> frozenset[str]:
    """Of a matrix product: the last side if a softmax is over it, otherwise a side that stays and adds up."""
    if step.softmax:  # type: ignore[attr-defined]
        return frozenset(name for name, _ in shapes[tensor].axes() if name[0] == "1")
    t = step.t  # type: ignore[attr-defined]
    for i, stays, becomes in ((step.ins[0], "1" if t[0] else "0", "0"), (step.ins[1], "0" if t[1] else "1", "1")):
        axes = centred_axes(i, steps, shapes)
        if axes and all(name[0] == stays for name in axes):
            return frozenset(becomes + name[1:] for name in axes)
    return _NOTHING


def _after_gathering(step: Step, axes: frozenset[str]) -> frozenset[str]:
    """A mean over some axes leaves the others; a maximum, or a map of one of the axes, leaves none."""
    over: tuple[str, ...] = step.axes  # type: ignore[attr-defined]
    if step.op == "fold" and step.how == "mean":  # type: ignore[attr-defined]
        return axes.difference(over)
    return _NOTHING if step.op == "fold" or not axes.isdisjoint(over) else axes


def _beyond_edges(step: Any, axes: frozenset[str]) -> frozenset[str]:
    """The axes, if no tap along one of them is outside, where it is zero."""
    if step.op == "filter":
        along = [step.axis]
    elif step.op == "unfold":
        along = [f"1.{axis}" for axis in step.over]
    else:
        along = [f"1.{axis}" for axis, k in zip("hw", step.k, strict=True) if k > 1]
    return axes if axes.isdisjoint(along) else _NOTHING


def _after_channels(step: Step, tensor: int, steps: Sequence[Step], shapes: Sequence[Shape]) -> frozenset[str]:
    """A linear map of the other side keeps the axes; a view moves them with the channels if it does not cut them."""
    axes = centred_axes(step.ins[0], steps, shapes)
    if not axes:
        return axes
    before = shapes[step.ins[0]]
    side = 0 if step.op == "conv" else channel_side(before, step.side)  # type: ignore[attr-defined]
    prefix = str(side)
    if all(name[0] != prefix for name in axes):
        return _beyond_edges(step, axes) if step.op == "conv" else axes
    if step.op in ("fc", "conv"):
        return _NOTHING
    g, c = f"{side}.g", f"{side}.c"
    if step.op == "transpose":
        return frozenset(c if name == g else g if name == c else name for name in axes)
    old = {name for name, _ in before.axes() if name in (g, c)}
    new = {name for name, _ in shapes[tensor].axes() if name in (g, c)}
    if axes.isdisjoint(old):
        return axes
    return axes.difference(old).union(new) if old <= axes else _NOTHING
