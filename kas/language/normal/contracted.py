"""What stands between two factors of a matrix product: it may belong to either, and goes to one of them.

A map, scale, gate, roll or shuffle M of the contracted axis: (A M) B = A (M B). A map of the other factor has the transposed
weight, and a factor by which the contracted size has changed. All goes to the factor with the lesser key, so that a product
and its transpose agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kas.language.dims import Dim
from kas.language.normal.arithmetic import multiply, split
from kas.language.normal.graph import Graph, Number, Term, flip_attrs, flip_terms
from kas.language.normal.layout import Layout, cut, or_full

__all__ = ["leaves_other", "rearranged", "resized", "settled"]

Attrs = tuple[Any, ...]


def resized(layout: Layout, side: int, to: Dim) -> Layout:
    """A layout that flags nothing on a side whose size changes."""
    other = cut([(to, False)])
    return (other, layout[1]) if side == 0 else (layout[0], other)


def rearranged(g: Graph, edge: int) -> tuple[str, Attrs, int]:
    """Op, attributes and operand of a rearrangement as read through an edge."""
    node = g.nodes[edge >> 1]
    if node.op not in ("roll", "perm"):
        return "", (), edge
    return node.op, flip_attrs(node.op, node.attrs) if edge & 1 else node.attrs, node.ins[0] ^ (edge & 1)


def leaves_other(op: str, attrs: Attrs, side: int) -> bool:
    """Whether a rearrangement leaves the other side alone."""
    other = attrs[0][1 - side]
    return other is None if op == "perm" else not any(flag for _, flag in other)


class _Between(NamedTuple):
    """One step on the contracted axis of a factor [rows, contracted]: a map, a product with terms, a roll or a shuffle."""

    op: str
    attrs: Attrs
    token: int = 0
    terms: tuple[Term, ...] = ()


def settled(g: Graph, factors: list[int]) -> tuple[Number, list[int]]:
    """The factors, with what stands between two of them at the one with the lesser key; and a number that came out."""
    number: Number = 1
    for i in range(len(factors) - 1):
        left, after = _stripped(g, factors[i])
        right, before = _stripped(g, factors[i + 1] ^ 1)
        if not after and not before:
            continue
        if g.edge_key(left) <= g.edge_key(right):
            right, left = right ^ 1, _applied(g, left, [*reversed(after), *map(_transposed, before)])
        else:
            right, left = _applied(g, right, [*reversed(before), *map(_transposed, after)]) ^ 1, left
        for place, edge in ((i, left), (i + 1, right)):
            factor, factors[place] = split(g, edge)
            number = number * factor
    return number, factors


def _stripped(g: Graph, edge: int) -> tuple[int, list[_Between]]:
    """A factor [rows, contracted] without the steps on its contracted axis, and these, the last first."""
    steps: list[_Between] = []
    while True:
        found = _last(g, edge)
        if found is None:
            return edge, steps
        inner, step = found
        if g.nodes[split(g, inner)[1] >> 1].op == "mm":
            return edge, steps
        edge = inner
        steps.append(step)


def _last(g: Graph, edge: int) -> tuple[int, _Between] | None:
    node = g.nodes[edge >> 1]
    if node.op in ("roll", "perm"):
        op, attrs, inner = rearranged(g, edge)
        return (inner, _Between(op, attrs)) if leaves_other(op, attrs, 1) else None
    if node.op == "lin":
        if node.attrs[0] == 0 and not edge & 1:
            return None
        attrs = flip_attrs("lin", node.attrs) if edge & 1 else node.attrs
        if attrs[0] == 0 or attrs[4] or node.token in g.tied:
            return None
        return node.ins[0] ^ (edge & 1), _Between("lin", attrs, node.token)
    if node.op == "mul":
        terms = flip_terms(node.ins) if edge & 1 else node.ins
        out = tuple(t for t in terms if t[1] is not None and not any(flag for _, flag in t[1][0]))
        rest = [term for term in terms if term not in out]
        if out and any(layout is None for _, layout, _ in rest):
            return multiply(g, rest, g.shape(edge)), _Between("mul", (), 0, out)
    return None


def _transposed(step: _Between) -> _Between:
    """The step as it acts on the other factor, read [rows, contracted] too."""
    if step.op == "lin":
        side, groups, size, to, taps = step.attrs
        return _Between("lin", (side, groups, to, size, taps), -step.token)
    if step.op == "roll":
        return _Between("roll", (step.attrs[0], -step.attrs[1]))
    if step.op == "perm":
        a, b, post = step.attrs[0][1]
        return _Between("perm", ((None, (b, a, post)),))
    return step


def _applied(g: Graph, edge: int, steps: list[_Between]) -> int:
    """A factor [rows, contracted] with steps on its contracted axis; a map with token -t has the transposed weight of t."""
    for op, attrs, token, terms in steps:
        rows = g.shape(edge)[0]
        if op == "mul":
            wide = [(n, _wide(layout, rows), e) for n, layout, e in terms]
            edge = multiply(g, [(1, None, edge), *wide], g.shape(edge))
        elif op == "perm":
            edge = g.make(op, attrs, edge)
        elif op == "roll":
            edge = g.make(op, (resized(attrs[0], 0, rows), attrs[1]), edge)
        else:
            if token < 0:
                g.bent.add(-token)
            edge = g.make(op, attrs, edge, abs(token))
    return edge


def _wide(layout: Layout | None, rows: Dim) -> Layout | None:
    return None if layout is None else or_full((cut([(rows, False)]), layout[1]))
