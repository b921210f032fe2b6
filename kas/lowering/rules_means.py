"""Rules for means. What is linear, or acts on each element alike, comes after the mean where it can: on what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import channel_side
from kas.language.primitives.binary import align
from kas.language.primitives.linear import Fc, Filter, Mix
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.reductions import Fold
from kas.language.primitives.scaling import Bias, Scale
from kas.language.primitives.spatial import Shift
from kas.language.primitives.views import Transpose
from kas.language.shapes import Shape
from kas.lowering.graph import Graph, Node, Weight

__all__ = ["mean"]

Axes = frozenset[str]


def mean(graph: Graph, node: Node) -> Node | None:
    """The mean of a value that nothing else reads, by the rule for what made the value."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Fold)
    if step.how != "mean" or source in graph.shared or source.op not in _MEANS:
        return None
    return _MEANS[source.op](graph, node, source, frozenset(step.axes))


def folded(graph: Graph, source: Node, axes: Iterable[str]) -> Node:
    """The mean of a node over some of its axes; the node itself for none."""
    chosen = set(axes)
    there = tuple(name for name, _ in source.shape.axes() if name in chosen)
    return graph.make("fold", (source,), _without(source.shape, there), Fold((), there, "mean")) if there else source


def _without(shape: Shape, axes: Iterable[str]) -> Shape:
    for name in axes:
        shape = shape.with_axis(name, ONE)
    return shape


def _pushed(graph: Graph, node: Node, source: Node, before: Axes, after: Axes) -> Node | None:
    """Fold the first input of `source` over some axes, do `source`, and fold what is left."""
    if not before:
        return None
    inner = folded(graph, source.ins[0], before)
    made = graph.again(source, (inner, *source.ins[1:]), _without(source.shape, before))
    return folded(graph, made, after)


