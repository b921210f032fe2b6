"""From a program to its graph: one reader for each kind of primitive. Views become nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from kas.language.dims import Dim
from kas.language.kernel import Kernel
from kas.language.normal.arithmetic import add, extreme, multiply, quotient, scaled
from kas.language.normal.attributes import broadcast, conv_attrs, fc_attrs, filter_attrs, mix_attrs, perm_attrs, unf_attrs
from kas.language.normal.chains import chain
from kas.language.normal.fixed import FIXED, fixed
from kas.language.normal.graph import Graph, Node, Number, Term
from kas.language.normal.layout import Layout, cut, layout_of, or_full
from kas.language.normal.maps import weight
from kas.language.shapes import CHANNEL, Shape

__all__ = ["read"]

Attrs = tuple[Any, ...]
cached = lru_cache(maxsize=4096)


class _Reading:
    """The state while a program is read: the graph, and the edge of every tensor in the orientation of the program."""

    __slots__ = ("edges", "factors", "graph", "kernel", "shapes")

    def __init__(self, kernel: Kernel, graph: Graph, factors: Mapping[int, Number]):
        self.kernel, self.graph, self.factors = kernel, graph, factors
        self.shapes = kernel.shapes
        graph.nodes.append(_input(self.shapes[0]))
        self.edges = [0]

    def weighted(self, token: int, edge: int) -> int:
        """The result of a step whose weight was multiplied with a number, which is taken back."""
        number = self.factors.get(token, 1)
        return edge if number == 1 else scaled(self.graph, quotient(1, number), edge)


def read(kernel: Kernel, graph: Graph, factors: Mapping[int, Number]) -> int:
    """The edge of the output, channels first. `factors`: what the weight of a step is multiplied with."""
    state = _Reading(kernel, graph, factors)
    for token, step in enumerate(kernel.steps, 1):
        state.edges.append(_READERS[step.op](state, step, state.shapes[step.ins[0]], token))
    return state.edges[-1] ^ int(state.shapes[-1].first.kind != CHANNEL)


@cached
def _input(shape: Shape) -> Node:
    """The node of the input, the first of every graph."""
    return Node("in", (), (), 0, "", _products(shape))


def _products(shape: Shape) -> tuple[Dim, Dim]:
    return shape.first.product, shape.second.product


def _view(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    edge: int = state.edges[step.ins[0]]
    return edge


def _transpose(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    return state.graph.make("perm", perm_attrs(shape, step.side), state.edges[step.ins[0]])


def _shift(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    edge: int = state.edges[step.ins[0]]
    for axis in step.axes:
        edge = state.graph.make("roll", (layout_of(shape, (axis,)), step.by), edge)
    return edge


def _unfold(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    return state.graph.make("unf", unf_attrs(shape, step.over, step.k, step.d), state.edges[step.ins[0]])


def _fold(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    op = "mean" if step.how == "mean" else "peak"
    return state.graph.make(op, (layout_of(shape, step.axes),), state.edges[step.ins[0]])


def _softmax(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    return state.graph.make("softmax", (layout_of(shape, step.axes),), state.edges[step.ins[0]])


def _normalize(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    return state.graph.make(step.how, (layout_of(shape, step.axes),), state.edges[step.ins[0]])


def _fc(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    edge = state.graph.make("lin", fc_attrs(shape, step.side, step.to), state.edges[step.ins[0]], token)
    return state.weighted(token, edge) if state.factors else edge


def _conv(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    edge = state.graph.make("lin", conv_attrs(shape, step.to, step.k, step.d, step.depthwise), state.edges[step.ins[0]], token)
    return state.weighted(token, edge) if state.factors else edge


def _mix(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    op, attrs = mix_attrs(shape, step.axes, step.to)
    edge = state.graph.make(op, attrs, state.edges[step.ins[0]], token)
    return state.weighted(token, edge) if state.factors else edge


def _filter(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    unf, op, attrs = filter_attrs(shape, step.axis, step.k, step.d)
    edge = state.edges[step.ins[0]]
    edge = state.graph.make(op, attrs, edge if unf is None else state.graph.make("unf", unf, edge), token)
    return state.weighted(token, edge) if state.factors else edge


@cached
def _weight_layout(shape: Shape, axes: tuple[str, ...]) -> Layout | None:
    return or_full(layout_of(shape, axes))


def _scale(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    layout = _weight_layout(shape, step.axes)
    terms = [(1, layout, weight(state.graph, token)), (1, None, state.edges[step.ins[0]])]
    return state.weighted(token, multiply(state.graph, terms, _products(shape)))


def _bias(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    number = state.factors.get(token, 1)
    layout = _weight_layout(shape, step.axes)
    terms: list[Term] = [(quotient(1, number), layout, weight(state.graph, token)), (1, None, state.edges[step.ins[0]])]
    return add(state.graph, terms, _products(shape))


def _pointwise(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    edge = state.edges[step.ins[0]]
    if step.op == "neg":
        return scaled(state.graph, -1, edge)
    if step.op == "sqr":
        return multiply(state.graph, [(2, None, edge)], _products(shape))
    return state.graph.make(step.op, (), edge)


def _binary(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    l_edge, r_edge = (state.edges[i] for i in step.ins)
    right = state.shapes[step.ins[1]]
    layout = broadcast(shape, right)
    shape2 = _products(right)
    l_number, r_number = 1, 1
    if step.op == "sub":
        l_number, r_number = (-1, 1) if step.swap else (1, -1)
    if step.op == "div":
        if step.swap:
            l_edge = state.graph.make("recip", (), l_edge)
        else:
            r_edge = state.graph.make("recip", (), r_edge)
    terms = [(l_number, layout, l_edge), (r_number, None, r_edge)]
    if step.op in ("add", "sub"):
        return add(state.graph, terms, shape2)
    return (multiply if step.op in ("mul", "div") else _extreme(step.op))(state.graph, terms, shape2)


def _extreme(op: str) -> Callable[..., int]:
    return lambda graph, terms, shape: extreme(graph, op, terms, shape)


def _matmul(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    graph = state.graph
    edge = chain(graph, [state.edges[i] ^ int(turned) for i, turned in zip(step.ins, step.t, strict=True)])
    if step.softmax:
        rows, columns = graph.shape(edge)
        edge = graph.make("softmax", ((cut([(rows, False)]), cut([(columns, True)])),), edge)
    return edge


def _fixed(state: _Reading, step: Any, shape: Shape, token: int) -> int:
    return fixed(state.graph, state.kernel, token, tuple(state.edges[i] for i in step.ins))


_READERS: dict[str, Callable[[_Reading, Any, Shape, int], int]] = {
    "group": _view,
    "ungroup": _view,
    "subpixel": _view,
    "transpose": _transpose,
    "shift": _shift,
    "unfold": _unfold,
    "fold": _fold,
    "softmax": _softmax,
    "normalize": _normalize,
    "fc": _fc,
    "conv": _conv,
    "mix": _mix,
    "filter": _filter,
    "scale": _scale,
    "bias": _bias,
    "matmul": _matmul,
    **dict.fromkeys(("gelu", "relu", "sigmoid", "tanh", "abs", "exp", "neg", "sin", "sqrt", "sqr"), _pointwise),
    **dict.fromkeys(("add", "sub", "mul", "div", "max", "min"), _binary),
    **dict.fromkeys(FIXED, _fixed),
}
