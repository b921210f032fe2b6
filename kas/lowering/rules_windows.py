"""Rules for unfolded tensors that are reduced or mapped: convolutions, poolings, sums of shifted images."""

from __future__ import annotations

from dataclasses import replace

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import product
from kas.language.primitives.linear import Fc, Mix
from kas.language.primitives.reductions import Fold
from kas.language.primitives.scaling import Scale
from kas.lowering.binary import broadcast_marks
from kas.lowering.graph import Convolution, Graph, Node, Weight
from kas.lowering.rules_taps import taps, without

__all__ = ["fc", "fc_scaled", "fold_apart", "fold_base", "fold_max", "fold_mean", "fold_product", "fold_scaled", "mix"]


def fold_base(graph: Graph, node: Node) -> Node | None:
    """Channels are folded before the unfold, apart from the taps: zeros are outside either way."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    own = tuple(name for name in step.axes if name in ("0.g", "0.c"))
    if source.op != "taps" or not own:
        return None
    base = source.ins[0]
    shape = base.shape
    for name in own:
        shape = shape.with_axis(name, ONE)
    folded = taps(graph, graph.make("fold", (base,), shape, replace(step, axes=own)), source.window)
    rest = tuple(name for name in step.axes if name not in own)
    return graph.make("fold", (folded,), node.shape, replace(step, axes=rest)) if rest else folded


def fold_apart(graph: Graph, node: Node) -> Node | None:
    """A mean over taps and positions is one over taps, and then one over positions."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    sides = [tuple(name for name in step.axes if name[0] == number) for number in "01"]
    unfolded = source.op == "taps" or (source.op == "scale" and source.ins[0].op == "taps" and source not in graph.shared)
    if step.how != "mean" or not unfolded or not all(sides):
        return None
    shape = source.shape
    for name in sides[0]:
        shape = shape.with_axis(name, ONE)
    first = graph.make("fold", (source,), shape, replace(step, axes=sides[0]))
    return graph.make("fold", (first,), node.shape, replace(step, axes=sides[1]))


def fold_max(graph: Graph, node: Node) -> Node | None:
    """The maximum over taps is a pooling.

    Where several neighbours are the largest, its gradient goes to the first of them; that of the plain lowering is shared out.
    """
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if source.op != "taps" or step.how != "max" or step.axes[0][0] != "0":
        return None
    window = source.window.over(step.axes)
    pooled = graph.make("maxpool", source.ins, source.ins[0].shape, attributes=window)
    return taps(graph, pooled, source.window.over(step.axes, keep=False))


def fold_mean(graph: Graph, node: Node) -> Node | None:
    """The mean over taps is a depthwise convolution with a constant weight: several times faster than a pooling on a CPU."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if source.op != "taps" or step.how != "mean" or step.axes[0][0] != "0":
        return None
    base, window = source.ins[0], source.window.over(step.axes)
    channels = base.shape.first.product
    weight = Weight("constant", count=Dim.of(window.taps))
    convolution = Convolution(window, channels, channels, weight)
    averaged = graph.make("convolve", source.ins, base.shape, attributes=convolution)
    return taps(graph, averaged, source.window.over(step.axes, keep=False))


def fold_scaled(graph: Graph, node: Node) -> Node | None:
    """A mean over what was scaled is a convolution: depthwise if the channels stay, dense over those that it removes."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if source.op != "scale" or step.how != "mean" or step.axes[0][0] != "0" or source.ins[0].op != "taps":
        return None
    assert isinstance(source.step, Scale)
    unfolded, scaled = source.ins[0], source.step.axes
    base, window = unfolded.ins[0], unfolded.window.over(step.axes)
    kept = unfolded.window.over(step.axes, keep=False)
    if any(name[0] == "1" or name in kept.axes for name in scaled):
        return None
    side = base.shape.first
    g, c = side.dim("g"), side.dim("c")
    if "0.g" in step.axes and "0.c" not in step.axes and c is not ONE:
        return None
    groups = ONE if "0.g" in step.axes or (g is ONE and "0.c" in step.axes) else g if "0.c" in step.axes else g * c
    full = (g, c, *(Dim.of(k) for k in window.k))
    form = tuple(dim if name in scaled else ONE for name, dim in zip(("0.g", "0.c", "0.kh", "0.kw"), full, strict=True))
    count = product(unfolded.shape.axis(name) for name in step.axes)
    weight = Weight("mean", scale=source.number, full=full, scale_form=form, count=count)
    result = without(node.shape, kept)
    made = graph.make("convolve", (base,), result, attributes=Convolution(window, groups, groups, weight))
    return taps(graph, made, kept)


