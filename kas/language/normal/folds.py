"""Rules for folds (mean, peak: the maximum): pulled inwards, towards the input, past whatever they commute with."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE
from kas.language.normal.arithmetic import add, extreme, multiply, scaled, split
from kas.language.normal.graph import Graph, Term, result_shape
from kas.language.normal.layout import Cut, Layout, cut, drop, nest, or_full, overlap, refine
from kas.language.normal.moves import before_taps, linear_number, through_perm

__all__ = ["MEAN", "PEAK"]

Attrs = tuple[Any, ...]
_RISING = ("relu", "sigmoid", "tanh", "exp")


def _nothing(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A fold over no axis does nothing."""
    return None if any(flag for side in attrs[0] for _, flag in side) else x


def _fold_fold(op: str) -> Any:
    """A fold of one axis after another, of the same kind, is the joint fold."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        if node.op != op:
            return None
        kept: Layout = _inverse(node.attrs[0])
        fits, joint = nest(kept, _inverse(attrs[0]), g.known)
        if not fits or joint is None:
            return None
        return g.make(op, (_inverse(joint),), node.ins[0])

    return rule


def _inverse(layout: Layout) -> Layout:
    first, second = (tuple((dim, not flag) for dim, flag in side) for side in layout)
    return first, second


def _fold_roll(op: str) -> Any:
    """A fold over the rolled axis does not see the roll; a fold over others commutes with it."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        if node.op != "roll":
            return None
        seen = set()
        for side, rolled in zip(attrs[0], node.attrs[0], strict=True):
            pieces = refine(side, rolled, g.known)
            if pieces is None:
                return None
            seen |= {flag for _, flag, here in pieces if here}
        inner = g.make(op, attrs, node.ins[0])
        if seen == {True}:
            return inner
        after = drop(node.attrs[0], attrs[0], g.known) if seen == {False} else None
        return None if after is None else g.make("roll", (after, node.attrs[1]), inner)

    return rule


def _fold_perm(op: str) -> Any:
    """A fold over one or both of two shuffled axes leaves nothing to shuffle; over others it commutes."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        layout = through_perm(g, attrs[0], node.attrs[0]) if node.op == "perm" else None
        if layout is None:
            return None
        sides = []
        for side, sizes in zip(layout, node.attrs[0], strict=True):
            if sizes is None:
                sides.append(None)
                continue
            left = _left(g, side, sizes)
            if left is None:
                return None
            sides.append(left)
        return g.make("perm", (tuple(sides),), g.make(op, (layout,), node.ins[0]))

    return rule


def _left(g: Graph, side: Cut, sizes: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What a fold leaves of axes [a, b, post]."""
    left = []
    for number, size in enumerate(sizes):
        marked = cut((dim, number == i) for i, dim in enumerate(sizes))
        pieces = refine(side, marked, g.known)
        if pieces is None:
            return None
        rest = ONE
        if size is not ONE:
            for dim, folded, here in pieces:
                if here and not folded:
                    rest = rest * dim
        left.append(rest)
    return tuple(left)


def _fold_unf(op: str) -> Any:
    """A fold over channels commutes with taps."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        layout = before_taps(g, attrs[0], node.attrs) if node.op == "unf" else None
        return None if layout is None else g.make("unf", node.attrs, g.make(op, (layout,), node.ins[0]))

    return rule


def _fold_term(g: Graph, op: str, layout: Layout, term: Term, shape: Any) -> Term | None:
    """The fold of one broadcast operand; None if the cuts do not fit."""
    number, present, edge = term
    weight = g.nodes[edge >> 1].op == "w"
    if present is None and not weight:
        return number, None, g.make(op, (layout,), edge)
    full: Layout = present or ((((shape[0], True),) if shape[0] is not ONE else ()), (((shape[1], True),) if shape[1] is not ONE else ()))
    after = drop(full, layout, g.known)
    if after is None:
        return None
    if not overlap(full, layout, g.known):
        return number, or_full(after), edge
    if weight:
        alone = g.intern("add", (), ((1, present, edge),), shape)
        return number, None, g.intern(op, (layout,), (alone,), result_shape(op, (layout,), shape))
    own = []
    for there, folded in zip(full, layout, strict=True):
        pieces = refine(there, folded, g.known) or []
        own.append(cut((dim, fold) for dim, here, fold in pieces if here))
    return number, or_full(after), g.make(op, ((own[0], own[1]),), edge)


def _mean_add(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean of a sum is the sum of the means."""
    node = g.nodes[x >> 1]
    if node.op != "add" or (len(node.ins) == 1 and g.nodes[node.ins[0][2] >> 1].op == "w"):
        return None
    terms = [_fold_term(g, "mean", attrs[0], term, node.shape) for term in node.ins]
    if any(term is None for term in terms):
        return None
    return add(g, [term for term in terms if term is not None], result_shape("mean", attrs, node.shape))


