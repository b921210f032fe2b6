"""Rules for means: pulled inwards, towards the input, past linear maps of other axes."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE
from kas.language.normal.arithmetic import add, multiply
from kas.language.normal.chains import chain
from kas.language.normal.folds import fold_term
from kas.language.normal.graph import Graph, result_shape
from kas.language.normal.layout import cut
from kas.language.normal.maps import one_side

__all__ = ["mean_add", "mean_chain", "mean_lin", "mean_scale"]

Attrs = tuple[Any, ...]


def mean_add(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean of a sum is the sum of the means."""
    node = g.nodes[x >> 1]
    if node.op != "add" or (len(node.ins) == 1 and g.nodes[node.ins[0][2] >> 1].op == "w"):
        return None
    terms = [fold_term(g, "mean", attrs[0], term, node.shape) for term in node.ins]
    if any(term is None for term in terms):
        return None
    return add(g, [term for term in terms if term is not None], result_shape("mean", attrs, node.shape))


def mean_scale(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean of a scaled side over its last axes is a map of each group to one output, but for a constant factor."""
    node = g.nodes[x >> 1]
    if node.op != "mul":
        return None
    for side in (0, 1):
        folded, other = attrs[0][side], attrs[0][1 - side]
        if any(flag for _, flag in other) or not folded or not folded[-1][1] or len(folded) > 2:
            continue
        whole = one_side(side, node.shape)
        weights = [t for t in node.ins if t[0] == 1 and t[1] == whole and g.nodes[t[2] >> 1].op == "w"]
        if len(weights) != 1 or len(node.ins) < 2 or (weight := g.nodes[weights[0][2] >> 1]).token in g.tied:
            continue
        g.bent.add(weight.token)
        rest = multiply(g, [term for term in node.ins if term != weights[0]], node.shape)
        groups = folded[0][0] if len(folded) == 2 else ONE
        return g.make("lin", (side, groups, node.shape[side], groups, ()), rest, weight.token)
    return None


def mean_lin(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mean over positions commutes with a map of channels that has no taps."""
    node = g.nodes[x >> 1]
    if node.op != "lin" or node.attrs[4] or any(flag for _, flag in attrs[0][node.attrs[0]]):
        return None
    side, _, size, _, _ = node.attrs
    kept = cut([(size, False)])
    layout = (kept, attrs[0][1]) if side == 0 else (attrs[0][0], kept)
    return g.make("lin", node.attrs, g.make("mean", (layout,), node.ins[0]), node.token)


def mean_chain(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean over rows of a matrix product is the product with the mean of the first factor; over columns, the last."""
    node = g.nodes[x >> 1]
    if node.op != "mm":
        return None
    factors = list(node.ins)
    for side, place in ((0, 0), (1, -1)):
        if any(flag for _, flag in attrs[0][side]):
            inner = cut([(g.shape(factors[place])[1 - side], False)])
            layout = (attrs[0][0], inner) if side == 0 else (inner, attrs[0][1])
            factors[place] = g.make("mean", (layout,), factors[place])
    return chain(g, factors)