def fold_product(graph: Graph, node: Node) -> Node | None:
    """The mean over all taps of a product with an unfolded tensor is a sum of shifted images."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if source.op != "mul" or step.how != "mean":
        return None
    factors, unfolded = source.ins
    if unfolded.op != "taps" and factors.op == "taps" and factors.shape == unfolded.shape:
        factors, unfolded = unfolded, factors
    if unfolded.op != "taps" or step.axes != unfolded.window.axes:
        return None
    base, window = unfolded.ins[0], unfolded.window
    there = [i for i, dim in enumerate(base.shape.second.dims) if dim is not ONE]
    parts = [base.shape.first.product, *(Dim.of(window.k[i]) for i in there), *(base.shape.second.dims[i] for i in there)]
    cut = _cut(graph, broadcast_marks(factors.shape, unfolded.shape), parts)
    if cut is None or any(len(entries) > 1 for entries in cut[1:]):
        return None
    marks = tuple(entries[0][1] if entries else False for entries in cut[1:])
    return graph.make("local", (factors, base), node.shape, attributes=(window, tuple(cut[0]), marks))


def _cut(graph: Graph, marked: list[tuple[Dim, bool]], parts: list[Dim]) -> list[list[tuple[Dim, bool]]] | None:
    """Marked runs of elements, cut into consecutive parts with the given products; None if they cannot be cut there."""
    todo, found = [entry for entry in marked if entry[0] is not ONE], []
    for part in parts:
        entries: list[tuple[Dim, bool]] = []
        missing = part
        while missing is not ONE:
            if not todo:
                return None
            dim, mark = todo.pop(0)
            if dim is not missing and graph.code.constant(dim) and graph.code.constant(missing):
                rest = dim / missing
                if all(not one.fault and one.rational(graph.code.env).denominator == 1 for one in (missing, rest)):
                    todo.insert(0, (rest, mark))
                    dim = missing
            entries.append((dim, mark))
            missing = missing / dim
        found.append(entries)
    return found if not todo else None


def _convolution(graph: Graph, node: Node, unfolded: Node, weight: Weight) -> Node:
    """fc of an unfolded tensor."""
    assert isinstance(node.step, Fc)
    convolution = Convolution(unfolded.window, unfolded.shape.first.dim("g"), node.step.to, weight)
    return graph.make("convolve", unfolded.ins, node.shape, attributes=convolution)


def fc(graph: Graph, node: Node) -> Node | None:
    """fc of an unfolded tensor is a convolution, grouped by g."""
    source = node.ins[0]
    return _convolution(graph, node, source, Weight("parameter", node.number)) if source.op == "taps" else None


def fc_scaled(graph: Graph, node: Node) -> Node | None:
    """fc of an unfolded tensor with a scale over channels and taps is a convolution with the product of the weights."""
    source = node.ins[0]
    if source.op != "scale" or source.ins[0].op != "taps":
        return None
    assert isinstance(source.step, Scale)
    unfolded, scaled = source.ins[0], source.step.axes
    if any(name[0] == "1" for name in scaled):
        return None
    names = ("0.g", "0.c", "0.kh", "0.kw")
    full = tuple(unfolded.shape.axis(name) for name in names)
    form = tuple(dim if name in scaled else ONE for name, dim in zip(names, full, strict=True))
    weight = Weight("product", node.number, source.number, full, form)
    return _convolution(graph, node, unfolded, weight)


def mix(graph: Graph, node: Node) -> Node | None:
    """mix over all taps, and perhaps channels next to them, is a convolution that all other channels share."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Mix)
    if source.op != "taps":
        return None
    axes = [f"0.{name}" for name, _ in source.shape.first.axes()]
    mixed = list(step.axes)
    if not set(source.window.axes) <= set(mixed) or mixed != axes[len(axes) - len(mixed) :]:
        return None
    groups = product(source.shape.axis(name) for name in axes[: len(axes) - len(mixed)])
    convolution = Convolution(source.window, groups, groups * product(step.to), Weight("repeated", node.number))
    return graph.make("convolve", source.ins, node.shape, attributes=convolution)
