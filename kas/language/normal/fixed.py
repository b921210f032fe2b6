"""Steps that no rule rewrites: windows, pooling and the like, batched products. Equal ones of equal tensors are one node."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kas.language.kernel import Kernel
from kas.language.normal.graph import Graph
from kas.language.primitives import Step
from kas.language.shapes import Shape

__all__ = ["FIXED", "fixed"]

FIXED = ("window", "unwindow", "pool", "upsample", "col2im", "spatial_shift", "bmm", "reassemble")


def fixed(graph: Graph, kernel: Kernel, number: int, ins: tuple[int, ...]) -> int:
    """The edge of a step's result; `ins` are those of its operands, in the orientation of the program."""
    step, result = kernel.steps[number - 1], kernel.shapes[number]
    attrs = _attrs(step.op, _attributes(step), tuple(kernel.shapes[i] for i in step.ins))
    return graph.intern("fixed", attrs, ins, (result.first.product, result.second.product))


def _attributes(step: Step) -> tuple[Any, ...]:
    return tuple([getattr(step, name) for name in step.codecs()])


@lru_cache(maxsize=4096)
def _attrs(op: str, attributes: tuple[Any, ...], shapes: tuple[Shape, ...]) -> tuple[Any, ...]:
    """What the step does, and to which axes: channels count together where groups do not matter."""
    sides = []
    for shape in shapes:
        first, second = shape.first.dims, shape.second.dims
        whole = op in ("bmm", "reassemble")
        sides.append((first if whole else (first[0] * first[1], *first[2:]), second))
    return (op, attributes, tuple(sides))
