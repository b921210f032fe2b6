"""The receptive field: how many positions along each spatial axis a tensor depends on."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from kas.language import Step
from kas.language.primitives.linear import Conv, Filter, Mix
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.products import Bmm, contraction
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.primitives.windows import Col2im, SpatialShift
from kas.language.shapes import Shape

__all__ = ["receptive_field"]

Span = tuple[float, float]  # the first and the last position that is read, relative to the own one


def receptive_field(steps: Sequence[Step], shapes: Sequence[Shape], tensor: int, rank: int) -> float:
    """The fewest positions that a tensor depends on along one of the spatial axes; inf for a whole axis, or at rank 0.

    A lower bound: that windows, pooling and upsampling make positions larger is not counted.
    """
    least = inf
    for axis in "hw"[:rank]:
        low, high = _span(steps, shapes, tensor, axis)
        least = min(least, high - low + 1)
    return least


def _span(steps: Sequence[Step], shapes: Sequence[Shape], tensor: int, axis: str) -> Span:
    spans: list[Span] = [(0.0, 0.0)]
    for step in steps[:tensor]:
        low = min(spans[i][0] for i in step.ins)
        high = max(spans[i][1] for i in step.ins)
        before, after = _growth(step, shapes, axis)
        spans.append((low - before, high + after))
    return spans[tensor]


def _growth(step: Step, shapes: Sequence[Shape], axis: str) -> Span:
    """How many positions further a step reads, before and after."""
    if isinstance(step, Conv):
        which = "hw".index(axis)
        wide = step.d[which] * (step.k[which] - 1) / 2
        return wide, wide
    if isinstance(step, Unfold | Filter):
        along = step.over if isinstance(step, Unfold) else step.axis[2:]
        wide = step.d * (step.k - 1) / 2 if axis in along else 0.0
        return wide, wide
    if isinstance(step, Col2im):
        tap = shapes[step.ins[0]].axis(f"0.k{axis}").numerator if axis in step.over else 1
        return step.d * (tap - 1) / 2, step.d * (tap - 1) / 2
    if isinstance(step, SpatialShift):
        moves = [by["hw".index(axis)] for by in step.by]
        return max(moves), -min(moves)
    if isinstance(step, Shift):
        by = step.by if any(name[2:] == axis for name in step.axes) else 0
        return by, -by
    if isinstance(step, Fold | Softmax | Normalize | Mix):
        whole = any(name[2:] == axis for name in step.axes)
        return (inf, inf) if whole else (0.0, 0.0)
    if isinstance(step, Bmm):
        parts = contraction(step, shapes[step.ins[0]], shapes[step.ins[1]])
        whole = axis in parts.over_l or axis in parts.over_r
        return (inf, inf) if whole else (0.0, 0.0)
    if isinstance(step, Matmul):
        contracted = shapes[step.ins[0]].sides[not step.t[0]], shapes[step.ins[1]].sides[step.t[1]]
        whole = any(name == axis for side in contracted for name, _ in side.axes())
        return (inf, inf) if whole else (0.0, 0.0)
    return 0.0, 0.0
