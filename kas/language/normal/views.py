"""Rules that give a weight another view: shuffles that merge into weights."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE
from kas.language.normal.arithmetic import add, multiply
from kas.language.normal.graph import Graph, Term
from kas.language.normal.moves import POINTWISE
from kas.language.normal.shuffles import unshuffled
from kas.language.normal.texts import named_text

__all__ = ["depthwise_perm", "perm_weight"]

Attrs = tuple[Any, ...]


def perm_weight(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The outputs of a dense map in another order are a view of its weight (also below functions, scales and biases)."""
    if attrs[0][0] is not None and attrs[0][1] is not None:
        return None
    return _permuted(g, attrs[0], x)


def _permuted(g: Graph, sizes: tuple[Any, Any], x: int) -> int | None:
    node = g.nodes[x >> 1]
    if x & 1:
        return None
    if node.op in POINTWISE:
        below = _permuted(g, sizes, node.ins[0])
        return None if below is None else g.make(node.op, (), below)
    if node.op in ("add", "mul"):
        first, second = (None if s is None else (s[1], s[0], s[2]) for s in sizes)
        terms: list[Term] = []
        for term in node.ins:
            if term[1] is None and g.nodes[term[2] >> 1].op != "w":
                edge = _permuted(g, sizes, term[2])
                moved: Term | None = None if edge is None else (term[0], None, edge)
            else:
                moved = unshuffled(g, (first, second), term)
            if moved is None:
                return None
            terms.append(moved)
        return (add if node.op == "add" else multiply)(g, terms, node.shape)
    side = 0 if sizes[0] is not None else 1
    if node.op != "lin" or node.attrs[0] != side or node.attrs[1] is not ONE or node.token in g.tied:
        return None
    g.bent.add(node.token)
    mark = f"{node.mark} out {named_text((sizes,), str)}"
    return g.intern("lin", node.attrs, node.ins, node.shape, node.token, mark)


def depthwise_perm(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A map of each channel by itself commutes with a shuffle of the channels: its weight in another order is a view."""
    side, groups, size, to, _ = attrs
    moved = g.nodes[x >> 1].attrs[0]
    if groups is not size or moved[side] is None or moved[1 - side] is not None or token in g.tied or (to / size).fault:
        return None
    g.bent.add(token)
    a, b, post = moved[side]
    after = (a, b, post * (to / size))
    return g.make("perm", ((after, None) if side == 0 else (None, after),), g.make("lin", attrs, g.nodes[x >> 1].ins[0], token))
