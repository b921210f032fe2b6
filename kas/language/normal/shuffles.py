"""Layouts and broadcast operands on both sides of a shuffle of channels (perm)."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.graph import Graph, Term
from kas.language.normal.layout import Cut, Layout, cut, or_full, refine
from kas.language.normal.texts import named_text

__all__ = ["through_perm", "unshuffled"]

Sizes = tuple[Any, Any]  # of each side (a, b, post), which becomes [b, a, post], or None


def through_perm(layout: Layout, sizes: Sizes, known: Container[Dim]) -> Layout | None:
    """A layout of a shuffled tensor as a layout of the tensor before; None if it divides a shuffled axis unevenly."""
    sides: list[Cut] = []
    for side, moved in zip(layout, sizes, strict=True):
        if moved is None:
            sides.append(side)
            continue
        a, b, post = moved
        parts = _parts(side, (b, a, post), known)
        if parts is None or len(parts[0]) > 1 or len(parts[1]) > 1:
            return None
        sides.append(cut([*parts[1], *parts[0], *parts[2]]))
    return sides[0], sides[1]


def _parts(side: Cut, sizes: tuple[Dim, ...], known: Container[Dim]) -> list[Cut] | None:
    """A cut divided at given sizes."""
    parts: list[Cut] = []
    rest = side
    for number, size in enumerate(sizes):
        after = ONE
        for dim in sizes[number + 1 :]:
            after = after * dim
        pieces = refine(rest, cut([(size, True), (after, False)]), known)
        if pieces is None:
            return None
        parts.append(cut((dim, flag) for dim, flag, here in pieces if here))
        rest = cut((dim, flag) for dim, flag, here in pieces if not here)
    return parts


def unshuffled(g: Graph, sizes: Sizes, term: Term) -> Term | None:
    """A broadcast operand of a shuffled tensor as one of the tensor before."""
    number, layout, edge = term
    before = None if layout is None else through_perm(layout, sizes, g.known)
    if layout is not None and before is None:
        return None
    varies = any(s is not None and (layout is None or _flags_both(g, layout[i], s)) for i, s in enumerate(sizes))
    if varies:
        weight = g.nodes[edge >> 1]
        if weight.op != "w" or weight.token in g.tied:
            return None
        g.bent.add(weight.token)
        edge = g.intern("w", (), (), weight.shape, weight.token, f"{weight.mark} {named_text(sizes, str)}") | (edge & 1)
    return number, None if before is None else or_full(before), edge


def _flags_both(g: Graph, side: Cut, sizes: tuple[Dim, Dim, Dim]) -> bool:
    a, b, post = sizes  # the side is [b, a, post]
    first = refine(side, cut([(b, True), (a * post, False)]), g.known)
    last = refine(side, cut([(b, False), (a, True), (post, False)]), g.known)
    return first is None or last is None or (any(f and h for _, f, h in first) and any(f and h for _, f, h in last))
