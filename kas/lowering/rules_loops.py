"""A value over taps that is made element by element and then reduced over all taps is a loop: one shifted image at a time.

The loop's body is a small graph of its own, without the tap axes. Nothing of it is ever there for more than one tap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kas.language.dims import ONE
from kas.language.primitives._base import channel_side
from kas.language.primitives.binary import Binary, Div, align
from kas.language.primitives.linear import Fc, Mix
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.language.primitives.scaling import Bias, Scale
from kas.language.shapes import Shape
from kas.lowering.graph import Graph, Node, TapLoop, Window
from kas.lowering.pointwise import OF_NUMBER

__all__ = ["fc", "fold", "mix"]

_TAPS = ("0.kh", "0.kw")
_WIDER = 2  # an fc of taps is a loop where its result has at most so many times the channels of one tap
_POSITIONS = 200  # and its image at least so many positions


@dataclass
class _Body:
    """The nodes of a loop under construction."""

    outer: Graph
    graph: Graph
    known: dict[Node, Node | None] = field(default_factory=dict)
    leaves: dict[Node, Node] = field(default_factory=dict)  # nodes outside, and what stands for them in the body

    def leaf(self, node: Node) -> Node:
        if node not in self.leaves:
            self.leaves[node] = self.graph.make("outside", (), node.shape, attributes=(len(self.leaves),))
        return self.leaves[node]

    def one(self, node: Node) -> Node | None:
        """A node for one tap, None if it cannot be made tap by tap."""
        if node not in self.known:
            self.known[node] = self._one(node)
        return self.known[node]

    def _one(self, node: Node) -> Node | None:
        if not _over_taps(node.shape):
            return None if any(name in ("1.kh", "1.kw") for name, _ in node.shape.axes()) else self.leaf(node)
        if node.op == "taps":
            base = node.ins[0]
            return (
                None
                if _over_taps(base.shape)
                else self.graph.make("tap", (self.leaf(base),), base.shape, attributes=node.window)
            )
        if node in self.outer.shared or not _tap_by_tap(node):
            return None
        if isinstance(node.step, Div):
            return self._quotient(node)
        ins = [self.one(read) for read in node.ins]
        made = tuple(read for read in ins if read is not None)
        if len(made) < len(ins):
            return None
        if isinstance(node.step, Scale | Bias) and set(node.step.axes) & set(_TAPS):
            axes = tuple((dim, name, name in node.step.axes) for name, dim in node.shape.axes())
            if node.op == "affine":  # a scale, then the bias
                assert isinstance(node.attributes, tuple)
                made = (self.graph.make("tap scale", made, one_tap(node.shape), attributes=(*node.attributes, axes)),)
            op = "tap scale" if node.op == "scale" else "tap bias"
            return self.graph.make(op, made, one_tap(node.shape), attributes=(node.number, axes))
        return self.graph.make(node.op, made, one_tap(node.shape), node.step, node.number, node.attributes)

    def _quotient(self, node: Node) -> Node | None:
        """A quotient; what has no taps is pushed away from zero once, before the loop."""
        below = 0 if getattr(node.step, "swap", False) else 1
        ins, op = list(node.ins), "div"
        if not _over_taps(ins[below].shape):
            op, ins[below] = "quotient", self.outer.make("nonzero", (ins[below],), ins[below].shape)
        made = [self.one(read) for read in ins]
        left, right = made
        if left is None or right is None:
            return None
        return self.graph.make(op, (left, right), one_tap(node.shape), node.step)


def _over_taps(shape: Shape) -> tuple[str, ...]:
    return tuple(name for name, _ in shape.axes() if name in _TAPS)


def one_tap(shape: Shape) -> Shape:
    """A shape without its taps."""
    return shape.with_side(0, shape.first.with_axes(kh=ONE, kw=ONE))


def _tap_by_tap(node: Node) -> bool:
    """Whether a node treats each tap by itself."""
    step = node.step
    if isinstance(step, Binary):
        return align(node.ins[0].shape.first, node.ins[1].shape.first).by_name
    if isinstance(step, Fold | Softmax | Normalize):
        return not set(step.axes) & set(_TAPS)
    if node.op == "view":
        return _over_taps(node.ins[0].shape) == _over_taps(node.shape)
    return node.op in OF_NUMBER or isinstance(step, Scale | Bias) or node.op == "transpose"


def _loop(graph: Graph, node: Node, how: str, ends: _End) -> Node | None:
    """The loop whose body ends as `ends` says; None if the value cannot be made tap by tap."""
    source = node.ins[0]
    if source.op == "taps" or source in graph.shared:
        return None
    body = _Body(graph, Graph(graph.code, graph.rules))
    inner = body.one(source)
    windows = [n.window for n in body.graph.nodes if n.op == "tap"]
    if inner is None or not windows:
        return None
    k = tuple(source.shape.first.dim(name).numerator for name in ("kh", "kw"))
    if any(own not in (1, whole) for window in windows for own, whole in zip(window.k, k, strict=True)):
        return None
    last = ends(body.graph, inner)
    nodes = tuple(_needed(body.graph, last))
    leaves = {outer: leaf for outer, leaf in body.leaves.items() if any(leaf in n.ins for n in nodes)}
    made = TapLoop(how, Window((k[0], k[1])), nodes, tuple(leaves.values()), last)
    return graph.make("loop", tuple(leaves), node.shape, attributes=made)


def _needed(graph: Graph, last: Node) -> Iterable[Node]:
    needed = {last}
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.ins)
    return (node for node in graph.nodes if node in needed and node.op != "outside")


class _End:
    """How a body ends: what is still done to the value of one tap before it is added up."""

    def __init__(self, node: Node):
        self.node = node

    def __call__(self, body: Graph, one: Node) -> Node:
        return one


class _FoldEnd(_End):
    def __call__(self, body: Graph, one: Node) -> Node:
        step = self.node.step
        assert isinstance(step, Fold)
        rest = tuple(name for name in step.axes if name not in _TAPS)
        return body.make("fold", (one,), self.node.shape, replace(step, axes=rest)) if rest else one


class _WeightEnd(_End):
    """The part of the weight of an fc or a mix for one tap."""

    def __call__(self, body: Graph, one: Node) -> Node:
        step, source = self.node.step, self.node.ins[0]
        assert isinstance(step, Fc | Mix)
        names = step.axes if isinstance(step, Mix) else ("0.g", "0.c", *_over_taps(source.shape))
        axes = tuple((source.shape.axis(name), name) for name in names)
        return body.make(f"tap {self.node.op}", (one,), self.node.shape, attributes=(self.node.number, axes))


def fold(graph: Graph, node: Node) -> Node | None:
    """A mean or maximum over all taps, and perhaps other axes."""
    step = node.step
    assert isinstance(step, Fold)
    taps = _over_taps(node.ins[0].shape)
    if not taps or not set(taps) <= set(step.axes):
        return None
    return _loop(graph, node, step.how, _FoldEnd(node))


def mix(graph: Graph, node: Node) -> Node | None:
    """A weighted sum of the taps."""
    step = node.step
    assert isinstance(step, Mix)
    if set(step.axes) != set(_over_taps(node.ins[0].shape)) or any(dim is not ONE for dim in step.to):
        return None
    return _loop(graph, node, "sum", _WeightEnd(node))


def fc(graph: Graph, node: Node) -> Node | None:
    """A linear map of channels and taps: the sum of a linear map of the channels for each tap."""
    step, shape = node.step, node.ins[0].shape
    assert isinstance(step, Fc)
    if not _over_taps(shape) or channel_side(shape, step.side) != 0:
        return None
    channels, out, positions = (
        dim.value(graph.code.env) for dim in (one_tap(shape).first.product, step.to, shape.second.product)
    )
    if out > _WIDER * channels or positions < _POSITIONS:
        return None  # adding up the results of all taps, or cutting the weight, would take longer than keeping the taps
    return _loop(graph, node, "sum", _WeightEnd(node))
