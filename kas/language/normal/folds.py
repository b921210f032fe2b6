"""Rules for folds (mean, peak: the maximum): pulled inwards, towards the input, past whatever they commute with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kas.language.dims import ONE
from kas.language.normal.arithmetic import add, extreme, multiply, scaled, split
from kas.language.normal.graph import Graph, Term, result_shape
from kas.language.normal.layout import Cut, Layout, cut, drop, nest, or_full, overlap, refine
from kas.language.normal.moves import before_taps
from kas.language.normal.shuffles import through_perm

__all__ = [
    "constant_out",
    "fold_fold",
    "fold_perm",
    "fold_roll",
    "fold_term",
    "fold_unf",
    "nothing",
    "peak_extreme",
    "peak_number",
    "peak_rising",
]

Attrs = tuple[Any, ...]
_RISING = ("relu", "sigmoid", "tanh", "exp")


def nothing(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A fold over no axis does nothing."""
    return None if any(flag for side in attrs[0] for _, flag in side) else x


def fold_fold(op: str) -> Any:
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


def fold_roll(op: str) -> Any:
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


def fold_perm(op: str) -> Any:
    """A fold over one or both of two shuffled axes leaves nothing to shuffle; over others it commutes."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        layout = through_perm(attrs[0], node.attrs[0], g.known) if node.op == "perm" else None
        if layout is None:
            return None
        sides: list[Any] = []
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


def fold_unf(op: str) -> Any:
    """A fold over channels commutes with taps."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        layout = before_taps(g, attrs[0], node.attrs) if node.op == "unf" else None
        return None if layout is None else g.make("unf", node.attrs, g.make(op, (layout,), node.ins[0]))

    return rule


def fold_term(g: Graph, op: str, layout: Layout, term: Term, shape: Any) -> Term | None:
    """The fold of one broadcast operand; None if the cuts do not fit."""
    number, present, edge = term
    weight = g.nodes[edge >> 1].op == "w"
    if present is None and not weight:
        return number, None, g.make(op, (layout,), edge)
    full: Layout = present or (
        (((shape[0], True),) if shape[0] is not ONE else ()),
        (((shape[1], True),) if shape[1] is not ONE else ()),
    )
    after = drop(full, layout, g.known)
    if after is None:
        return None
    if not overlap(full, layout, g.known):
        return number, or_full(after), edge
    if weight:
        alone = g.intern("add", (), ((1, present, edge),), shape)
        return number, None, g.make(op, (layout,), alone)
    own = []
    for there, folded in zip(full, layout, strict=True):
        pieces = refine(there, folded, g.known) or ()
        own.append(cut((dim, fold) for dim, here, fold in pieces if here))
    return number, or_full(after), g.make(op, ((own[0], own[1]),), edge)


def peak_extreme(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The maximum over axes of a maximum is the maximum of the maxima."""
    node = g.nodes[x >> 1]
    if node.op != "max":
        return None
    terms = [fold_term(g, "peak", attrs[0], term, node.shape) for term in node.ins]
    if any(term is None for term in terms):
        return None
    return extreme(g, "max", [term for term in terms if term is not None], result_shape("peak", attrs, node.shape))


def constant_out(op: str, outer: str, may: Callable[[Graph, Term], bool] | None = None) -> Any:
    """What is constant along the folded axes (and `may`) comes out of the mean of a product and the maximum of a sum."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        if node.op != outer or len(node.ins) < 2:
            return None
        constant = [
            term
            for term in node.ins
            if term[1] is not None and not overlap(term[1], attrs[0], g.known) and (may is None or may(g, term))
        ]
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


def peak_number(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The maximum of q x is q times the maximum of x for q > 0."""
    number, inner = split(g, x)
    return scaled(g, number, g.make("peak", attrs, inner)) if number > 0 and number != 1 else None


def peak_rising(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The maximum commutes with a function that never falls."""
    node = g.nodes[x >> 1]
    return g.make(node.op, (), g.make("peak", attrs, node.ins[0])) if node.op in _RISING else None
