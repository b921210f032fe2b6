"""Rules for unfolded tensors. An unfold stays a promise, a node `taps` of its base and window, and what reads it is moved
below it (here) or becomes a convolution, a pooling or a sum of shifted images (rules_windows). It is only made where nothing of
that fits.
"""

from __future__ import annotations

from dataclasses import replace

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import channel_side
from kas.language.primitives.binary import align
from kas.language.primitives.linear import Filter
from kas.language.primitives.scaling import Scale
from kas.language.primitives.spatial import Unfold
from kas.language.shapes import Shape
from kas.lowering.graph import Graph, Node, Window
from kas.lowering.pointwise import OF_NUMBER

__all__ = ["below", "both", "filter_of_taps", "gate", "scale", "taps", "unfold", "view", "view_of_scale", "without"]


def taps(graph: Graph, base: Node, window: Window) -> Node:
    """The promise of an unfolded base; the base itself where no taps are left."""
    if not window.axes:
        return base
    return graph.make("taps", (base,), _unfolded(base.shape, window), attributes=window)


def _unfolded(shape: Shape, window: Window) -> Shape:
    filled = {f"k{axis}": Dim.of(k) for axis, k in zip("hw", window.k, strict=True) if k > 1}
    return shape.with_side(0, shape.first.with_axes(**filled))


def without(shape: Shape, window: Window) -> Shape:
    return shape.with_side(0, shape.first.with_axes(**{name[2:]: ONE for name in window.axes}))


def unfold(graph: Graph, node: Node) -> Node | None:
    """An unfold is promised; over h and over w apart they are one window."""
    step, base = node.step, node.ins[0]
    assert isinstance(step, Unfold)
    over = [axis in step.over for axis in "hw"]
    k, d = (tuple(value if yes else 1 for yes in over) for value in (step.k, step.d))
    window = Window((k[0], k[1]), (d[0], d[1]))
    if base.op == "taps" and not base.window.fill:
        return taps(graph, base.ins[0], base.window.joined(window))
    if base.shape != without(base.shape, Window((3, 3))):
        return None  # taps over the other axis that were computed, not unfolded
    return taps(graph, base, window)


def view(graph: Graph, node: Node) -> Node | None:
    """A view of the channels of an unfolded tensor is made before the unfold."""
    source = node.ins[0]
    if source.op != "taps" or source.shape.second != node.shape.second:
        return None
    window = source.window
    return taps(graph, graph.make("view", source.ins, without(node.shape, window)), window)


def below(graph: Graph, node: Node) -> Node | None:
    """What treats every tap alike is done before the unfold, on fewer elements, and on what is outside."""
    source = node.ins[0]
    if source.op != "taps" or channel_side(source.shape, getattr(node.step, "side", None)) != 0:
        return None
    moved = graph.again(node, source.ins, without(node.shape, source.window))
    fill = OF_NUMBER[node.op](source.window.fill) if node.op in OF_NUMBER else source.window.fill
    return taps(graph, moved, replace(source.window, fill=fill))


def both(graph: Graph, node: Node) -> Node | None:
    """Two tensors unfolded alike, zeros outside: the function of both keeps zeros, so it is done before the unfold."""
    left, right = node.ins
    if left.op != "taps" or right.op != "taps" or left.window != right.window or left.shape != right.shape:
        return None
    if left.window.fill:
        return None
    return taps(graph, graph.again(node, (left.ins[0], right.ins[0]), right.ins[0].shape), right.window)


def filter_of_taps(graph: Graph, node: Node) -> Node | None:
    """A filter along the channels of an unfolded tensor, zeros outside, is applied before the unfold."""
    source = node.ins[0]
    assert isinstance(node.step, Filter)
    if source.op != "taps" or source.window.fill or node.step.axis != "0.c":
        return None
    return taps(graph, graph.again(node, source.ins, source.ins[0].shape), source.window)


def gate(graph: Graph, node: Node) -> Node | None:
    """A factor for each channel, the same at all positions and taps, is applied before the unfold."""
    left, right = node.ins
    if right.op != "taps" or right.window.fill or left.shape.second.axes():
        return None
    names = align(left.shape.first, right.shape.first)
    if not names.by_name or {"kh", "kw"} & set(names.names):
        return None
    return taps(graph, graph.again(node, (left, right.ins[0]), right.ins[0].shape), right.window)


def view_of_scale(graph: Graph, node: Node) -> Node | None:
    """A scale over all channels, or none, of an unfolded tensor is the same scale after a view of them."""
    source = node.ins[0]
    if source.op != "scale" or source.ins[0].op != "taps":
        return None
    assert isinstance(source.step, Scale)
    before, after = ([name for name, _ in n.shape.axes() if name in ("0.g", "0.c")] for n in (source, node))
    scaled = [name for name in before if name in source.step.axes]
    if scaled not in ([], before) or source.shape.second != node.shape.second:
        return None
    viewed = graph.make("view", source.ins, node.shape)
    axes = (*(after if scaled else []), *(name for name in source.step.axes if name not in before))
    return graph.make("scale", (viewed,), node.shape, replace(source.step, axes=axes), source.number)


def scale(graph: Graph, node: Node) -> Node | None:
    """A scale over channels alone is applied before the unfold."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Scale)
    if source.op != "taps" or source.window.fill or not set(step.axes) <= {"0.g", "0.c"}:
        return None
    return taps(graph, graph.again(node, source.ins, source.ins[0].shape), source.window)
