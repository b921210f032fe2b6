"""Operands of a maximum or minimum that another operand decides."""

from __future__ import annotations

from kas.language.normal.graph import Graph, flip_terms
from kas.language.normal.layout import Layout

__all__ = ["lattice"]

Operand = tuple["Layout | None", int]


def lattice(g: Graph, op: str, operands: list[Operand]) -> list[Operand]:
    """The operands that matter: x <= relu(x) <= |x|, max(x, -x) = |x|, and max(x, min(x, y)) = x."""
    known = set(operands)
    gone: set[Operand] = set()
    for layout, edge in operands:
        node = g.nodes[edge >> 1]
        if node.op in ("relu", "abs"):
            below = node.ins[0] ^ (edge & 1)
            lesser = [(layout, below)]
            if node.op == "abs":
                lesser.append((layout, g.make("relu", (), below)))
            gone |= set(lesser) & known if op == "max" else {(layout, edge)} if set(lesser) & known else set()
        elif node.op in ("max", "min") and node.op != op and layout is None:
            inner = flip_terms(node.ins) if edge & 1 else node.ins
            if any(la is None and (None, e) in known for _, la, e in inner):
                gone.add((layout, edge))
    left = [operand for operand in operands if operand not in gone]
    return _absolute(g, left) if op == "max" else left


def _absolute(g: Graph, operands: list[Operand]) -> list[Operand]:
    """max(x, -x) is |x|."""
    for layout, edge in operands:
        node = g.nodes[edge >> 1]
        if node.op != "add" or len(node.ins) != 1 or node.ins[0][:2] != (-1, None):
            continue
        positive = (layout, node.ins[0][2] ^ (edge & 1))
        if positive in operands:
            rest = [operand for operand in operands if operand not in ((layout, edge), positive)]
            absolute = (layout, g.make("abs", (), positive[1]))
            return _absolute(g, lattice(g, "max", [*rest, *([] if absolute in rest else [absolute])]))
    return operands