def _fold(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """Two means are one."""
    assert isinstance(source.step, Fold)
    if source.step.how != "mean":
        return None
    return folded(graph, source.ins[0], axes | set(source.step.axes))


def _own_axes(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """A scale, bias, mix or filter commutes with a mean over the axes that it does not act on."""
    assert isinstance(source.step, Scale | Bias | Mix | Filter)
    own = {source.step.axis} if isinstance(source.step, Filter) else set(source.step.axes)
    return _pushed(graph, node, source, axes - own, axes & own)


def _neg(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    return _pushed(graph, node, source, axes, frozenset())


def _fc(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """A linear map of one side commutes with a mean over the other."""
    assert isinstance(source.step, Fc)
    number = str(channel_side(source.ins[0].shape, source.step.side))
    own = frozenset(name for name in axes if name[0] == number)
    return _pushed(graph, node, source, axes - own, own)


def _convolve(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """A linear map of channels, as fc; with taps, it is one of the means of the shifted images. Over all outputs: below."""
    convolution, base = source.convolution, source.ins[0]
    space = frozenset(name for name, _ in source.shape.axes() if name[0] == "1")
    gone = axes & space
    if not gone:
        return _outputs(graph, node, source, axes)
    if not set(convolution.window.axes) & {f"0.k{name[2]}" for name in gone}:
        return _pushed(graph, node, replace(source, attributes=replace(convolution, last=False)), gone, axes - space)
    if convolution.window.fill:
        return None
    if gone < space:
        made = _one_axis(graph, source, next(iter(gone)))
        return None if made is None else folded(graph, made, axes - space)
    filled = graph.make("cover", (base,), _without(base.shape, space), attributes=(convolution.window, "hw"))
    made = graph.make("covered", (filled,), _without(source.shape, space), attributes=convolution)
    return folded(graph, made, axes - space)


def _one_axis(graph: Graph, source: Node, name: str) -> Node | None:
    """The mean over `1.h` or `1.w` of a convolution of both: one over the other axis, of the shifted images' means."""
    convolution, base = source.convolution, source.ins[0]
    window, axis, tap = convolution.window, name[2], f"0.k{name[2]}"
    if base.shape.first.dim("kh") is not ONE or base.shape.first.dim("kw") is not ONE:
        return None
    k = window.over((tap,)).taps
    filled = graph.make(
        "cover", (base,), _without(base.shape, (name,)).with_axis(tap, Dim.of(k)), attributes=(window.over((tap,)), axis)
    )
    weight = convolution.weight
    if axis == "w":
        inner = base.shape.first.product / convolution.groups
        full = (convolution.out, inner, *(Dim.of(value) for value in window.k))
        weight = Weight("turned", full=full, count=convolution.groups, inner=weight)
    left = replace(convolution, window=window.over((tap,), keep=False), weight=weight, last=False)
    return graph.make("convolve", (filled,), _without(source.shape, (name,)), attributes=left)


def _outputs(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """The mean over all channels that a map makes is a map to one channel, with the mean of its weights."""
    convolution, base = source.convolution, source.ins[0]
    if axes != {name for name, _ in source.shape.axes() if name[0] == "0"} or convolution.out is ONE:
        return None
    there = [k for k, dim in zip(convolution.window.k, base.shape.second.dims, strict=True) if dim is not ONE]
    taps = tuple(map(Dim.of, there)) if convolution.window.taps > 1 else ()
    full = (convolution.out, base.shape.first.product / convolution.groups, *taps)
    weight = Weight("averaged", full=full, count=convolution.groups, inner=convolution.weight)
    one = replace(convolution, groups=ONE, out=ONE, weight=weight, last=False)
    return graph.make("convolve", source.ins, node.shape, attributes=one)


def _shift(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """The mean over an axis does not change when the axis is rolled."""
    assert isinstance(source.step, Shift)
    inner, left = folded(graph, source.ins[0], axes), tuple(name for name in source.step.axes if name not in axes)
    return graph.make("shift", (inner,), node.shape, replace(source.step, axes=left)) if left else inner


def _view(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """A side that a view leaves alone is folded before it, one that it changes if all of it goes."""
    before: set[str] = set()
    after: set[str] = set()
    inner = source.ins[0]
    for number in (0, 1):
        mine = {name for name in axes if name[0] == str(number)}
        if inner.shape.sides[number] == source.shape.sides[number]:
            before |= mine
        elif mine and mine == {f"{number}.{name}" for name, _ in source.shape.sides[number].axes()}:
            before |= {f"{number}.{name}" for name, _ in inner.shape.sides[number].axes()}
        else:
            after |= mine
    if not before:
        return None
    made = graph.make("view", (folded(graph, inner, before),), _without(source.shape, axes - after))
    return folded(graph, made, after)


def _transpose(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """The two axes by their old names; if one goes, the other is only renamed."""
    assert isinstance(source.step, Transpose)
    side = channel_side(source.shape, source.step.side)
    names = {f"{side}.g": f"{side}.c", f"{side}.c": f"{side}.g"}
    inner = folded(graph, source.ins[0], {names.get(name, name) for name in axes})
    op = "view" if axes & set(names) else "transpose"
    return graph.make(op, (inner,), node.shape, source.step if op == "transpose" else None)


def _taps(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """Positions that no tap moves along are folded before the unfold."""
    still = frozenset(name for name in axes if name in ("1.h", "1.w") and f"0.k{name[2]}" not in source.window.axes)
    return _pushed(graph, node, source, still, axes - still)


def _named(left: Shape, right: Shape) -> Axes | None:
    """The axes of the left operand where it is broadcast by name, None where it is not."""
    if not all(align(ours, theirs).by_name for ours, theirs in zip(left, right, strict=True)):
        return None
    return frozenset(name for name, _ in left.axes())


def _sum(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """The mean of a sum is the sum of the means."""
    left, right = source.ins
    named = _named(left.shape, right.shape)
    if named is None:
        return None
    ins = (folded(graph, left, axes & named), folded(graph, right, axes))
    return graph.make(source.op, ins, node.shape, source.step)


def _product(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """A factor (or, swapped, a divisor) that does not have an axis is applied after the mean over it."""
    left, right = source.ins
    named = _named(left.shape, right.shape)
    if named is None or not axes - named or (source.op == "div" and not getattr(source.step, "swap", False)):
        return None
    inner = folded(graph, right, axes - named)
    made = graph.make(source.op, (left, inner), _without(source.shape, axes - named), source.step)
    return folded(graph, made, axes & named)


def _matmul(graph: Graph, node: Node, source: Node, axes: Axes) -> Node | None:
    """The mean over rows of a product is the product of the mean row; so for columns."""
    step = source.step
    assert isinstance(step, Matmul)
    if step.softmax:
        return None
    ins = []
    for number, operand in enumerate(source.ins):
        own = number if not step.t[number] else 1 - number
        ins.append(folded(graph, operand, {f"{own}{name[1:]}" for name in axes if name[0] == str(number)}))
    return graph.make("matmul", (ins[0], ins[1]), node.shape, step)


_MEANS: dict[str, Callable[[Graph, Node, Node, Axes], Node | None]] = {
    "fold": _fold,
    "neg": _neg,
    "scale": _own_axes,
    "bias": _own_axes,
    "mix": _own_axes,
    "filter": _own_axes,
    "fc": _fc,
    "convolve": _convolve,
    "shift": _shift,
    "view": _view,
    "transpose": _transpose,
    "taps": _taps,
    "add": _sum,
    "sub": _sum,
    "mul": _product,
    "div": _product,
    "matmul": _matmul,
}
