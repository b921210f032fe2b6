"""Chains of matrix products: associative, (AB)' = B'A', and what comes out of them or cancels inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kas.language.normal.arithmetic import multiply, scaled, split
from kas.language.normal.contracted import leaves_other, rearranged, resized, settled
from kas.language.normal.graph import Graph, Number, Term, flip_terms
from kas.language.normal.layout import or_full

__all__ = ["chain"]

Attrs = tuple[Any, ...]


def chain(g: Graph, edges: Iterable[int]) -> int:
    """The product of matrices, over the square roots of the contracted sizes: associative, and (AB)' = B'A'."""
    number, factors = _flat(g, edges)
    more, factors = settled(g, factors)
    number = number * more
    result = _rows_out(g, factors, 0) or _rows_out(g, factors, 1)
    if result is None:
        result = _intern_chain(g, factors)
    return scaled(g, number, result[0])


def _flat(g: Graph, edges: Iterable[int]) -> tuple[Number, list[int]]:
    """The numbers of all factors as one, and the factors, of which none is a product of matrices."""
    number: Number = 1
    factors: list[int] = []
    for edge in edges:
        factor, inner = split(g, edge)
        number = number * factor
        node = g.nodes[inner >> 1]
        if node.op != "mm":
            factors.append(g.straight(inner))
        elif inner & 1:
            factors.extend(e ^ 1 for e in reversed(node.ins))
        else:
            factors.extend(node.ins)
    return number, factors


def _intern_chain(g: Graph, factors: list[int]) -> tuple[int]:
    back = [edge ^ 1 for edge in reversed(factors)]
    shape = (g.shape(factors[0])[0], g.shape(factors[-1])[1])
    if back == factors:
        result = g.intern("mm", (), tuple(factors), shape)
        g.symmetric.add(result >> 1)
        return (result,)
    if [g.edge_key(e) for e in back] < [g.edge_key(e) for e in factors]:
        return (g.intern("mm", (), tuple(back), (shape[1], shape[0])) ^ 1,)
    return (g.intern("mm", (), tuple(factors), shape),)


def _rows_out(g: Graph, factors: list[int], side: int) -> tuple[int] | None:
    """A rearrangement, scale or gate of the rows of the first factor is one of the product; of the last, its columns."""
    place = 0 if side == 0 else -1
    edge = factors[place]
    if g.nodes[edge >> 1].op not in ("roll", "perm", "mul"):
        return None
    far = g.shape(factors[-1])[1] if side == 0 else g.shape(factors[0])[0]
    op, attrs, inner = rearranged(g, edge)
    if op and leaves_other(op, attrs, side):
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