def _peak_extreme(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The maximum over axes of a maximum is the maximum of the maxima."""
    node = g.nodes[x >> 1]
    if node.op != "max":
        return None
    terms = [_fold_term(g, "peak", attrs[0], term, node.shape) for term in node.ins]
    if any(term is None for term in terms):
        return None
    return extreme(g, "max", [term for term in terms if term is not None], result_shape("peak", attrs, node.shape))


def _constant_out(op: str, outer: str) -> Any:
    """What is constant along the folded axes comes out of the mean of a product, and of the maximum of a sum."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        if node.op != outer or len(node.ins) < 2:
            return None
        constant = [term for term in node.ins if term[1] is not None and not overlap(term[1], attrs[0], g.known)]
        rest = [term for term in node.ins if term not in constant]
        if not constant or not rest:
            return None
        combine = multiply if outer == "mul" else add
        number, inner = split(g, combine(g, rest, node.shape)) if outer == "mul" else (1, combine(g, rest, node.shape))
        shape = result_shape(op, attrs, node.shape)
        terms: list[Term] = [(1, None, g.make(op, attrs, inner))]
        for n, layout, edge in constant:
            after = drop(layout, attrs[0], g.known) if layout is not None else None
            if after is None:
                return None
            terms.append((n, or_full(after), edge))
        return scaled(g, number, combine(g, terms, shape))

    return rule


def _mean_scale(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean of a scaled side over its last axes is a map of each group to one output, but for a constant factor."""
    node = g.nodes[x >> 1]
    if node.op != "mul":
        return None
    for side in (0, 1):
        folded, other = attrs[0][side], attrs[0][1 - side]
        if any(flag for _, flag in other) or not folded or not folded[-1][1] or len(folded) > 2:
            continue
        whole: Layout | None = or_full(_one_side(side, node.shape))
        weights = [t for t in node.ins if t[0] == 1 and t[1] == whole and g.nodes[t[2] >> 1].op == "w"]
        if len(weights) != 1 or len(node.ins) < 2 or (weight := g.nodes[weights[0][2] >> 1]).token in g.tied:
            continue
        g.bent.add(weight.token)
        rest = multiply(g, [term for term in node.ins if term != weights[0]], node.shape)
        groups = folded[0][0] if len(folded) == 2 else ONE
        return g.make("lin", (side, groups, node.shape[side], groups, ()), rest, weight.token)
    return None


def _one_side(side: int, shape: Any) -> Layout:
    one, other = cut([(shape[side], True)]), cut([(shape[1 - side], False)])
    return (one, other) if side == 0 else (other, one)


def _mean_lin(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mean over positions commutes with a map of channels that has no taps."""
    node = g.nodes[x >> 1]
    if node.op != "lin" or node.attrs[4] or any(flag for _, flag in attrs[0][node.attrs[0]]):
        return None
    side, _, size, _, _ = node.attrs
    kept = cut([(size, False)])
    layout = (kept, attrs[0][1]) if side == 0 else (attrs[0][0], kept)
    return g.make("lin", node.attrs, g.make("mean", (layout,), node.ins[0]), node.token)


def _mean_chain(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean over rows of a matrix product is the product with the mean of the first factor; over columns, the last."""
    from kas.language.normal.maps import chain

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


def _peak_number(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The maximum of q x is q times the maximum of x for q > 0."""
    number, inner = split(g, x)
    return scaled(g, number, g.make("peak", attrs, inner)) if number > 0 and number != 1 else None


def _peak_rising(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The maximum commutes with a function that never falls."""
    node = g.nodes[x >> 1]
    return g.make(node.op, (), g.make("peak", attrs, node.ins[0])) if node.op in _RISING else None


MEAN = (
    _nothing,
    linear_number("mean"),
    _fold_fold("mean"),
    _fold_roll("mean"),
    _fold_perm("mean"),
    _fold_unf("mean"),
    _mean_add,
    _constant_out("mean", "mul"),
    _mean_scale,
    _mean_lin,
    _mean_chain,
)
PEAK = (
    _nothing,
    _peak_number,
    _fold_fold("peak"),
    _fold_roll("peak"),
    _fold_perm("peak"),
    _fold_unf("peak"),
    _peak_extreme,
    _peak_rising,
    _constant_out("peak", "add"),
)
