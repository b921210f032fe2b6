"""Rules for maxima: what keeps the order of its values, or only moves them, comes after the maximum, on what is left.

Where several elements are the largest, torch shares the gradient out among them. A growing function makes new ties only where
its own derivative is zero (relu below 0, exp above 10), so the gradients stay the same too.
"""

from __future__ import annotations

from dataclasses import replace

from kas.language.dims import ONE
from kas.language.primitives.reductions import Fold
from kas.language.primitives.spatial import Shift
from kas.lowering.graph import Graph, Node

__all__ = ["growing", "shifted"]

_GROWING = ("relu", "sigmoid", "tanh", "exp")


def growing(graph: Graph, node: Node) -> Node | None:
    """The maximum of a growing function is the function of the maximum."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if step.how != "max" or source.op not in _GROWING or source in graph.shared:
        return None
    return graph.again(source, (graph.make("fold", source.ins, node.shape, step),), node.shape)


def shifted(graph: Graph, node: Node) -> Node | None:
    """The maximum over an axis does not change when the axis is rolled."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if step.how != "max" or not isinstance(source.step, Shift) or source in graph.shared:
        return None
    shape = source.shape
    for name in step.axes:
        shape = shape.with_axis(name, ONE)
    inner, left = graph.make("fold", source.ins, shape, step), tuple(n for n in source.step.axes if n not in step.axes)
    return graph.make("shift", (inner,), shape, replace(source.step, axes=left)) if left else inner
