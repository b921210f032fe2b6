"""Chains of matrix products: associative, (AB)' = B'A', and what comes out of them or cancels inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kas.language.dims import Dim
from kas.language.normal.arithmetic import multiply, scaled, split
from kas.language.normal.graph import Graph, Term, flip_attrs, flip_terms
from kas.language.normal.layout import Layout, cut, or_full

__all__ = ["chain", "resized"]

Attrs = tuple[Any, ...]


def resized(layout: Layout, side: int, to: Dim) -> Layout:
    """A layout that flags nothing on a side whose size changes."""
    other = cut([(to, False)])
    return (other, layout[1]) if side == 0 else (layout[0], other)


def chain(g: Graph, edges: Iterable[int]) -> int:
    """The product of matrices, over the square roots of the contracted sizes: associative, and (AB)' = B'A'."""
    number: Any = 1
    factors: list[int] = []
    for edge in edges:
        factor, inner = split(g, edge)
        number = number * factor
        node = g.nodes[inner >> 1]
        if node.op != "mm":
            factors.append(inner)
        elif inner & 1:
            factors.extend(e ^ 1 for e in reversed(node.ins))
        else:
            factors.extend(node.ins)
    result = _contracted(g, factors) or _rows_out(g, factors, 0) or _rows_out(g, factors, 1)
    if result is None:
        result = _intern_chain(g, factors)
    return scaled(g, number, result[0])


def _intern_chain(g: Graph, factors: list[int]) -> tuple[int]:
    back = [edge ^ 1 for edge in reversed(factors)]
    shape = (g.shape(factors[0])[0], g.shape(factors[-1])[1])
    if [g.edge_key(e) for e in back] < [g.edge_key(e) for e in factors]:
        return (g.intern("mm", (), tuple(back), (shape[1], shape[0])) ^ 1,)
    return (g.intern("mm", (), tuple(factors), shape),)


def _seen(g: Graph, edge: int) -> tuple[str, Attrs, int]:
    """Op, attributes and operand of a rearrangement as read through an edge."""
    node = g.nodes[edge >> 1]
    if node.op not in ("roll", "perm"):
        return "", (), edge
    return node.op, flip_attrs(node.op, node.attrs) if edge & 1 else node.attrs, node.ins[0] ^ (edge & 1)


def _only(op: str, attrs: Attrs, side: int) -> bool:
    """Whether a rearrangement leaves the other side alone."""
    other = attrs[0][1 - side]
    return other is None if op == "perm" else not any(flag for _, flag in other)


def _contracted(g: Graph, factors: list[int]) -> tuple[int] | None:
    """The same rearrangement of both contracted sides cancels."""
    for i in range(len(factors) - 1):
        op, attrs, left = _seen(g, factors[i])
        other, others, right = _seen(g, factors[i + 1])
        same = op and op == other and attrs[1:] == others[1:] and attrs[0][1] == others[0][0]
        if same and _only(op, attrs, 1) and _only(op, others, 0):
            return (chain(g, [*factors[:i], left, right, *factors[i + 2 :]]),)
    return None


def _rows_out(g: Graph, factors: list[int], side: int) -> tuple[int] | None:
    """A rearrangement, scale or gate of the rows of the first factor is one of the product; of the last, its columns."""
    place = 0 if side == 0 else -1
    far = g.shape(factors[-1])[1] if side == 0 else g.shape(factors[0])[0]
    edge = factors[place]
    op, attrs, inner = _seen(g, edge)
    if op and _only(op, attrs, side):
        factors[place] = inner
        result = chain(g, factors)
        return (g.make(op, attrs if op == "perm" else (resized(attrs[0], 1 - side, far), attrs[1]), result),)
    node = g.nodes[edge >> 1]
    if node.op != "mul":
        return None

    terms = flip_terms(node.ins) if edge & 1 else node.ins
    out = [t for t in terms if t[1] is not None and not any(flag for _, flag in t[1][1 - side])]
    if not out or len(out) == len(terms):
        return None
    factors[place] = multiply(g, [term for term in terms if term not in out], g.shape(edge))
    result = chain(g, factors)
    moved: list[Term] = [(n, or_full(resized(la, 1 - side, far)), e) for n, la, e in out if la is not None]
    number, result = split(g, result)
    return (scaled(g, number, multiply(g, [(1, None, result), *moved], g.shape(result))),)
